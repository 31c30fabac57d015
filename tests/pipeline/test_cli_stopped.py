"""How a stopped command ends."""

import os
import subprocess
import sys


def test_a_command_stopped_within_exec_of_a_string_still_exits_with_130(tmp_path):
    (tmp_path / "stopped.py").write_text(
        "import atexit\n"
        "from cosmorama.pipeline import cli\n"
        "cli._run = lambda arguments: exec('raise KeyboardInterrupt')\n"
        "atexit.register(print, 'tidied up')\n"
        "cli.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "stopped"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "tidied up\n", "cosmorama: stopped\n")


def test_an_interrupt_that_falls_into_a_callback_from_c_is_not_lost(tmp_path):
    (tmp_path / "called_back.py").write_text(
        "import ctypes, time\n"
        "from cosmorama.pipeline import cli\n"
        "def interrupted():\n"
        "    raise KeyboardInterrupt\n"
        "def run(arguments):\n"
        "    ctypes.CFUNCTYPE(None)(interrupted)()\n"
        "    time.sleep(60)\n"
        "cli._run = run\n"
        "cli.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "called_back"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (130, "cosmorama: stopped\n")
