"""Depth edges moved to the photo's edges and made one pixel wide, with no stray pixels beside them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...reconstruct.depth_edges import depth_edges, sharpen_depth
from ...reconstruct.windows import window_max
from . import FAR_DEPTH_M
from .random_walker import walk_to_sides
from .weighted_median import Window, weighted_median

RAMP = 1 / 110
"""Half of the widest ramp from near to far that is closed, in lengths of the photo's long side."""
STEP = 1.05
"""Ratio of depths from which a ramp is one."""
BESIDE = Window(radius=9, sigma=6.0, stride=3)
"""What a pixel beside an edge is judged by, in pixels of the photo."""


def align_depth(
    depth: Float[Tensor, "h w"],
    photo: Float[Tensor, "h w 3"],
    *,
    far: Bool[Tensor, "h w"],
    smooth: Float[Tensor, "h w"] | None = None,
) -> Float[Tensor, "h w"]:
    """A network's depth, upsampled to the photo, with the photo's silhouettes.

    Args:
        depth: metres, > 0.
        photo: sRGB in [0, 1].
        far: the sky, which gets ``FAR_DEPTH_M``.
        smooth: the same without regard to the photo's edges, if it was upsampled with regard to them.
    """
    solid = torch.where(far, FAR_DEPTH_M, depth.clamp(1e-3, FAR_DEPTH_M))
    radius = max(3, round(RAMP * max(depth.shape)))
    sharp = settle_depth(sharpen_depth(solid, photo, radius=radius, ratio=STEP), photo)
    smooth = sharp if smooth is None else torch.where(far, FAR_DEPTH_M, smooth.clamp(1e-3, FAR_DEPTH_M))
    return walk_to_sides(sharp, smooth, photo, radius=radius)


def settle_depth(depth: Float[Tensor, "h w"], photo: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    """Beside edges, every pixel goes with those around it that look like it; elsewhere nothing changes.

    Args:
        depth: > 0.
        photo: of the same size.
    """
    beside = window_max(depth_edges(depth).to(depth), BESIDE.radius) > 0
    if not beside.any():
        return depth
    settled = depth.clone()
    settled[beside] = weighted_median(beside, depth, photo, photo, BESIDE)
    return settled
