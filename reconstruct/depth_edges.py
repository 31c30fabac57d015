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

from .depth_completion import complete_depth
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


def guide_depth(
    depth: Float[Tensor, "h w"],
    image: Float[Tensor, "h w 3"],
    *,
    far: Bool[Tensor, "h w"] | None = None,
    radius: int | None = None,
    epsilon: float = 1e-2,
) -> Float[Tensor, "h w"]:
    """Move the blurred steps of a coarse depth map to where the photo has its edges; flat texture changes nothing.

    In every window inverse depth becomes the best linear function of colour: the guided filter (He, Sun and Tang,
    Guided Image Filtering, 2010), by kornia.

    Args:
        depth: > 0.
        image: guides.
        far: pixels of the sky, which stay as they are and do not pull at what stands before them.
        radius: of the windows in pixels; default a 32nd of the long side, about a patch of a vision transformer.
        epsilon: variance of colour below which a window counts as flat.
    """
    from kornia.filters import guided_blur

    solid = torch.ones_like(depth, dtype=torch.bool) if far is None else ~far
    if not solid.any():
        return depth
    radius = max(1, max(depth.shape) // 32) if radius is None else radius
    inverse = 1.0 / complete_depth(depth, solid, solid)
    guided = guided_blur(image.permute(2, 0, 1)[None], inverse[None, None], 2 * radius + 1, epsilon)[0, 0]
    return torch.where(solid, 1.0 / guided.clamp(inverse.min(), inverse.max()), depth)


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
    near_color, near_inverse = _side_mean(inverse, image, radius, inverse_from=0.97 * near)
    far_color, far_inverse = _side_mean(inverse, image, radius, inverse_to=1.03 * far)
    to_near = (image - near_color).square().sum(-1) + 0.02 * (1.0 - position).square()
    to_far = (image - far_color).square().sum(-1) + 0.02 * position.square()
    snapped = torch.where(to_near <= to_far, near_inverse, far_inverse)
    return torch.where(in_ramp, 1.0 / snapped.clamp_min(1e-9), depth)


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


def _side_mean(
    inverse: Tensor,
    image: Tensor,
    radius: int,
    *,
    inverse_from: Tensor | None = None,
    inverse_to: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean colour and inverse depth of those pixels of each window that lie on one side."""
    size = 2 * radius + 1
    h, w = inverse.shape
    stack = torch.cat([inverse[..., None], image], dim=-1).permute(2, 0, 1)[None]
    windows = F.unfold(F.pad(stack, (radius,) * 4, mode="replicate"), size).view(4, size * size, h * w)
    weight = torch.ones_like(windows[0])
    if inverse_from is not None:
        weight *= windows[0] >= inverse_from.reshape(-1)
    if inverse_to is not None:
        weight *= windows[0] <= inverse_to.reshape(-1)
    mean = (windows * weight).sum(1) / weight.sum(0).clamp_min(1.0)
    return mean[1:].T.reshape(h, w, 3), mean[0].view(h, w)
