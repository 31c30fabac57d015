"""Rendering Gaussian splats: a plain-torch reference, Numba kernels for the CPU, gsplat for CUDA; one signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .interface import Rendering, rasterize

__all__ = ["Rendering", "rasterize"]


def __getattr__(name: str) -> object:
    """Import torch only for those who use it: the kernels' forward pass does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import interface

    return getattr(interface, name)
