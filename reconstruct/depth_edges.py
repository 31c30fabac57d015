"""Depth discontinuities: where they are, and making them one pixel wide.

Depth maps of networks ramp from foreground to background over a few pixels. Lifted into 3D, the ramp is a sheet of
rubber between the two. Both functions compare depths as ratios, so they do not depend on the scene's scale.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def depth_edges(depth: Float[Tensor, "h w"], *, ratio: float = 1.08) -> Bool[Tensor, "h w"]:
    """Pixels that differ from one of their four neighbours by more than the ratio.

    A slanted plane is no edge: the change has to exceed twice what the pixel's other side continues with.
    """
    log_depth = depth.log()
    edge = torch.zeros_like(depth, dtype=torch.bool)
    for dim in (0, 1):
        step = log_depth.diff(dim=dim)
        edge |= _steep(step, dim, torch.log(torch.tensor(ratio)).item())
    return edge


def _steep(step: Tensor, dim: int, threshold: float) -> Tensor:
    """Marks both ends of each step that is steep and not just part of a uniform slope."""
    size = step.abs()
    padded = F.pad(size.movedim(dim, -1), (1, 1))
    neighbours = torch.minimum(padded[..., :-2], padded[..., 2:]).movedim(-1, dim)
    steep = (size > threshold) & (size > 2 * neighbours)
    steep |= size > 4 * threshold
    along_last = steep.movedim(dim, -1)
    both_ends = F.pad(along_last, (0, 1)) | F.pad(along_last, (1, 0))
    return both_ends.movedim(-1, dim)


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
    near = -F.max_pool2d(-depth[None, None], 2 * radius + 1, 1, radius)[0, 0]
    far = F.max_pool2d(depth[None, None], 2 * radius + 1, 1, radius)[0, 0]
    position = (depth.log() - near.log()) / (far.log() - near.log()).clamp_min(1e-6)
    in_ramp = (far > ratio * near) & (position > 0.05) & (position < 0.95)
    near_color, near_depth = _side_mean(depth, image, near, radius, near_side=True)
    far_color, far_depth = _side_mean(depth, image, far, radius, near_side=False)
    to_near = (image - near_color).square().sum(-1) + 0.02 * position.square()
    to_far = (image - far_color).square().sum(-1) + 0.02 * (1 - position).square()
    snapped = torch.where(to_near <= to_far, near_depth, far_depth)
    # On a long slope both sides are as far away as the window is wide; a ramp is steeper than its surroundings.
    wide_near = -F.max_pool2d(-depth[None, None], 6 * radius + 1, 1, 3 * radius)[0, 0]
    wide_far = F.max_pool2d(depth[None, None], 6 * radius + 1, 1, 3 * radius)[0, 0]
    is_step = (far / near).log() > 0.6 * (wide_far / wide_near).log()
    return torch.where(in_ramp & is_step, snapped, depth)


def _side_mean(
    depth: Tensor, image: Tensor, level: Tensor, radius: int, *, near_side: bool
) -> tuple[Tensor, Tensor]:
    """Mean colour and depth of the window's pixels within a tenth of the window's extreme."""
    size = 2 * radius + 1
    h, w = depth.shape
    stack = torch.cat([depth[..., None], image], dim=-1).permute(2, 0, 1)[None]
    windows = F.unfold(F.pad(stack, (radius,) * 4, mode="replicate"), size).view(4, size * size, h * w)
    level = level.reshape(-1)
    weight = (windows[0] <= 1.03 * level if near_side else windows[0] >= level / 1.03).float()
    mean = (windows * weight).sum(1) / weight.sum(0).clamp_min(1.0)
    return mean[1:].T.reshape(h, w, 3), mean[0].view(h, w)
