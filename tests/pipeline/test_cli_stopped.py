"""How a stopped command ends."""

import os
import signal
import subprocess
import sys

import pytest


def run_script(tmp_path, script):
    """Run a script in a process of its own, as the command line would run."""
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-m", "script"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def test_a_command_stopped_within_exec_of_a_string_still_exits_with_130(tmp_path):
    done = run_script(
        tmp_path,
        "import atexit\n"
        "from cosmorama.pipeline import cli\n"
        "cli._run = lambda arguments: exec('raise KeyboardInterrupt')\n"
        "atexit.register(print, 'tidied up')\n"
        "cli.main()\n",
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "tidied up\n", "cosmorama: stopped\n")


def test_an_interrupt_that_falls_into_a_callback_from_c_is_not_lost(tmp_path):
    done = run_script(
        tmp_path,
        "import ctypes, time\n"
        "from cosmorama.pipeline import cli\n"
        "def interrupted():\n"
        "    raise KeyboardInterrupt\n"
        "def run(arguments):\n"
        "    ctypes.CFUNCTYPE(None)(interrupted)()\n"
        "    time.sleep(60)\n"
        "cli._run = run\n"
        "cli.main()\n",
    )
    assert (done.returncode, done.stderr) == (130, "cosmorama: stopped\n")


HANGS_UP = (
    "import os, signal, time\n"
    "from cosmorama.pipeline import cli\n"
    "def run(arguments):\n"
    "    try:\n"
    "        os.kill(os.getpid(), signal.SIGHUP)\n"
    "        time.sleep(0.1)\n"
    "        print('went on')\n"
    "    finally:\n"
    "        os.kill(os.getpid(), signal.SIGHUP)\n"
    "        time.sleep(0.1)\n"
    "        print('tidied up')\n"
    "cli._run = run\n"
)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this platform has no SIGHUP")
def test_a_closed_terminal_stops_a_command_which_tidies_up_even_if_told_twice(tmp_path):
    done = run_script(tmp_path, HANGS_UP + "signal.signal(signal.SIGHUP, signal.SIG_DFL)\ncli.main()\n")
    assert (done.returncode, done.stdout, done.stderr) == (130, "tidied up\n", "cosmorama: stopped\n")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this platform has no SIGHUP")
def test_under_nohup_a_closed_terminal_stops_nothing(tmp_path):
    done = run_script(tmp_path, HANGS_UP + "signal.signal(signal.SIGHUP, signal.SIG_IGN)\ncli.main()\n")
    assert (done.returncode, done.stdout) == (0, "went on\ntidied up\n")


def test_a_reader_who_has_seen_enough_ends_it_in_silence(tmp_path):
    (tmp_path / "talks.py").write_text(
        "from cosmorama.pipeline import cli\n"
        "cli._run = lambda arguments: [print('word ' * 100) for _ in range(10_000)]\n"
        "cli.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "talks"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as talker:
        talker.stdout.readline()
        talker.stdout.close()
        assert (talker.wait(50), talker.stderr.read()) == (141, b"")


def test_another_broken_pipe_is_a_fault(tmp_path):
    done = run_script(
        tmp_path,
        "from cosmorama.pipeline import cli\n"
        "def run(arguments):\n"
        "    raise BrokenPipeError('the encoder died')\n"
        "cli._run = run\n"
        "cli.main()\n",
    )
    assert done.returncode == 1
    assert "the encoder died" in done.stderr
