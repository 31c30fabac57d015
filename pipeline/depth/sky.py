"""Small pieces of sky, which are bright parts of things more often than sky."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import label
from torch import Tensor

from ...reconstruct.depth_completion import complete_depth

SMALLEST = 0.005
"""Of the picture. A gap between leaves may be painted at the leaves' depth; a tower's bright side left in the sky is
torn out of the tower."""


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
