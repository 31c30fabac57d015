"""The command line: ``cosmorama COMMAND`` or ``cosmorama PHOTO``.

Each command is a dataclass in ``commands``; this file only names them. Nothing heavy is imported before one runs.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import tyro

from ..reconstruct.errors import InputError
from .commands.bench_make import BenchMake
from .commands.doctor import Doctor
from .commands.make import Make
from .commands.render import Render
from .commands.view import View


def _command(name: str) -> Any:
    return tyro.conf.subcommand(name=name)


Bench = Annotated[BenchMake, _command("make")]

Command = (
    Annotated[Make, _command("make")]
    | Annotated[Render, _command("render")]
    | Annotated[View, _command("view")]
    | Annotated[Bench, _command("bench")]
    | Annotated[Doctor, _command("doctor")]
)
NAMES = ("make", "fit", "depth", "render", "view", "export", "train", "eval", "bench", "doctor")


def main() -> NoReturn:
    """Run one command. Exit codes: 0 done, 2 the input is at fault, 1 a fault of ours, 130 stopped by Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    logging.basicConfig(
        level=os.environ.get("COSMORAMA_LOG", "WARNING"), format="%(levelname)s %(name)s: %(message)s"
    )
    arguments = sys.argv[1:]
    if arguments and arguments[0] not in NAMES and not arguments[0].startswith("-"):
        arguments = ["make", *arguments]
    command = tyro.cli(Command, args=arguments, prog="cosmorama", description=__doc__.split("\n")[0])  # type: ignore[arg-type]
    try:
        command.run()
    except InputError as error:
        print(f"cosmorama: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("cosmorama: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
