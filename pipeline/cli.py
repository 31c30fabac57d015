"""The command line: ``cosmorama COMMAND ...``, or ``cosmorama PHOTO`` for ``cosmorama make PHOTO``.

Each command is a dataclass in ``commands``, whose fields are its options; this file only names them.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import redirect_stderr, suppress
from difflib import get_close_matches
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

from ..reconstruct.errors import InputError

COMMANDS = {
    "make": ("make:Make", "photo -> scene folder"),
    "fit": ("fit:Fit", "posed photos -> scene folder"),
    "depth": ("depth:Depth", "metric depth of one photo"),
    "render": ("render:Render", "pictures of a scene from any cameras"),
    "view": ("view:View", "walk in a scene in the browser"),
    "export": ("export:Export", "scene -> splat, mesh and web files"),
    "setup": ("setup:Setup", "fetch weights and compile kernels, once"),
    "doctor": ("doctor:Doctor", "what this machine has, and what is missing"),
    "train world": ("train_world:TrainWorld", "render the synthetic world that everything learns from"),
    "train depth": ("train_depth:TrainDepth", "the depth head, on the synthetic world"),
    "train outdoors": (
        "train_outdoors:TrainOutdoors",
        "the depth head's parts for photos of the open, and the probe",
    ),
    "train sky": ("train_sky:TrainSky", "what looks like sky, from what the depth head says of photos"),
    "train codec": ("train_codec:TrainCodec", "the latent codec of the view generator"),
    "train filling": (
        "train_filling:TrainFilling",
        "what the view generator starts from where nothing is known",
    ),
    "train views-data": ("prepare_views:PrepareViews", "encode the world and photos into samples for it"),
    "train views": ("train_views:TrainViews", "the view generator"),
    "eval depth": ("eval_depth:EvalDepth", "depth against true depth"),
    "eval codec": ("eval_codec:EvalCodec", "what the latent codec loses, band by band"),
    "eval denoiser": (
        "eval_denoiser:EvalDenoiser",
        "errors of the view generator's denoiser, by noise level",
    ),
    "eval views": ("eval_views:EvalViews", "generated views against true ones, and the baselines"),
    "bench make": ("bench_make:BenchMake", "time, memory and quality of the main job"),
    "bench rasterize": ("bench_rasterize:BenchRasterize", "speed of the CPU rasterizer"),
    "bench fit": ("bench_fit:BenchFit", "speed and quality of fitting"),
    "bench views": ("bench_views:BenchViews", "time of eight views in twenty steps"),
    "bench view": ("bench_view:BenchView", "time to the first picture, and memory of the viewer"),
    "bench formats": ("bench_formats:BenchFormats", "what each splat format loses"),
}
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}


def main() -> NoReturn:
    """Run one command.

    Exit codes: 0 done, 2 the input is at fault, 1 a fault of ours, 130 stopped, 141 nobody reads the output any more.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped politely is stopped as by Ctrl-C
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:  # nohup has it ignored
        signal.signal(hang_up, _hung_up)
    sys.unraisablehook = _stop_again
    level = os.environ.get("COSMORAMA_LOG", "WARNING").upper()
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    try:
        _run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        sys.exit(128 + signal.SIGPIPE)
    except InputError as error:
        print(f"cosmorama: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        with suppress(OSError):  # a closed terminal takes no words
            print("cosmorama: stopped", file=sys.stderr)
        _exit_stopped()
    sys.exit(0)


def _nobody_reads() -> bool:
    """Whether it is our own output that nobody reads any more, as after ``| head``; nothing more is written then."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _hung_up(number: int, _frame: FrameType | None) -> NoReturn:
    """The terminal was closed; that is often told twice, and the second time must not fall into the tidying up."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stop_again(unraisable: sys.UnraisableHookArgs) -> None:
    """An interrupt that falls into a callback from C, as when kernels are loaded, is lost there: it comes once more."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    else:
        sys.__unraisablehook__(unraisable)


def _exit_stopped() -> NoReturn:
    """Exit with 130 wherever the interrupt fell.

    When it falls into ``exec`` of a string, as an import may run one, CPython counts it as unhandled although it was
    handled, and ends by the signal in place of the code that ``sys.exit`` was given.
    """
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(130)


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return
    name = next((n for n in (" ".join(arguments[:2]), arguments[0]) if n in COMMANDS), None)
    if name is None and arguments[0] in GROUPS:
        if arguments[1:2] in (["-h"], ["--help"], []):
            print(_overview(arguments[0]))
            return
        members = [name for name in COMMANDS if name.split()[0] == arguments[0]]
        raise _no_command(" ".join(arguments[:2]), members, f"cosmorama {arguments[0]} --help")
    if name is None and not re.search(r"^-|[./\\]", arguments[0]) and not os.path.exists(arguments[0]):
        raise _no_command(arguments[0], {name.split()[0] for name in COMMANDS}, "cosmorama --help")
    if name is None:
        name, arguments = "make", ["make", *arguments]

    module, _, class_name = COMMANDS[name][0].partition(":")
    command = getattr(import_module(f".commands.{module}", __package__), class_name)
    rest = arguments[len(name.split()) :]
    _parse(command, rest, f"cosmorama {name}").run()


def _no_command(given: str, known: Iterable[str], help_command: str) -> InputError:
    close = get_close_matches(given, sorted(known), n=1)
    hint = f"did you mean {close[0]}? See" if close else "see"
    return InputError(f"there is no command '{given}'; {hint}: {help_command}")


def _parse(command: type, arguments: list[str], prog: str) -> Any:
    """The command with its options; what is wrong with them is one line in place of tyro's box."""
    import tyro

    box = io.StringIO()
    try:
        with redirect_stderr(box):
            return tyro.cli(command, args=arguments, prog=prog)
    except SystemExit as stopped:
        if stopped.code != 2:
            raise
    raise InputError(f"{_fault_in(box.getvalue()) or 'wrong options'} (see: {prog} --help)")


def _fault_in(box: str) -> str:
    """What a box of tyro says: the fault, and which options may have been meant.

    It has a title, and rules between its parts; where output is not UTF-8 it is drawn with spaces and hyphens. Options
    are indented by four, their help texts, which are left out, by eight.
    """
    plain = re.sub(r"\x1b\[[\d;]*m", "", box)
    untitled = re.sub(r"\A(╭.*| .*\n -+ *)\n|^╰.*", "", plain, flags=re.MULTILINE)
    rows = [re.sub(r"^(│ |  )| *│?$", "", row) for row in untitled.splitlines()]
    fault, *others = re.split(r"\n[─-]+\n", "\n".join(row for row in rows if not row.startswith(" " * 8)))
    parts = [fault, *(part for part in others if part.startswith("Perhaps you meant"))]
    lines = [re.sub(r"\n {4}", ", ", re.sub(r":\n +", ": ", part)).strip().rstrip(".") for part in parts]
    return "; ".join(line[:1].lower() + line[1:] for line in lines)


def _overview(group: str = "") -> str:
    """The commands of a group, or all: those that make and show scenes first, then the groups, for developers."""
    names = [name for name in COMMANDS if not group or name.split()[0] == group]
    lines = [f"  cosmorama {name:<16} {COMMANDS[name][1]}" for name in names]
    if group:
        return "\n".join([f"usage: cosmorama {group} COMMAND [--help] ...", *lines])
    head = "A photo into a place you can walk through: cosmorama PHOTO\nusage: cosmorama COMMAND [--help] ..."
    first = next(i for i, name in enumerate(names) if " " in name)
    return "\n".join([head, *lines[:first], "for developers:", *lines[first:]])


if __name__ == "__main__":
    main()
