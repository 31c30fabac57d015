"""Lift a picture with few splats: one for each block of pixels that is even in colour and surface."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from .cameras import Cameras
from .gaussians import Gaussians, cat_gaussians
from .lift import lift

EVEN_COLOR = 0.06
"""Range of sRGB values within a block and around it that one splat may stand for."""
EVEN_SURFACE = 2e-3
"""Inverse depth may leave the mean of its neighbours by this share; on a plane it is that mean."""


def lift_blocks(
    image: Float[Tensor, "h w 3"],
    depth: Float[Tensor, "h w"],
    camera: Cameras,
    *,
    mask: Bool[Tensor, "h w"],
    sigma_px: float,
    max_stretch: float,
    largest: int = 4,
) -> Gaussians:
    """Splats for some pixels of a picture.

    Args:
        image: colours.
        depth: z depth, > 0.
        camera: a batch of one, of the picture's size.
        mask: pixels to lift.
        sigma_px: see ``lift``; in blocks where a splat stands for one.
        max_stretch: see ``lift``.
        largest: side of the largest blocks, a power of two that divides h and w.
    """
    values = torch.cat([image, (1 / depth)[..., None]], dim=-1).permute(2, 0, 1)[None]
    color, inverse = values[:, :3], values[:, 3:]
    rough = (inverse - F.avg_pool2d(inverse, 5, 1, 2, count_include_pad=False)).abs() / inverse > EVEN_SURFACE
    rough = rough.float()
    left, parts, side = mask, [], largest
    while side > 1:
        around = (2 * side, side, side // 2)  # window, stride, padding: a block and half a block around it
        span = F.max_pool2d(color, *around) + F.max_pool2d(-color, *around)
        even = (span.amax(1, keepdim=True) < EVEN_COLOR) & (F.max_pool2d(rough, *around) == 0)
        even &= F.avg_pool2d(left[None, None].float(), side) == 1
        coarse = F.avg_pool2d(values, side)[0]
        parts.append(
            lift(
                coarse[:3].permute(1, 2, 0),
                1 / coarse[3],
                _shrunk(camera, side),
                mask=even[0, 0],
                sigma_px=sigma_px,
                max_stretch=max_stretch,
            )
        )
        left = left & ~F.interpolate(even.float(), scale_factor=side)[0, 0].bool()
        side //= 2
    return cat_gaussians(
        [*parts, lift(image, depth, camera, mask=left, sigma_px=sigma_px, max_stretch=max_stretch)]
    )


def _shrunk(camera: Cameras, side: int) -> Cameras:
    """The camera with pixels that are blocks."""
    scale = torch.tensor([1 / side, 1 / side, 1.0])[:, None]
    return replace(
        camera, intrinsics=camera.intrinsics * scale, width=camera.width // side, height=camera.height // side
    )
