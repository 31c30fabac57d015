"""From the head's resolution to the photo's, with depth edges where the photo's edges are.

Away from depth edges: bilinear on log-depth. At them every pixel takes the depth of one side, see ``weighted_median``.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from .weighted_median import Window, weighted_median

EDGE_LOG_STEP = 0.02
"""Neighbouring coarse log-depths further apart than this are an edge."""
COARSE = Window(radius=3, sigma=1.5)
RAMP_WEIGHT = 0.02
"""Of coarse depths that are themselves half-way between near and far."""


def upsample_depth(
    log_depth: Float[Tensor, "h w"],
    coarse_photo: Float[Tensor, "h w 3"],
    photo: Float[Tensor, "H W 3"],
) -> Float[Tensor, "H W"]:
    """Log-depth at the size of ``photo``.

    Args:
        log_depth: from the head.
        coarse_photo: the photo at the head's size.
        photo: the photo itself, larger or smaller.
    """
    size = photo.shape[:2]
    smooth = resize_map(log_depth, size)
    coarse_edge, ramp = _edges_and_ramps(log_depth)
    edge = F.interpolate(coarse_edge[None, None].float(), size, mode="nearest")[0, 0] > 0
    if not edge.any():
        return smooth
    trust = torch.where(ramp, RAMP_WEIGHT, 1.0)
    smooth[edge] = weighted_median(edge, log_depth, coarse_photo, photo, COARSE, trust=trust)
    return smooth


def resize_map(
    values: Float[Tensor, "h w"], size: tuple[int, int] | torch.Size, *, antialias: bool = False
) -> Float[Tensor, "H W"]:
    """Bilinear, aligned at the borders of the image; ``antialias`` for maps that shrink."""
    maps = values[None, None]
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False, antialias=antialias)[0, 0]


def _edges_and_ramps(log_depth: Float[Tensor, "h w"]) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Where depth leaves its plane by more than ``EDGE_LOG_STEP``, a pixel wider; and pixels half-way up a step."""
    edge = torch.zeros_like(log_depth, dtype=torch.bool)
    ramp = edge.clone()
    for dim in (0, 1):
        step = log_depth.diff(dim=dim)
        size = step.shape[dim] - 1
        before, after = step.narrow(dim, 0, size), step.narrow(dim, 1, size)
        edge.narrow(dim, 1, size).logical_or_((after - before).abs() > EDGE_LOG_STEP)
        both = torch.minimum(before.abs(), after.abs()) > EDGE_LOG_STEP
        ramp.narrow(dim, 1, size).logical_or_(both & (before * after > 0))
    return F.max_pool2d(edge[None, None].float(), 3, 1, 1)[0, 0] > 0, ramp
