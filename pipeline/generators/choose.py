"""The generators by name."""

from __future__ import annotations

from typing import Literal, get_args

from ...reconstruct.errors import InputError
from . import ViewGenerator

GeneratorName = Literal["inpaint", "views", "sana", "world"]


def load_generator(name: str, *, device: str = "cpu") -> ViewGenerator:
    """A generator by its name; heavy imports happen here.

    Args:
        name: ``inpaint``: hole filling, nothing learned. ``views``: the bundled multi-view diffusion model. ``sana``:
            SANA world model through diffusers; needs a GPU and its weights from a model hub.
        device: where a network runs.

    Raises:
        InputError: no such generator, or its packages or weights are missing.
    """
    match name:
        case "inpaint":
            from .inpaint import InpaintGenerator

            return InpaintGenerator()
        case "views":
            from ..diffusion.generator import load_view_generator

            return load_view_generator()
        case "sana":
            from .sana import load_sana

            return load_sana(device=device)
        case "world":
            raise InputError("generator 'world' builds places from a sentence; it cannot go on from a photo")
    raise InputError(f"generator {name!r} is none of: {', '.join(get_args(GeneratorName))}")
