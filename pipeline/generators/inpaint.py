"""The baseline generator: keep what the scene shows, fill the holes with OpenCV's inpainting routine.

It invents nothing: holes are continued smoothly from the background around them. Routines that copy regions
(shift-map) were tried; they put pieces of tables into floors and took a hundred times longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ...reconstruct.errors import InputError
from ...reconstruct.windows import window_max
from ..blur import blur_by
from . import ViewRequest
from .detail import add_detail

RADIUS_PX, PLAIN_RADIUS_PX = 3.0, 5.0
"""Telea's neighbourhood; a smaller one looks the same once it is made softer, and takes two thirds of the time."""
SOFTER = 0.35
"""Standard deviation of the blur of a hole's filling, in parts of the distance from what it is continued from."""


class InpaintGenerator:
    """Memory plus hole filling, view by view; no learned weights."""

    name = "inpaint (baseline: Telea hole filling by OpenCV, nothing learned)"
    licences: tuple[str, ...] = ()
    group_size = 1

    def __init__(self, *, plain: bool = False) -> None:
        """``plain``: the routine's answer alone, from all background around, as a baseline to be measured against.

        Otherwise what the photo knows to hide a hole lends it no colours, the filling is softer the further in, where
        the routine draws streaks and meets itself in rings, and gets the texture of what surrounds the hole.
        """
        self.plain = plain

    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """See ``ViewGenerator``."""
        if self.plain:
            request = replace(request, photo_depths=None)
        memory, views = request.memory, []
        for index, (color, known) in enumerate(zip(memory.color, memory.known, strict=True)):
            if not known.any():
                raise InputError(
                    "a camera sees nothing of the scene; the inpainting baseline cannot invent a view"
                )
            source = background_source(request, index)
            filling = fill_holes(color, source, PLAIN_RADIUS_PX if self.plain else RADIUS_PX)
            if not self.plain:
                filling = blur_by(filling, SOFTER * distance_from(source))
            filled = torch.where(known[..., None], color, filling)
            views.append(filled if self.plain else add_detail(filled, color, source, ~known))
            if on_progress:
                on_progress(index + 1, len(memory.color))
        return torch.stack(views)


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


def distance_from(source: Bool[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Of each pixel from the nearest one of the source, in pixels; 0 where there is no source."""
    if not source.any():
        return torch.zeros(source.shape)
    return torch.from_numpy(distance_transform_edt(~source.numpy())).float()  # pyright: ignore[reportArgumentType]


def background_source(request: ViewRequest, view: int) -> Bool[Tensor, "h w"]:
    """Known pixels that may be continued into holes: background, and not the last pixels before a hole.

    At silhouettes those mix foreground colour into the background.

    Args:
        request: its memory, cameras and photos are read.
        view: which of its views.
    """
    source = request.support[view]
    rim = window_max((~request.memory.known[view]).float(), 2) > 0
    inner = source & ~rim
    return inner if inner.any() else source
