"""Gaussian blur of any width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def blur(maps: Float[Tensor, "v c h w"], sigma: float) -> Float[Tensor, "v c h w"]:
    """Gaussian blur; outside the picture its rim goes on."""
    radius = max(1, round(3 * sigma))
    x = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-x.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(maps.shape[1], 1, -1)
    channels = maps.shape[1]
    padded = F.pad(maps, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel[:, :, None], groups=channels)
    return F.conv2d(rows, kernel[..., None], groups=channels)


def blur_by(picture: Float[Tensor, "h w c"], sigma: Float[Tensor, "h w"]) -> Float[Tensor, "h w c"]:
    """Gaussian blur of another width at each pixel, interpolated between a few; the wide ones at less resolution."""
    out, finer, most = picture.clone(), picture, float(sigma.max())
    small, scale = picture.permute(2, 0, 1)[None], 1
    below, wide = 0.0, 1.0
    while below < most:
        if wide > 2 * scale and min(small.shape[-2:]) > 1:
            small, scale = F.avg_pool2d(small, 2, ceil_mode=True, count_include_pad=False), 2 * scale
        small = blur(small, (wide**2 - below**2) ** 0.5 / scale)
        coarser = F.interpolate(small, picture.shape[:2], mode="bilinear", align_corners=False)[0].permute(
            1, 2, 0
        )
        share = ((sigma - below) / (wide - below)).clamp(0, 1)[..., None]
        out = torch.where((sigma > below)[..., None], torch.lerp(finer, coarser, share), out)
        finer, below, wide = coarser, wide, 2 * wide
    return out
