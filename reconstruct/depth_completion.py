"""Depth for pixels that nothing is known of: the background goes on behind the foreground and beyond the frame."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from .windows import window_max


def background_support(
    depth: Float[Tensor, "h w"], known: Bool[Tensor, "h w"], *, radius: int = 12, ratio: float = 1.12
) -> Bool[Tensor, "h w"]:
    """Known pixels that a hole may be continued from.

    Of the pixels around a hole those on its near side are left out: what was hidden belongs to what lies behind.

    Args:
        depth: z depth, > 0 where known.
        known: the rest is holes.
        radius: how far around a hole sides are told apart, pixels.
        ratio: a pixel is on the near side if something around is this much further away.
    """
    farthest = window_max(torch.where(known, depth, 0.0), radius)
    by_hole = window_max((~known).float(), radius) > 0
    support = known & ~(by_hole & (farthest > ratio * depth))
    return support if support.any() else known


def complete_depth(
    depth: Float[Tensor, "h w"], known: Bool[Tensor, "h w"], support: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w"]:
    """Fill unknown pixels with a smooth continuation of the supporting ones; known pixels keep their depth.

    Inverse depth is filled by pull-push over an image pyramid (Gortler et al., The Lumigraph, 1996): inverse depth
    because it is linear in the image for a plane.
    """
    inverse = torch.where(support, 1.0 / depth.clamp_min(1e-9), 0.0)
    filled = _pull_push(inverse[None, None], support.float()[None, None])[0, 0]
    return torch.where(known, depth, 1.0 / filled.clamp_min(1e-9))


def _pull_push(value: Tensor, weight: Tensor) -> Tensor:
    """``value`` is already multiplied by ``weight`` in 0..1."""
    if (weight > 0).all() or value.shape[-2:] == (1, 1):
        return value / weight.clamp_min(1e-9)
    size = value.shape[-2:]
    pad = (0, size[1] % 2, 0, size[0] % 2)
    coarse_value = F.avg_pool2d(F.pad(value, pad), 2)
    coarse_weight = F.avg_pool2d(F.pad(weight, pad), 2)
    gain = 1.0 / coarse_weight.clamp_min(0.25)
    coarse = _pull_push(coarse_value * gain, coarse_weight * gain)
    smooth = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return value + (1.0 - weight) * smooth[..., : size[0], : size[1]]
