"""Putting generated pixels into a picture whose other pixels are known, without a seam."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ..blur import blur

MEMBRANE_PX = 128
"""Working length of the picture's long side for the correction, which is smooth."""
REACH = 0.08
"""How far from known pixels the correction fades to a third, in lengths of the picture's long side."""


def blend_generated(
    known_color: Float[Tensor, "v h w 3"],
    known: Bool[Tensor, "v h w"],
    generated: Float[Tensor, "v h w 3"],
) -> Float[Tensor, "v h w 3"]:
    """Known pixels as they are; elsewhere the generated ones, shifted so that they meet the known ones at the rim.

    The shift is a membrane: the difference at known pixels, continued smoothly into the holes (the idea of Poisson
    image editing, Perez et al. 2003), and fading with the distance from what is known, because an error at the rim says
    little about colours far away.
    """
    if known.all() or not known.any():
        return torch.where(known[..., None], known_color, generated)
    shift = membrane((known_color - generated) * known[..., None], known.float())
    return torch.where(known[..., None], known_color, (generated + shift).clamp(0, 1))


def membrane(
    difference: Float[Tensor, "v h w c"], weight: Float[Tensor, "v h w"]
) -> Float[Tensor, "v h w c"]:
    """A smooth map that is about the mean difference near where weight is, and fades to 0 away from there.

    Args:
        difference: times its weight.
        weight: 0..1.
    """
    height, width = weight.shape[1:]
    scale = min(1.0, MEMBRANE_PX / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    stacked = torch.cat([difference, weight[..., None]], dim=-1).permute(0, 3, 1, 2)
    maps = F.interpolate(stacked, small, mode="area")
    reach = REACH * max(small)
    total = sum((0.1**i * blur(maps, reach / 4 * 2**i) for i in range(3)), start=torch.zeros_like(maps))
    near = blur(maps[:, -1:], reach)
    smooth = total[:, :-1] / total[:, -1:].clamp(min=1e-6) * (2 * near).clamp(max=1)
    return F.interpolate(smooth, (height, width), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
