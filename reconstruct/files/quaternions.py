"""Unit quaternions as their three smallest components: the largest follows from the length, its sign from q = -q."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

SQRT_HALF = 0.7071067811865476
"""The largest that the three smallest components can be."""
_OTHERS = torch.tensor([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def smallest_three(quats: Float[Tensor, "n 4"]) -> tuple[Int64[Tensor, "n"], Float[Tensor, "n 3"]]:
    """Which component is the largest, and the other three in order, once it is made positive.

    Args:
        quats: any length > 0, in any order of components.
    """
    unit = torch.nn.functional.normalize(quats, dim=1)
    largest = unit.abs().argmax(dim=1)
    sign = torch.where(unit.gather(1, largest[:, None]) < 0, -1.0, 1.0)
    return largest, (unit * sign).gather(1, _OTHERS[largest])


def from_smallest_three(largest: Int64[Tensor, "n"], others: Float[Tensor, "n 3"]) -> Float[Tensor, "n 4"]:
    """Unit quaternions again, in the order of components they had."""
    quats = others.new_zeros(len(others), 4)
    quats.scatter_(1, _OTHERS[largest], others)
    missing = (1 - others.square().sum(dim=1, keepdim=True)).clamp_min(0).sqrt()
    return torch.nn.functional.normalize(quats.scatter_(1, largest[:, None], missing), dim=1)
