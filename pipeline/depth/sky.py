"""What looks like sky but is not: pieces that are near, and small ones, which are bright parts of things more often."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import label, median
from torch import Tensor

from ...reconstruct.depth_completion import complete_depth

SMALLEST = 0.005
"""Of the picture. A gap between leaves may be painted at the leaves' depth; a tower's bright side left in the sky is
torn out of the tower."""

NEAREST = math.log(3.0)
"""Canonical log-depth; what looks like sky but is nearer is a bright wall or a window."""
NEAREST_MIDDLE = math.log(4.0)
"""The same for the median of a whole piece: a white backdrop is just far enough in places."""
SMALL, NEAREST_SMALL = 0.02, math.log(12.0)
"""Pieces below this share of the picture have to be farther away: they are part of a wall more often."""


def far_enough(looks_far: Bool[Tensor, "h w"], log_depth: Float[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """The pieces of what looks like sky that are as far away as sky is.

    Args:
        looks_far: what looks like sky.
        log_depth: canonical.
    """
    far = looks_far & (log_depth > NEAREST)
    labelled, count = label(far.numpy(force=True))  # pyright: ignore[reportGeneralTypeIssues]
    if count == 0:
        return far
    middles = torch.from_numpy(median(log_depth.numpy(force=True), labelled, range(count + 1)))
    pieces = torch.from_numpy(labelled).long()
    small = pieces.flatten().bincount() < SMALL * pieces.numel()
    enough = middles > torch.where(small, NEAREST_SMALL, NEAREST_MIDDLE)
    return far & enough[pieces].to(far.device)


def without_islands(
    depth: Float[Tensor, "h w"], far: Bool[Tensor, "h w"]
) -> tuple[Float[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Depth and sky with small pieces of sky at the depth of what surrounds them.

    Args:
        depth: > 0.
        far: the sky.
    """
    labelled, _ = label(far.numpy(force=True))  # pyright: ignore[reportGeneralTypeIssues]
    pieces = torch.from_numpy(labelled).long().to(far.device)
    islands = far & (pieces.flatten().bincount() < SMALLEST * pieces.numel())[pieces]
    if not islands.any() or (far | islands).all():
        return depth, far
    return complete_depth(depth, ~islands, ~far), far & ~islands
