"""Extremes over square windows of an image, row by row and then column by column."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def window_max(value: Float[Tensor, "h w"], radius: int) -> Float[Tensor, "h w"]:
    """Largest value within ``radius`` pixels in x and y; windows end at the border."""
    size = 2 * radius + 1
    rows = F.max_pool2d(value[None, None], (1, size), 1, (0, radius))
    return F.max_pool2d(rows, (size, 1), 1, (radius, 0))[0, 0]


def window_min(value: Float[Tensor, "h w"], radius: int) -> Float[Tensor, "h w"]:
    """Smallest value within ``radius`` pixels in x and y; windows end at the border."""
    return -window_max(-value, radius)
