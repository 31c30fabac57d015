"""The command line: ``cosmorama COMMAND ...``, or ``cosmorama PHOTO`` for ``cosmorama make PHOTO``.

Each command is a dataclass in ``commands``, whose fields are its options; this file only names them.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from importlib import import_module
from typing import NoReturn

from ..reconstruct.errors import InputError

COMMANDS = {
    "make": ("make:Make", "photo -> scene folder"),
    "fit": ("fit:Fit", "posed photos -> scene folder"),
    "depth": ("depth:Depth", "metric depth of one photo"),
    "render": ("render:Render", "pictures of a scene from any cameras"),
    "view": ("view:View", "walk in a scene in the browser"),
    "export": ("export:Export", "scene -> splat, mesh and web files"),
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
    "setup": ("setup:Setup", "fetch weights and compile kernels, once"),
    "doctor": ("doctor:Doctor", "what this machine has, and what is missing"),
}
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}


def main() -> NoReturn:
    """Run one command.

    Exit codes: 0 done, 2 the input is at fault, 1 a fault of ours, 130 stopped, 141 nobody reads the output any more.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped politely is stopped as by Ctrl-C
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
        raise InputError(f"there is no '{' '.join(arguments[:2])}'; see: cosmorama {arguments[0]} --help")
    if name is None:
        name, arguments = "make", ["make", *arguments]

    import tyro

    module, _, class_name = COMMANDS[name][0].partition(":")
    command = getattr(import_module(f".commands.{module}", __package__), class_name)
    rest = arguments[len(name.split()) :]
    tyro.cli(command, args=rest, prog=f"cosmorama {name}").run()


def _overview(group: str = "") -> str:
    names = [name for name in COMMANDS if name.startswith(group)]
    lines = [f"  cosmorama {name:<16} {COMMANDS[name][1]}" for name in names]
    head = "A photo into a place you can walk through: cosmorama PHOTO\n" if not group else ""
    return "\n".join([head + "usage: cosmorama COMMAND [--help] ...", *lines])


if __name__ == "__main__":
    main()
