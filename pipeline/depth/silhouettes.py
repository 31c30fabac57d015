"""Depth edges moved to the photo's edges and made one pixel wide, with no stray pixels beside them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...reconstruct.depth_edges import depth_edges, guide_depth, sharpen_depth
from ...reconstruct.windows import window_max
from . import FAR_DEPTH_M
from .weighted_median import Window, weighted_median

BESIDE = Window(radius=4, sigma=2.5)
"""What a pixel beside an edge is judged by, in pixels of the photo."""


def align_depth(
    depth: Float[Tensor, "h w"], photo: Float[Tensor, "h w 3"], *, far: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w"]:
    """A network's depth, upsampled to the photo, with the photo's silhouettes.

    Args:
        depth: metres, > 0.
        photo: sRGB in [0, 1].
        far: the sky, which gets ``FAR_DEPTH_M``.
    """
    guided = guide_depth(depth, photo, far=far).clamp(1e-3, FAR_DEPTH_M)
    return settle_depth(sharpen_depth(torch.where(far, FAR_DEPTH_M, guided), photo), photo)


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
