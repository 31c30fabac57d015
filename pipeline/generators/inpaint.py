"""The baseline generator: keep what the scene shows, fill the holes with OpenCV's inpainting routine.

It invents nothing: holes are continued smoothly from the background around them. How they look close up is the work of
``pipeline.growth.patches``. Routines that copy regions without such a guide (shift-map) were tried; they put pieces of
tables into floors and took a hundred times longer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.errors import InputError
from ..blur import blur_by
from . import ViewRequest

RADIUS_PX = 3.0
"""Telea's neighbourhood, at half the size."""
SOFTER = 0.35
"""Standard deviation of the blur of a hole's filling, in parts of the distance from what it is continued from."""


class InpaintGenerator:
    """Memory plus hole filling, view by view; no learned weights.

    What the photo knows to hide a hole lends it no colours, and the filling is softer the further in, where the routine
    draws streaks and meets itself in rings.
    """

    name = "inpaint (baseline: Telea hole filling by OpenCV, nothing learned)"
    licences: tuple[str, ...] = ()
    group_size = 1
    soft = True

    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """See ``ViewGenerator``."""
        memory, views = request.memory, []
        for index, (color, known) in enumerate(zip(memory.color, memory.known, strict=True)):
            if not known.any():
                raise InputError(
                    "a camera sees nothing of the scene; the inpainting baseline cannot invent a view"
                )
            filling = fill_softly(color, request.background(index))
            views.append(torch.where(known[..., None], color, filling))
            if on_progress:
                on_progress(index + 1, len(memory.color))
        return torch.stack(views)


def fill_softly(
    color: Float[Tensor, "h w 3"], source: Bool[Tensor, "h w"], *, sideways: int = 1
) -> Float[Tensor, "h w 3"]:
    """Everything outside ``source`` filled and blurred, the more the further in; at half the size, which is enough.

    Args:
        color: of the picture.
        source: where it is known.
        sideways: how many times farther to the side than up or down colours go on.
    """
    if source.all() or not source.any():
        return color
    height, width = source.shape
    weight = source[..., None].to(color)
    maps = torch.cat([color * weight, weight], dim=-1).permute(2, 0, 1)[None]
    maps = F.avg_pool2d(maps, (2, 2 * sideways), ceil_mode=True, count_include_pad=False)[0].permute(1, 2, 0)
    small, known = maps[..., :3] / maps[..., 3:].clamp_min(0.25 / sideways), maps[..., 3] > 0
    away = torch.from_numpy(distance_transform_edt(~known.numpy())).float()  # pyright: ignore[reportArgumentType]
    small = blur_by(fill_holes(small, known, RADIUS_PX), SOFTER * away)
    scales = (2.0, 2.0 * sideways)
    large = F.interpolate(
        small.permute(2, 0, 1)[None], scale_factor=scales, mode="bilinear", align_corners=False
    )
    return large[0, :, :height, :width].permute(1, 2, 0)


def fill_holes(
    color: Float[Tensor, "h w 3"], source: Bool[Tensor, "h w"], radius: float
) -> Float[Tensor, "h w 3"]:
    """Replace everything outside ``source`` by marching in from its rim.

    Source: Telea, An Image Inpainting Technique Based on the Fast Marching Method (2004), by OpenCV.
    """
    if source.all() or not source.any():
        return color
    try:
        import cv2
    except ImportError as error:
        raise InputError(f"the inpainting baseline needs the photo extra ({error})") from None
    bgr = np.ascontiguousarray((color.flip(-1) * 255).round().to(torch.uint8).numpy())
    filled = cv2.inpaint(bgr, (~source).numpy().astype(np.uint8) * 255, radius, cv2.INPAINT_TELEA)
    return torch.from_numpy(filled.astype(np.float32) / 255).flip(-1)
