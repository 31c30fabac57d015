"""What a person sees of long work: one progress bar per stage on stderr, seconds per stage afterwards."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Advance = Callable[..., None]
"""Called with (done, total) and keyword details to show, such as ``psnr=31.2``."""


class Reporter:
    """Stages of one job. Bars on a terminal, one line per finished stage elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.seconds: dict[str, float] = {}
        self.listeners: list[Callable[[str, int, int, dict[str, object]], None]] = []
        """Called with stage, done, total and details when a stage begins (0 of 0) and at every step."""

    def note(self, text: str) -> None:
        """A line for people."""
        self.console.print(text, soft_wrap=True, markup=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[Advance]:
        """Time a stage; yields the function that moves its bar."""
        start = time.perf_counter()
        columns = (TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.fields[details]}"))
        with Progress(
            *columns,
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not sys.stderr.isatty(),
        ) as progress:
            task = progress.add_task(name, total=None, details="")
            for listener in self.listeners:
                listener(name, 0, 0, {})

            def advance(done: int, total: int, **details: object) -> None:
                text = "  ".join(
                    f"{key} {value:.1f}" if isinstance(value, float) else f"{key} {value}"
                    for key, value in details.items()
                )
                progress.update(task, completed=done, total=total, details=text)
                for listener in self.listeners:
                    listener(name, done, total, details)

            yield advance
        self.seconds[name] = time.perf_counter() - start
        self.note(f"{name:<14} {self.seconds[name]:6.1f} s")


def peak_memory_mb() -> float:
    """The largest resident size that this process has had."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
