"""What is being made, how far it is, how well it fits, and Cancel; shared by all visitors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from viser import ViserServer

MAX_POINTS = 400


@dataclass(frozen=True)
class _Stage:
    """What is being done, and how much time was left in all when that was told."""

    name: str
    detail: str
    seconds_left: float | None
    told_at: float

    def text(self) -> str:
        left = ""
        if self.seconds_left is not None:  # a stage that is silent for too long says nothing of those to come
            seconds = max(self.seconds_left - (time.monotonic() - self.told_at), self.seconds_left / 2)
            left = f"  \n{about(seconds)} left in all"
        return f"**{self.name}**" + (f" · {self.detail}" if self.detail else "") + left


class LivePanel:
    """The folder at the top of the panel while a scene is made."""

    def __init__(self, server: ViserServer, on_cancel: Callable[[], None]) -> None:
        """Build it; ``on_cancel`` is called once."""
        self._server = server
        self._on_cancel = on_cancel
        self._pictures: dict[str, Any] = {}
        self._psnr: list[tuple[float, float]] = []
        self._plot: Any = None
        self._now: _Stage | None = None
        self._lock = threading.Lock()
        self._folder = server.gui.add_folder("Being made", order=-10)
        with self._folder:
            self._text = server.gui.add_markdown("Starting …")
            self._bar = server.gui.add_progress_bar(0.0, animated=True)
            self._cancel = server.gui.add_button("Cancel and keep what is there", color="red")
        self._cancel.on_click(lambda _: self._cancelled())

    def stage(self, name: str, fraction: float, detail: str, seconds_left: float | None) -> None:
        """Name, fraction done, one line more, and the time left."""
        self._now = _Stage(name, detail, seconds_left, time.monotonic())
        self._bar.value = 100 * min(max(fraction, 0.0), 1.0)
        self.tick()

    def tick(self) -> None:
        """Say again how much time is left, as it passes in stages that tell nothing."""
        if self._now is not None and not self._cancel.disabled:
            content = self._now.text()
            if content != self._text.content:
                self._text.content = content

    def picture(self, label: str, pixels: np.ndarray) -> None:
        """Show a picture, or replace the one with the same label."""
        if label in self._pictures:
            self._pictures[label].image = pixels
            return
        with self._folder:
            self._pictures[label] = self._server.gui.add_image(pixels, label=label, format="jpeg")

    def keep_psnr(self, value: float, step: int | None) -> None:
        """Remember a point of the curve; thinned out so that it stays small."""
        if not np.isfinite(value):
            return
        with self._lock:
            self._psnr.append((float(len(self._psnr) if step is None else step), value))
            if len(self._psnr) > MAX_POINTS:
                self._psnr = self._psnr[::2]

    def draw_psnr(self) -> None:
        """The curve as it is now."""
        with self._lock:
            points = np.array(self._psnr, dtype=np.float64).reshape(-1, 2)
        if len(points) < 2:
            return
        data = (points[:, 0].copy(), points[:, 1].copy())
        if self._plot is not None:
            self._plot.data = data
            return
        from viser import uplot

        with self._folder:
            self._plot = self._server.gui.add_uplot(
                data,
                series=(uplot.Series(label="step"), uplot.Series(label="PSNR dB", stroke="#5aaaff", width=2)),
                scales={"x": uplot.Scale(time=False, auto=True), "y": uplot.Scale(auto=True)},
                aspect=2.0,
                order=self._cancel.order + 0.5,  # above the pictures
            )

    def done(self, message: str) -> None:
        """Nothing is being made any more."""
        self._now = None
        self._folder.label, self._text.content = "Made", message
        self._bar.visible = self._cancel.visible = False
        for picture in self._pictures.values():
            picture.visible = False
        if self._plot is not None:
            self._plot.visible = False

    def _cancelled(self) -> None:
        self._cancel.disabled = True
        self._text.content = "**Stopping** · what is there is kept"
        self._on_cancel()


def about(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 90:
        return f"about {max(5, round(seconds / 5) * 5)} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"
