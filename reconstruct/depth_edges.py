"""Depth discontinuities: where they are, and moving them to where the photo's edges are, one pixel wide.

Depth maps of networks ramp from foreground to background over a few pixels. Lifted into 3D, the ramp is a sheet of
rubber between the two. All functions look at inverse depth, which is linear in the image for a plane, so that even a
floor that runs to the horizon is no edge; differences are taken as ratios, so the scene's scale does not matter.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from .windows import window_max, window_min


def depth_edges(depth: Float[Tensor, "h w"], *, ratio: float = 1.06) -> Bool[Tensor, "h w"]:
    """Pixels on either side of a step by more than the ratio that does not just continue a slope."""
    inverse = 1.0 / depth
    edge = torch.zeros_like(depth, dtype=torch.bool)
    for dim in (0, 1):
        value = inverse.movedim(dim, -1)
        step = value.diff(dim=-1).abs()
        padded = F.pad(step[None], (1, 1), mode="replicate")[0]
        slope = torch.minimum(padded[..., :-2], padded[..., 2:])
        steep = (step > (ratio - 1.0) * torch.minimum(value[..., 1:], value[..., :-1])) & (step > 2.0 * slope)
        edge |= (F.pad(steep, (0, 1)) | F.pad(steep, (1, 0))).movedim(-1, dim)
    return edge


def sharpen_depth(
    depth: Float[Tensor, "h w"], image: Float[Tensor, "h w 3"], *, radius: int = 3, ratio: float = 1.1
) -> Float[Tensor, "h w"]:
    """Snap every pixel of a ramp to the near or the far side of it, whichever the photo's colour is closer to.

    Args:
        depth: > 0.
        image: guides the choice.
        radius: half the window; ramps up to about twice as wide are closed.
        ratio: windows whose far side is less than this much further away are left as they are.
    """
    inverse = 1.0 / depth
    far, near = window_min(inverse, radius), window_max(inverse, radius)
    wide_far, wide_near = window_min(inverse, 3 * radius), window_max(inverse, 3 * radius)
    # A slope changes three times as much over a window three times as wide; a step does not.
    is_step = (near > ratio * far) & (near - far > 0.52 * (wide_near - wide_far))
    position = (inverse - far) / (near - far).clamp_min(1e-9)
    in_ramp = is_step & (position > 0.05) & (position < 0.95)
    if not in_ramp.any():
        return depth
    around = _windows(torch.cat([inverse[..., None], image], dim=-1), in_ramp, radius)
    near_inverse, near_color = _mean(around, around[..., 0] >= 0.97 * near[in_ramp][:, None])
    far_inverse, far_color = _mean(around, around[..., 0] <= 1.03 * far[in_ramp][:, None])
    to_near = (image[in_ramp] - near_color).square().sum(-1) + 0.02 * (1.0 - position[in_ramp]).square()
    to_far = (image[in_ramp] - far_color).square().sum(-1) + 0.02 * position[in_ramp].square()
    sharp = depth.clone()
    sharp[in_ramp] = 1.0 / torch.where(to_near <= to_far, near_inverse, far_inverse).clamp_min(1e-9)
    return sharp


def widen_foreground(
    depth: Float[Tensor, "h w"], *, pixels: int = 2, ratio: float = 1.06
) -> Float[Tensor, "h w"]:
    """Give the far side of every step the near side's depth, a few pixels wide.

    Pixels at a silhouette show some of both sides. On the far side they would stay behind as an outline when one
    moves; on the near side they go with the thing that they outline.

    Args:
        depth: > 0.
        pixels: how wide.
        ratio: of the steps, see ``depth_edges``.
    """
    for _ in range(pixels):
        nearest = window_min(depth, 1)
        depth = torch.where(depth_edges(depth, ratio=ratio) & (depth > ratio * nearest), nearest, depth)
    return depth


def _windows(values: Float[Tensor, "h w c"], at: Bool[Tensor, "h w"], radius: int) -> Float[Tensor, "n k c"]:
    """The k pixels around each chosen one, the picture's border repeated."""
    height, width = at.shape
    offsets = torch.arange(-radius, radius + 1, device=at.device)
    dy, dx = (grid.reshape(-1) for grid in torch.meshgrid(offsets, offsets, indexing="ij"))
    rows, columns = at.nonzero(as_tuple=True)
    return values[(rows[:, None] + dy).clamp(0, height - 1), (columns[:, None] + dx).clamp(0, width - 1)]


def _mean(
    around: Float[Tensor, "n k c"], mask: Bool[Tensor, "n k"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n c-1"]]:
    """Mean of the first channel and of the others over the masked pixels of each window."""
    weight = mask.to(around)[..., None]
    mean = (around * weight).sum(1) / weight.sum(1).clamp_min(1.0)
    return mean[:, 0], mean[:, 1:]
