"""Texture for filled holes: what a smooth filling lacks is taken from beside the hole, shifted across its rim.

Shifted, not mirrored: the grain of wood goes on in its direction, where mirroring makes chevrons.

The eye forgives a wall whose stains are invented, not one that turns to fog where the photo ends. Only fine detail is
taken, relative to the brightness around it and without outlines, so that no object is seen twice and dark corners stay
calm.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ..blur import blur

FINE = 0.008
"""Standard deviation of the blur that tells detail from the rest, in lengths of the picture's long side."""
REACHES = (0.07, 0.035, 0.018, 0.008)
"""How far from the rim detail is taken, likewise; the next where the one before leads out of what is known."""
LIMIT = 0.09
"""Detail that differs more from the brightness around it is an outline and fades out, to nothing at twice this."""
DARK = 0.08
"""Brightness below which detail counts no more than at this one: it is noise."""


def add_detail(
    filled: Float[Tensor, "h w 3"],
    color: Float[Tensor, "h w 3"],
    source: Bool[Tensor, "h w"],
    hidden: Bool[Tensor, "h w"],
) -> Float[Tensor, "h w 3"]:
    """A smoothly filled picture with the texture of what surrounds its holes.

    Args:
        filled: the picture.
        color: known colours, read where ``source`` is.
        source: where texture may be taken from.
        hidden: where it is added; elsewhere ``filled`` is returned as it is.
    """
    if not source.any() or not hidden.any():
        return filled
    side = max(source.shape)
    detail = _relative_detail(color, source, max(1.0, FINE * side))
    away, rim = distance_transform_edt(~source.numpy(), return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    todo, out = hidden.numpy().copy(), filled.clone()
    for reach in REACHES:
        places, origins = _beside(source.numpy(), todo, away, rim, reach * side)
        out[places] = filled[places] + detail[origins] * filled[places].mean(-1, keepdim=True)
        todo[places] = False
    return out.clamp(0, 1)


def _relative_detail(
    color: Float[Tensor, "h w 3"], source: Bool[Tensor, "h w"], sigma: float
) -> Float[Tensor, "h w 3"]:
    """What a blur takes away, in parts of the brightness; 0 outside the source."""
    weight = source.to(color)[..., None]
    maps = torch.cat([color * weight, weight], dim=-1).permute(2, 0, 1)[None]
    blurred = blur(maps, sigma)[0].permute(1, 2, 0)
    smooth = blurred[..., :3] / blurred[..., 3:].clamp(min=1e-4)
    around = smooth.mean(-1, keepdim=True).clamp(min=DARK)
    detail = (color - smooth) / around
    return detail * (2 - detail.abs().amax(-1, keepdim=True) / LIMIT).clamp(0, 1) * weight


def _beside(
    source: np.ndarray, hidden: np.ndarray, away: np.ndarray, rim: np.ndarray, reach: float
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Hidden pixels and those that lie some reaches away, across the rim; (rows, columns).

    In one of eight directions, so that whole pieces are shifted: beyond a corner of the rim, where all pixels have the
    same nearest one, a direction of their own would wind the texture into rings.

    Args:
        source: bool [h, w].
        hidden: bool [h, w].
        away: [h, w], distance of each pixel from the nearest source pixel.
        rim: [2, h, w], row and column of that pixel.
        reach: step of the shift, in pixels.
    """
    places = np.nonzero(hidden)
    distance, nearest = away[places], rim[:, *places]
    towards = nearest - places
    eighth = np.round(np.arctan2(towards[0], towards[1]) / (np.pi / 4)) * (np.pi / 4)
    times = np.floor(distance / (np.cos(np.pi / 8) * reach)) + 1
    rows, columns = np.round(places + times * reach * np.stack([np.sin(eighth), np.cos(eighth)])).astype(
        np.int64
    )
    inside = (rows >= 0) & (columns >= 0) & (rows < source.shape[0]) & (columns < source.shape[1])
    inside[inside] = source[rows[inside], columns[inside]]
    return (places[0][inside], places[1][inside]), (rows[inside], columns[inside])
