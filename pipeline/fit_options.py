"""What can be chosen about fitting a capture, as the command line has it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..reconstruct.errors import InputError

if TYPE_CHECKING:
    from ..reconstruct.fit import FitConfig

_RANGES = (
    ("downscale", 1, 1000), ("iterations", 1, 10**7), ("splats", 1, 10**8), ("first_splats", 1, 10**8),
    ("hold_out_every", 0, 10**9), ("seed", 0, 2**63 - 1),
)  # fmt: skip
"""Options that are whole numbers: their least and their greatest values."""


@dataclass(frozen=True)
class FitOptions:
    """How to fit splats to a capture."""

    capture: Annotated[Path, tyro.conf.Positional]
    """Folder of the capture, or its transforms.json; or a folder of photos, or a clip: where those were taken from is
    found then, which needs the sfm extra."""
    downscale: int = 1
    """By how much to shrink the photos."""
    iterations: int = 3000
    """Steps; each shows one photo."""
    splats: int = 40_000
    """How many there may be in the end."""
    first_splats: int = 20_000
    """Roughly how many there are at first."""
    growth: Literal["gradient", "mcmc", "none"] = "gradient"
    """How splats are added: where they are pulled hardest, by sampling, or not at all."""
    start: Literal["auto", "cloud", "stereo"] = "auto"
    """First splats from the capture's sparse cloud, or from stereo over the photos."""
    hold_out_every: int = 8
    """One photo in so many is measured on and not fitted; 0 for none."""
    sh_degree: int = 2
    """Highest band of view-dependent colour, 0 to 3."""
    refine_poses: bool = False
    """Correct the cameras while fitting."""
    refine_exposure: bool = False
    """Allow each photo its own exposure."""
    surface: bool = False
    """Keep splats flat and on surfaces: better meshes, but about 1 dB less, and twice as long a step."""
    perceptual: float = 0.0
    """Weight of a loss on DINOv2 features; slow without a GPU."""
    antialiased: bool = False
    """Fit splats for anti-aliased rendering."""
    seed: int = 0
    """Same seed, same machine, same splats."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to fit; auto takes a GPU if there is one."""

    def check(self) -> None:
        """Tell what cannot work before anything is loaded.

        Raises:
            InputError: an option out of its range.
        """
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                bound = f"at least {low}" if value < low else f"at most {high}"
                raise InputError(f"--{name.replace('_', '-')} must be {bound}, not {value}")
        if not 0 <= self.sh_degree <= 3:
            raise InputError(f"--sh-degree must be 0 to 3, not {self.sh_degree}")
        if not 0 <= self.perceptual < math.inf:
            raise InputError(f"--perceptual must be a number from 0 up, not {self.perceptual}")

    def config(self, width: int, height: int) -> FitConfig:
        """The options as the library takes them, once checked, for photos of this size."""
        from ..reconstruct.fit import FitConfig, GradientGrowth, LearningRates, Losses, McmcGrowth, NoGrowth
        from ..reconstruct.fit.config import SurfaceLosses

        growth: Any = {
            "gradient": GradientGrowth(max_splats=self.splats),
            "mcmc": McmcGrowth(max_splats=self.splats),
            "none": NoGrowth(),
        }[self.growth]
        restraint = 0.01 if self.growth == "mcmc" else 0.0
        side = min(width, height)
        return FitConfig(
            iterations=self.iterations,
            learning_rates=LearningRates(
                poses=1e-4 if self.refine_poses else 0.0, exposures=1e-3 if self.refine_exposure else 0.0
            ),
            losses=Losses(perceptual=self.perceptual, opacity=restraint, scale=restraint),
            surface=SurfaceLosses() if self.surface else None,
            growth=growth,
            sh_degree=self.sh_degree,
            resolutions=tuple(
                (until, divisor) for until, divisor in ((0.2, 4), (0.6, 2)) if side // divisor >= 48
            ),
            antialiased=self.antialiased,
            evaluate_every=max(1, self.iterations // 12),
            checkpoint_every=max(1, min(500, self.iterations // 4)),
        )
