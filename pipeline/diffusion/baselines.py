"""What the view generator is measured against, and what it starts from, as view generators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..generators import ViewRequest
from ..generators.blend import blend_generated
from ..generators.inpaint import fill_holes
from .filling import Filling
from .generator import filled_memory
from .groups import resize_images
from .memory import fill_memory

TELEA_RADIUS_PX = 5.0


class WarpGenerator:
    """The weakest baseline: what the scene shows, black where it shows nothing."""

    name = "warp (baseline: nothing is filled)"
    licences: tuple[str, ...] = ()
    group_size = 8
    soft = False

    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """See ``ViewGenerator``."""
        return request.memory.color


class TeleaGenerator:
    """The inpainting routine's answer alone, view by view, from all that is known around a hole.

    The default generator starts from it, see ``InpaintGenerator``.
    """

    name = "inpaint (baseline: Telea hole filling by OpenCV, nothing else)"
    licences: tuple[str, ...] = ()
    group_size = 1
    soft = True

    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """See ``ViewGenerator``."""
        request = replace(request, photo_depths=None)
        views = []
        for index, (color, known) in enumerate(zip(request.memory.color, request.memory.known, strict=True)):
            filled = fill_holes(color, request.background(index), TELEA_RADIUS_PX)
            views.append(torch.where(known[..., None], color, filled))
        return torch.stack(views)


class SmoothGenerator:
    """A baseline that a denoiser starts from: holes continued smoothly from the background around them."""

    name = "smooth (baseline: coarse averages of the background, nothing learned)"
    licences: tuple[str, ...] = ()
    group_size = 8
    soft = True

    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """See ``ViewGenerator``."""
        return fill_memory(request.memory)


class FillingGenerator:
    """Mixed guesses alone, see ``filling``: what the denoiser starts from; for comparison."""

    name = "filling (mixed guesses, without the denoiser)"
    licences: tuple[str, ...] = ()
    group_size = 8
    soft = True

    def __init__(self, filling: Filling | None) -> None:
        self.filling = filling

    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """See ``ViewGenerator``."""
        height, width = request.memory.color.shape[1:3]
        filled = resize_images(filled_memory(request, self.filling), width, height)
        return blend_generated(request.memory.color, request.memory.known, filled)
