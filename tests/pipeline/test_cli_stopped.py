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
