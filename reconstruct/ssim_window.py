"""The window and the constants of structural similarity (Wang et al. 2004), for images in [0, 1]."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

RADIUS = 5
"""The window has 2 * RADIUS + 1 taps a side."""
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2


def window(like: Tensor) -> Float[Tensor, "taps"]:
    """The Gaussian window along one axis; sums to 1."""
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    taps = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return (taps / taps.sum()).to(like)
