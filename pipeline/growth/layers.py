"""All that a photo's own place has to show: the photo, what lies beyond its edges, and what lies behind its things."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ...reconstruct.gaussians import Gaussians
from ...reconstruct.mesh.grid import DepthPicture
from ..depth import DepthEstimator
from ..generators import ViewGenerator
from ..trajectories import Reach
from .behind import grow_behind
from .frame import grow_frame
from .grow import Growth


@dataclass(frozen=True)
class Layers:
    """A scene that shows more than the photo, still from its place."""

    growth: Growth
    around: DepthPicture
    """What a wider lens would show, all of it: the layer in front."""


def grow_layers(
    gaussians: Gaussians,
    photo: DepthPicture,
    reach: Reach,
    generator: ViewGenerator,
    estimator: DepthEstimator,
    *,
    seed: int,
    text: str | None = None,
) -> Layers:
    """A frame around a photo, and a layer behind both.

    Args:
        gaussians: the photo's splats, one for each pixel.
        photo: with its depth.
        reach: of the paths.
        generator: makes what is not seen.
        estimator: of its depth.
        seed: of the generator.
        text: a description, for generators that take one.
    """
    frame = grow_frame(gaussians, photo, generator, estimator, seed=seed, text=text)
    piece = frame.pieces[0]
    around = replace(piece, mask=torch.ones_like(piece.mask))
    gaussians, behind = grow_behind(
        frame.gaussians, around, reach, generator, estimator, seed=seed, text=text
    )
    return Layers(replace(frame, gaussians=gaussians, pieces=[piece, behind]), around)
