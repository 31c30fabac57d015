"""Rendering Gaussian splats: a plain-torch reference, Numba kernels for the CPU, gsplat for CUDA; one signature."""

from .interface import Rendering, rasterize

__all__ = ["Rendering", "rasterize"]
