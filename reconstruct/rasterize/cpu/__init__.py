"""The CPU rasterizer: Numba kernels on explicit vectors of pixels, run from plain threads."""
