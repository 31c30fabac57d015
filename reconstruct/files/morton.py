"""Splats in Morton (Z-curve) order: neighbours in the file are neighbours in space, which compresses better."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor, from_numpy


def morton_order(points: Float[Tensor, "n 3"]) -> Int64[Tensor, "n"]:
    """The stable order of the points along a Z-curve of 1024 cells a side.

    A scene's few far points squeeze all others into few cells; the points between the 1st and 99th percentile
    set the grid, and points outside are sorted by the cell at its edge.
    """
    low, high = np.percentile(points.numpy(), [1, 99], axis=0)
    extent = np.maximum(high - low, 1e-12)
    cells = ((points.numpy() - low) / extent * 1023).clip(0, 1023).astype(np.uint32)
    code = _spread(cells[:, 0]) | _spread(cells[:, 1]) << 1 | _spread(cells[:, 2]) << 2
    return from_numpy(np.argsort(code, kind="stable"))


def _spread(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The lowest ten bits, two zeros between each."""
    spread = values & np.uint32(0x3FF)
    for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
        spread = (spread | spread << np.uint32(shift)) & np.uint32(mask)
    return spread.astype(np.uint32)
