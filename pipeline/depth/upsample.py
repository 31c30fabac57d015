"""From the head's resolution to the photo's, with depth edges where the photo's edges are.

Away from depth edges: bilinear on log-depth. At them every pixel takes the depth of one side, never a mean of both: the
weighted median of the coarse depths around it, weights falling with distance and with difference of colour (joint
bilateral upsampling, Kopf et al. 2007, with the median of Ma et al. 2013 in place of the mean).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

EDGE_LOG_STEP = 0.05
"""Neighbouring coarse log-depths further apart than this are an edge."""
COLOUR_SIGMA = 0.08
SPACE_SIGMA = 1.0
"""In coarse pixels."""
RADIUS = 2
"""Of the window, in coarse pixels."""
RAMP_WEIGHT = 0.02
"""Of coarse depths that are themselves half-way between near and far."""
CHUNK = 1 << 17
"""Pixels treated at once, which bounds the memory."""


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
    trust = torch.where(ramp, RAMP_WEIGHT, 1.0)
    rows, columns = edge.nonzero(as_tuple=True)
    result = smooth.clone()
    for start in range(0, len(rows), CHUNK):
        r, c = rows[start : start + CHUNK], columns[start : start + CHUNK]
        result[r, c] = _weighted_median_at(r, c, log_depth, trust, coarse_photo, photo)
    return result


def resize_map(values: Float[Tensor, "h w"], size: tuple[int, int] | torch.Size) -> Float[Tensor, "H W"]:
    """Bilinear, aligned at the borders of the image."""
    return F.interpolate(values[None, None], tuple(size), mode="bilinear", align_corners=False)[0, 0]


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


def _weighted_median_at(
    rows: Tensor, columns: Tensor, log_depth: Tensor, trust: Tensor, coarse_photo: Tensor, photo: Tensor
) -> Float[Tensor, "n"]:
    h, w = log_depth.shape
    y = (rows + 0.5) * (h / photo.shape[0]) - 0.5
    x = (columns + 0.5) * (w / photo.shape[1]) - 0.5
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=rows.device)
    dy, dx = (grid.reshape(-1) for grid in torch.meshgrid(offsets, offsets, indexing="ij"))
    near_y = (y.round().long()[:, None] + dy).clamp(0, h - 1)
    near_x = (x.round().long()[:, None] + dx).clamp(0, w - 1)
    distance = (near_y - y[:, None]).square() + (near_x - x[:, None]).square()
    colour = (coarse_photo[near_y, near_x] - photo[rows, columns][:, None]).square().sum(-1)
    weight = torch.exp(-0.5 * distance / SPACE_SIGMA**2 - 0.5 * colour / COLOUR_SIGMA**2) + 1e-6
    weight = weight * trust[near_y, near_x]
    candidates, order = log_depth[near_y, near_x].sort(dim=1)
    cumulative = weight.gather(1, order).cumsum(1)
    middle = (cumulative < 0.5 * cumulative[:, -1:]).sum(1, keepdim=True)
    return candidates.gather(1, middle)[:, 0]
