"""Depth as a picture and as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ...reconstruct.errors import InputError
from ...reconstruct.files.atomic import atomic_write
from . import DepthMap

NEAR_TO_FAR = (
    (0.99, 0.91, 0.66),
    (0.98, 0.56, 0.37),
    (0.80, 0.25, 0.44),
    (0.48, 0.14, 0.50),
    (0.18, 0.07, 0.36),
    (0.02, 0.02, 0.08),
)
"""Bright near to dark far; sky is grey-blue."""
SKY = (0.30, 0.38, 0.46)


def depth_picture(depth: DepthMap) -> Float[Tensor, "h w 3"]:
    """Inverse depth in colours, stretched over the 1st to 99th percentile of what is not sky."""
    inverse = 1 / depth.depth_m
    solid = inverse[~depth.far]
    if solid.numel() == 0:
        return torch.tensor(SKY).expand(*inverse.shape, 3).clone()
    ordered = solid.sort().values
    low, high = ordered[int(0.01 * (len(ordered) - 1))], ordered[int(0.99 * (len(ordered) - 1))]
    position = (1 - (inverse - low) / (high - low).clamp_min(1e-9)).clamp(0, 1) * (len(NEAR_TO_FAR) - 1)
    colours = torch.tensor(NEAR_TO_FAR)
    index = position.floor().long().clamp(max=len(NEAR_TO_FAR) - 2)
    part = (position - index)[..., None]
    picture = colours[index] * (1 - part) + colours[index + 1] * part
    picture[depth.far] = torch.tensor(SKY)
    return picture


def save_depth(path: Path, depth_m: Float[Tensor, "h w"]) -> None:
    """Write ``.npy`` (float32 metres) or ``.png`` (16 bit, millimetres, at most 65.535 m).

    Raises:
        InputError: another suffix.
    """
    values = depth_m.cpu().numpy().astype(np.float32)
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".png"):
        raise InputError(f"{path}: depth is written as .npy (metres) or .png (16 bit, millimetres)")
    with atomic_write(path) as temporary:
        if suffix == ".npy":
            np.save(temporary, values)
        else:
            Image.fromarray((values * 1000).round().clip(1, 65535).astype(np.uint16)).save(temporary)
