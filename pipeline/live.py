"""What the live viewer is told of a job: the stage in plain words, its details, and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from .presets import Preset
from .progress import Reporter
from .watch import Watcher

WORDS = {
    "photo": "Reading the photo",
    "cameras": "Finding where the photos were taken",
    "depth": "Estimating its depth",
    "splats": "First splats",
    "layers": "Beyond its edges and behind its things",
    "photos": "Adding the other photos",
    "views": "Generating views",
    "refine": "Fitting splats to the views",
    "around": "Looking around the place",
    "outskirts": "Closing gaps further out",
    "write": "Writing the scene, mesh and clip",
}
_PRIOR_SECONDS = 5.0
"""The plan counts like a measurement of this length, so that the first moments do not decide the pace."""


def tell(reporter: Reporter, watcher: Watcher, preset: Preset) -> None:
    """Let a watcher know of every step that a reporter hears of."""
    left = TimeLeft(expected_seconds(preset))

    def listen(stage: str, done: int, total: int, details: dict[str, object]) -> None:
        fraction = done / max(total, 1)
        words = [f"{done} of {total}"] if total else []
        if isinstance(psnr := details.get("psnr"), float):
            words.append(f"{psnr:.1f} dB")
        watcher.stage(WORDS.get(stage, stage), fraction, " · ".join(words), left.after(stage, fraction))

    reporter.listeners.append(listen)


def expected_seconds(preset: Preset) -> dict[str, float]:
    """Seconds of every stage on two CPU cores, in order: measured shares, scaled to the preset's total."""
    pixels = (preset.long_side / 512) ** 2
    shares = {
        "photo": 0.1, "depth": 1.9, "splats": 0.1 * pixels, "layers": 2.8 + 2.5 * pixels,
        "views": 0.24 * preset.views * pixels, "refine": 0.124 * preset.iterations * pixels,
        "outskirts": 3.7 * pixels, "write": 0.066 * preset.clip_frames * pixels,
    }  # fmt: skip
    total = sum(shares.values())
    return {name: share * preset.seconds / total for name, share in shares.items()}


class TimeLeft:
    """The rest of a plan at the pace seen so far."""

    def __init__(self, plan: dict[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            plan: expected seconds of every stage, in the order in which they come.
            clock: seconds from any zero.
        """
        self._plan, self._clock, self._start = plan, clock, clock()
        self._done = 0.0

    def after(self, stage: str, fraction: float) -> float:
        """Seconds left when this fraction of a stage is done; a stage that was not planned only costs time."""
        if stage in self._plan:
            names = list(self._plan)
            before = sum(self._plan[name] for name in names[: names.index(stage)])
            self._done = before + fraction * self._plan[stage]
        elapsed = self._clock() - self._start
        pace = (elapsed + _PRIOR_SECONDS) / (self._done + _PRIOR_SECONDS)
        return pace * (sum(self._plan.values()) - self._done)
