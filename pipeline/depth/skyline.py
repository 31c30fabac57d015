"""The skyline, moved to where the photo shows it.

A network sees poles and wires, which are thinner than its pixels, as sky, or a strip of sky around them as part of
them. The sky is smooth: what is thin and stands out from it is no sky, and what looks like it beside it is.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation, distance_transform_edt, label
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.windows import window_max, window_min
from ..blur import blur
from . import FAR_DEPTH_M, SKY_DEPTH_M

THIN = 0.012
"""Half the width of what is thin, in lengths of the photo's long side."""
STANDS_OUT = 0.1
"""Difference of colour, of 0..1, from which on something thin in the sky is no sky; more before clouds."""
SOLID = 0.0005
"""Of the picture: what something thin is part of is at least so large."""
HALO = 0.04
"""Width of the widest strip of sky that is taken for part of something, in lengths of the long side."""
ALIKE, FLAT = 0.04, 0.06
"""Difference of colour up to which something looks like the sky, and range of colours in 3 x 3 pixels up to which it is
as smooth as the sky; more where the sky is not smooth."""
INSIDE = 0.008
"""How far from the skyline the sky's colours are sure, in lengths of the long side."""
NEARBY = 0.015
"""Standard deviation of the blur that tells the sky's colour at a place, likewise."""


def follow_skyline(depth: Float[Tensor, "h w"], photo: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    """Depth whose sky ends where the photo's does.

    Args:
        depth: > 0; of the sky it is ``FAR_DEPTH_M``.
        photo: sRGB in [0, 1], of the same size.
    """
    size = max(depth.shape)
    far = depth > SKY_DEPTH_M
    if far.all() or not far.any():
        return depth
    within = _nearest((~far).numpy(force=True))[0] > INSIDE * size
    inside = torch.from_numpy(within).to(depth.device)
    if not inside.any():
        return depth
    sky = _spread(photo, inside, NEARBY * size)
    apart = (photo - sky).abs().amax(-1)
    rough = _spread(apart[..., None], inside, 2 * NEARBY * size)[..., 0]
    hat = _top_hat(photo, max(2, round(THIN * size)))
    thin = far & (torch.minimum(apart, hat) > STANDS_OUT + rough)
    depth, far = _part_of_things(depth, far, thin)
    alike = (apart < ALIKE + rough) & (_range(photo) < FLAT + 2 * rough)
    halo = _halos(far, alike & ~thin, HALO * size)
    halo |= (
        (window_max(halo.float(), 1) > 0) & ~far & ~thin & (apart < 2 * ALIKE)
    )  # their last pixels are mixed
    return torch.where(halo, FAR_DEPTH_M, depth)


def _part_of_things(
    depth: Float[Tensor, "h w"], far: Bool[Tensor, "h w"], thin: Bool[Tensor, "h w"]
) -> tuple[Float[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Depth and sky without what is thin and hangs together with something solid, at its depth."""
    solid = (~far).numpy(force=True)
    pieces, count = _pieces(solid | thin.numpy(force=True))
    large = np.bincount(pieces[solid], minlength=count + 1) > SOLID * solid.size
    part = thin & torch.from_numpy(large[pieces]).to(far.device)
    _, (rows, columns) = _nearest(solid)
    at_its_depth = depth[torch.from_numpy(rows).to(far.device), torch.from_numpy(columns).to(far.device)]
    return torch.where(part, at_its_depth, depth), far & ~part


def _halos(far: Bool[Tensor, "h w"], alike: Bool[Tensor, "h w"], widest: float) -> Bool[Tensor, "h w"]:
    """What looks like sky and lies, in a narrow strip, between the sky and something else."""
    sky, like = far.numpy(force=True), (alike & ~far).numpy(force=True)
    thing = ~sky & ~np.asarray(binary_dilation(like, iterations=2), bool)
    if not like.any() or not thing.any():
        return torch.zeros_like(far)
    halo = like & (_nearest(sky)[0] + _nearest(thing)[0] <= widest)
    pieces, count = _pieces(halo)
    beside = np.zeros(count + 1, bool)
    beside[pieces[halo & np.asarray(binary_dilation(sky), bool)]] = True
    return torch.from_numpy(beside[pieces] & halo).to(far.device)


def _pieces(where: Bool[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], int]:
    """The number of the piece that each pixel belongs to, 0 for none, and how many there are; a slanted wire is one."""
    pieces, count = label(where, np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
    return np.asarray(pieces), int(count)


def _nearest(where: Bool[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, "h w"], Int[np.ndarray, "2 h w"]]:
    """How far the nearest pixel of a mask is, and which it is."""
    away, place = distance_transform_edt(~where, return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    return np.asarray(away), np.asarray(place)


def _top_hat(photo: Float[Tensor, "h w 3"], radius: int) -> Float[Tensor, "h w"]:
    """By how much what is thinner than a window differs from what surrounds it, in the channel where it does most."""
    differences = []
    for channel in photo.unbind(-1):
        differences.append(window_min(window_max(channel, radius), radius) - channel)
        differences.append(channel - window_max(window_min(channel, radius), radius))
    return torch.stack(differences).amax(0)


def _range(photo: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    """Largest difference in 3 x 3 pixels: of the three channels, the most."""
    return torch.stack([window_max(c, 1) - window_min(c, 1) for c in photo.unbind(-1)]).amax(0)


def _spread(
    values: Float[Tensor, "h w c"], where: Bool[Tensor, "h w"], sigma: float, *, octaves: int = 5
) -> Float[Tensor, "h w c"]:
    """The mean of what is near of the chosen pixels; far from all of them, of the nearest. At a quarter of the size."""
    weight = where[..., None].to(values)
    maps = torch.cat([values * weight, weight], dim=-1).permute(2, 0, 1)[None]
    maps = F.avg_pool2d(maps, 4, ceil_mode=True)
    total = sum(
        (0.05**i * blur(maps, sigma / 4 * 2**i) for i in range(octaves)), start=torch.zeros_like(maps)
    )
    mean = total[:, :-1] / total[:, -1:].clamp_min(1e-9)
    return F.interpolate(mean, where.shape, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
