"""The weighted median of depths around a pixel: it takes the depth of one side of a step, never a mean of both.

Weights fall with distance and with difference of colour (joint bilateral upsampling, Kopf et al. 2007, with the median
of Ma et al., Constant Time Weighted Median Filtering, 2013, in place of the mean).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

COLOUR_SIGMA = 0.08
CHUNK = 1 << 15
"""Pixels treated at once, which bounds the memory."""


class Window(NamedTuple):
    """Where depths are taken from, in pixels of their map."""

    radius: int
    sigma: float
    """Of the weights' fall with distance."""
    stride: int = 1
    """Only every so many pixels are asked, up and down and sideways; ``radius`` is a multiple of it."""


def weighted_median(
    where: Bool[Tensor, "H W"],
    depths: Float[Tensor, "h w"],
    colors: Float[Tensor, "h w 3"],
    photo: Float[Tensor, "H W 3"],
    window: Window,
    *,
    trust: Float[Tensor, "h w"] | None = None,
) -> Float[Tensor, "n"]:
    """For each chosen pixel of the photo, in row order.

    Args:
        where: the n chosen pixels.
        depths: in any monotone measure; of the photo's size or coarser.
        colors: the photo at the size of ``depths``.
        photo: the photo itself.
        window: see ``Window``.
        trust: a weight of each depth; default 1.
    """
    rows, columns = where.nonzero(as_tuple=True)
    trust = torch.ones_like(depths) if trust is None else trust
    parts = [
        _median_at(r, c, depths, trust, colors, photo, window)
        for r, c in zip(rows.split(CHUNK), columns.split(CHUNK), strict=True)
    ]
    return torch.cat(parts)


def _median_at(
    rows: Tensor,
    columns: Tensor,
    depths: Tensor,
    trust: Tensor,
    colors: Tensor,
    photo: Tensor,
    window: Window,
) -> Float[Tensor, "n"]:
    h, w = depths.shape
    y = (rows + 0.5) * (h / photo.shape[0]) - 0.5
    x = (columns + 0.5) * (w / photo.shape[1]) - 0.5
    offsets = torch.arange(-window.radius, window.radius + 1, window.stride, device=rows.device)
    dy, dx = (grid.reshape(-1) for grid in torch.meshgrid(offsets, offsets, indexing="ij"))
    near_y = (y.round().long()[:, None] + dy).clamp(0, h - 1)
    near_x = (x.round().long()[:, None] + dx).clamp(0, w - 1)
    distance = (near_y - y[:, None]).square() + (near_x - x[:, None]).square()
    colour = (colors[near_y, near_x] - photo[rows, columns][:, None]).square().sum(-1)
    weight = torch.exp(-0.5 * distance / window.sigma**2 - 0.5 * colour / COLOUR_SIGMA**2) + 1e-6
    weight = weight * trust[near_y, near_x]
    candidates, order = depths[near_y, near_x].sort(dim=1)
    cumulative = weight.gather(1, order).cumsum(1)
    middle = (cumulative < 0.5 * cumulative[:, -1:]).sum(1, keepdim=True)
    return candidates.gather(1, middle)[:, 0]
