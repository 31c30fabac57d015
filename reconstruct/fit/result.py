"""What comes out of a fit."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras
from ..gaussians import Gaussians


class FitError(RuntimeError):
    """The fit cannot go on; the message says at which step and why. The last checkpoint is kept."""


@dataclass(frozen=True)
class FitResult:
    """A finished (or stopped) fit."""

    gaussians: Gaussians
    cameras: Cameras
    """The training cameras, refined if that was asked for."""
    exposures: Float[Tensor, "c 3 4"] | None
    """Colour matrix and offset that turn a rendering into each training image; None if not refined."""
    iterations: int
    seconds: float
    """Wall-clock time over all legs of the run, measurements included."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """(seconds, PSNR in dB on held-out views)."""
    splat_counts: list[tuple[int, int]] = field(default_factory=list)
    """(iteration, splats) after every round of growth."""
