"""What looks like sky but is not: pieces that are near, and small ones, which are bright parts of things more often.
And what is sky and does not look like it: clouds."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, label, median, minimum
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
CLOUD, CLOUD_APART, CLOUD_DEPTH = 0.04, 0.02, 5.0
"""Clouds that were taken for something solid: at most so large (share of the picture), at least so far from all that is
larger (share of its long side), and so deep (canonical). Kites and birds that pass for one lose nothing in the sky."""


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


def with_clouds(far: Bool[Tensor, "h w"], depth: Float[Tensor, "h w"], unit: float) -> Bool[Tensor, "h w"]:
    """The sky with the clouds in it; where nothing but small pieces is solid, one cannot tell.

    Args:
        far: the sky without them.
        depth: > 0.
        unit: depth over canonical depth.
    """
    corners = np.ones((3, 3))  # or a slanted rope would be many pieces
    labelled, count = label((~far).numpy(force=True), corners)  # pyright: ignore[reportGeneralTypeIssues]
    if count < 2:
        return far
    pieces = torch.from_numpy(labelled).long()
    small = pieces.flatten().bincount() < CLOUD * pieces.numel()
    solid = (~small)[pieces] & (pieces > 0)
    if not solid.any():
        return far
    names = range(count + 1)
    away = distance_transform_edt(~solid.numpy())
    apart = torch.from_numpy(minimum(away, labelled, names)) > CLOUD_APART * max(far.shape)
    deep = torch.from_numpy(median(depth.numpy(force=True), labelled, names)) > CLOUD_DEPTH * unit
    return far | (small & apart & deep)[pieces].to(far.device)
