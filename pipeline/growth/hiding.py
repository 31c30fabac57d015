"""What stands before something else, so far as somebody who walks about sees past it."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from ...reconstruct.depth_edges import depth_edges
from ...reconstruct.mesh.grid import DepthPicture
from ...reconstruct.windows import window_max, window_min
from ..depth import SKY_DEPTH_M

RISE = 0.4
"""How far up people go, in parts of how far to the side."""
STEP = 1.06
"""What lies behind is so many times as far away."""
SAME = 1.5
"""What is farther away than so many times the rim of something is no part of it."""
WIDEST, FINER = 0.21, 1.33
"""Width of the widest strip in lengths of the long side, and the ratio of one that is tried to the next."""


def hiding(
    picture: DepthPicture,
    aside: float,
    *,
    sky: bool,
    distant: float = torch.inf,
    widest: float | None = None,
) -> Bool[Tensor, "h w"]:
    """Pixels of things that one sees past from so far to the side: what lies behind them there comes into view.

    Args:
        picture: with its depth.
        aside: in scene units.
        sky: whether what lies behind is sky, or other things.
        distant: things from here on hide nothing.
        widest: how many pixels from a silhouette at most; default ``WIDEST``.
    """
    inverse = 1 / picture.depth
    behind = depth_edges(picture.depth) & (picture.depth > STEP * window_min(picture.depth, 1))
    behind &= (picture.depth > SKY_DEPTH_M) == sky
    parallax = float(picture.camera.intrinsics[0, 0, 0]) * aside
    near = window_max(inverse, 1)
    behind &= near > 1 / distant
    width, between = parallax * (near - inverse), torch.maximum((near * inverse).sqrt(), near / SAME)
    hides = torch.zeros_like(behind)
    for radius in _radii(WIDEST * max(hides.shape) if widest is None else widest):
        seen_past = torch.where(behind & (width >= radius), between, torch.inf)
        limit = window_min(seen_past, radius, rows=round(RISE * radius))
        hides |= inverse > limit
    return hides


def _radii(largest: float) -> list[int]:
    """Whole numbers from 1 up, each about ``FINER`` times the one before."""
    radii = [1]
    while radii[-1] < largest:
        radii.append(max(radii[-1] + 1, round(FINER * radii[-1])))
    return radii
