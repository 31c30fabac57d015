"""A first picture from a sentence, for scenes that start without a photo."""

from __future__ import annotations

import torch

from ..reconstruct.cameras import Cameras, focal_px_from_fov, pinhole_intrinsics
from .generators import Memory, ViewGenerator, ViewRequest
from .photo import DEFAULT_FOV_DEG, Photo

ASPECT = 4 / 3


def imagine_photo(
    text: str, generator: ViewGenerator, *, long_side: int, focal_px: float | None = None, seed: int = 0
) -> Photo:
    """What the generator thinks the sentence describes, as if it were a photo.

    Args:
        text: in the domain that the generator was trained on; see its card.
        generator: must be able to work from text alone.
        long_side: width in pixels.
        focal_px: default from ``DEFAULT_FOV_DEG``.
        seed: of the generator.

    Raises:
        InputError: the generator needs something to start from.
    """
    width, height = long_side, round(long_side / ASPECT / 2) * 2
    focal = focal_px or float(focal_px_from_fov(DEFAULT_FOV_DEG, width))
    camera = Cameras(torch.eye(4)[None], pinhole_intrinsics(focal, width, height)[None], width, height)
    nothing = torch.zeros(1, height, width)
    memory = Memory(nothing[..., None].expand(1, height, width, 3), nothing, nothing)
    request = ViewRequest(camera, memory, memory.color[:0], camera[[]], seed, text)
    return Photo(generator(request)[0], focal, "given" if focal_px else "default", (width, height))
