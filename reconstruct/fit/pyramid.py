"""Training views at several sizes."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras
from ..views import Views, as_float, shrink_views


@dataclass(frozen=True)
class View:
    """One view at one size."""

    camera: Cameras
    image: Float[Tensor, "h w 3"]
    weights: Float[Tensor, "h w"] | None
    depth: Float[Tensor, "h w"] | None


class Pyramid:
    """Views, made smaller when first asked for and kept."""

    def __init__(self, views: Views) -> None:
        self.levels = {1: views}

    def view(self, index: int, divisor: int) -> View:
        """One view, ``divisor`` times smaller; its camera is a batch of one."""
        if divisor not in self.levels:
            self.levels[divisor] = shrink_views(self.levels[1], divisor)
        level = self.levels[divisor]
        return View(
            level.cameras[index],
            as_float(level.images[index]),
            None if level.weights is None else level.weights[index],
            None if level.depths is None else level.depths[index],
        )
