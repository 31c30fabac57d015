"""All that a photo's own place has to show: the photo, what lies beyond its edges, and what lies behind its things.

Both are filled by the inpainting routine and with patches, whatever generator makes the views.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ...reconstruct.gaussians import Gaussians
from ...reconstruct.mesh.grid import DepthPicture
from ..depth import DepthEstimator
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
    gaussians: Gaussians, photo: DepthPicture, reach: Reach, estimator: DepthEstimator, *, only_sky: bool
) -> Layers:
    """A frame around a photo, and a layer behind both.

    Args:
        gaussians: the photo's splats, one for each pixel.
        photo: with its depth.
        reach: of the paths.
        estimator: of the depth of what is not seen.
        only_sky: of what is hidden, fill the sky alone. Generators that fill a group of views at once see to it that
            these agree, and know more about the rest.
    """
    frame = grow_frame(gaussians, photo, estimator)
    piece = frame.pieces[0]
    around = replace(piece, mask=torch.ones_like(piece.mask))
    gaussians, hidden = grow_behind(frame.gaussians, around, reach, estimator, only_sky=only_sky)
    return Layers(replace(frame, gaussians=gaussians, pieces=[piece, hidden]), around)
