"""Gaussian blur of any width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def blur(maps: Float[Tensor, "v c h w"], sigma: float) -> Float[Tensor, "v c h w"]:
    """Gaussian blur; outside the picture its rim goes on."""
    radius = max(1, round(3 * sigma))
    x = torch.arange(-radius, radius + 1, dtype=maps.dtype)
    kernel = torch.exp(-x.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(maps.shape[1], 1, -1)
    channels = maps.shape[1]
    padded = F.pad(maps, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel[:, :, None], groups=channels)
    return F.conv2d(rows, kernel[..., None], groups=channels)
