"""The first splats of a fit: from a sparse cloud, or from depth maps found by stereo."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from ..cameras import Cameras
from ..errors import InputError
from ..gaussians import Gaussians, cat_gaussians, gaussians_from_points
from ..rasterize import rasterize
from ..views import Views, as_float, shrink_views
from .stereo import DepthMaps, consistent, lookup, stereo_depths

STEREO_SIDE = 240
"""Photos are matched at about this many pixels along the longer side."""
OVERLAP = 0.6
"""Standard deviation of a splat, relative to the distance to its neighbours."""
LONELY = 0.25
"""Cells with fewer points than this, relative to the median cell, are noise."""
EMPTY = 0.02
"""Pixels nearer to the background's colour than this are background."""
FILLED = 0.01
"""Fraction by which filled depths of different photos may differ."""
COVER = 6
"""One splat in so many is kept for what photos see where no other photo confirms the depth."""
IN_FRONT = 0.93
"""A point this much nearer than the surface that another photo saw there hangs in the air."""


def match_views(views: Views) -> DepthMaps:
    """Depth of posed photos by stereo, at a size that is worth matching.

    Raises:
        InputError: fewer than 3 photos.
    """
    if len(views) < 3:
        raise InputError(
            f"{len(views)} photos are too few to start from without a sparse cloud: 3 are needed"
        )
    views = _shrunk(views)
    return stereo_depths(views.cameras, as_float(views.images))


def sure_depths(maps: DepthMaps, cameras: Cameras) -> Float[Tensor, "c h w"]:
    """Depths at the size of ``cameras``, 0 where other photos did not confirm them."""
    depth = torch.where(maps.consistent, maps.depth, 0.0)[:, None]
    return F.interpolate(depth, (cameras.height, cameras.width), mode="nearest")[:, 0]


def _shrunk(views: Views) -> Views:
    side = max(views.cameras.width, views.cameras.height)
    return shrink_views(views, max(1, round(side / STEREO_SIDE)))


def splats_from_views(
    views: Views,
    *,
    count: int,
    opacity: float = 0.5,
    background: tuple[float, float, float] | None = None,
    maps: DepthMaps | None = None,
) -> Gaussians:
    """Splats on the surfaces that stereo finds.

    Holes are filled smoothly where other photos confirm the result; what is still bare gets a thin backdrop, as far
    away as the farthest thing that the photo is sure of, where it hides nothing.

    Args:
        views: posed photos.
        count: roughly how many splats.
        opacity: of all of them; the backdrop's is half of it.
        background: colour of what the photos leave empty (they were cut out); no splat is put there.
        maps: what ``match_views`` found, if that is known.

    Raises:
        InputError: fewer than 3 photos, or nothing in them matches.
    """
    maps = match_views(views) if maps is None else maps
    views = _shrunk(views)
    images = as_float(views.images)
    counts = torch.ones_like(maps.consistent) if views.weights is None else views.weights > 0.5
    if background is not None:
        counts = counts & ((images - torch.tensor(background)).abs().amax(-1) > EMPTY)
    known = maps.consistent & counts
    if int(known.sum()) < 100:
        raise InputError("the photos do not match each other anywhere: are the poses and the lens right?")
    depth = _fill(maps.depth, known)
    filled = consistent(maps.cameras, depth, maps.neighbours, tolerance=FILLED)
    sure = counts & ~_hangs_in_air(maps, depth) & filled
    splats = _splats_from_depths(views.cameras, images, depth, sure, count - count // COVER, opacity)
    farthest = torch.where(known, maps.depth, 0.0).flatten(1).amax(1)[:, None, None].expand_as(depth)
    bare = counts & (_coverage(splats, views.cameras) < 0.5) & (farthest > 0) & ~_hangs_in_air(maps, farthest)
    if not bool(bare.any()):
        return splats
    backdrop = _splats_from_depths(views.cameras, images, farthest, bare, count // COVER, 0.5 * opacity)
    return cat_gaussians([splats, backdrop])


def _splats_from_depths(
    cameras: Cameras,
    images: Float[Tensor, "c h w 3"],
    depth: Float[Tensor, "c h w"],
    chosen: Bool[Tensor, "c h w"],
    count: int,
    opacity: float,
) -> Gaussians:
    points = cameras.unproject(depth)[chosen]
    footprint = (depth / cameras.intrinsics[:, 0, 0, None, None])[chosen]
    return splats_from_points(points, images[chosen], count=count, opacity=opacity, footprint=footprint)


def _coverage(splats: Gaussians, cameras: Cameras) -> Float[Tensor, "c h w"]:
    """How opaque the splats are in every pixel."""
    with torch.no_grad():
        return torch.cat([rasterize(splats, camera).alpha for camera in cameras])


def splats_from_points(
    points: Float[Tensor, "m 3"],
    rgb: Float[Tensor, "m 3"],
    *,
    count: int,
    opacity: float = 0.3,
    footprint: Float[Tensor, "m"] | None = None,
) -> Gaussians:
    """Round splats that fill the space between points.

    Args:
        points: a cloud; thinned out if it has more points than ``count``.
        rgb: colours in [0, 1].
        count: roughly how many splats at most.
        opacity: of all of them.
        footprint: size of a pixel at each point: clouds are thinned out to cells in proportion to it.
    """
    if len(points) > count:
        footprint = torch.ones(len(points)) if footprint is None else footprint
        points, rgb = _thin_out(points, rgb, footprint, count)
    return gaussians_from_points(points, rgb, OVERLAP * neighbour_distance(points), opacity=opacity)


def neighbour_distance(points: Float[Tensor, "n 3"], k: int = 3) -> Float[Tensor, "n"]:
    """Root mean square distance to the k nearest other points."""
    k = min(k, len(points) - 1)
    if k < 1:
        return torch.ones(len(points))
    nearest = [
        torch.cdist(part, points).topk(k + 1, largest=False).values[:, 1:] for part in points.split(1024)
    ]
    distance = torch.cat(nearest).square().mean(1).sqrt()
    return distance.clamp(0.05 * distance.median() + 1e-9, 5 * distance.median() + 1e-9)


def _thin_out(
    points: Float[Tensor, "m 3"], rgb: Float[Tensor, "m 3"], footprint: Float[Tensor, "m"], count: int
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """One point per cell, the mean of those inside; cells are powers of two larger where pixels are larger."""
    level = (footprint / footprint.median()).log2().round().clamp(-6, 6)
    low, high = torch.tensor(-4.0), torch.tensor(12.0)
    for _ in range(12):
        middle = (low + high) / 2
        cells = _cells(points, footprint.median() * 2 ** (level + middle), level)
        low, high = (middle, high) if int(cells.max()) + 1 > count else (low, middle)
    cells = _cells(points, footprint.median() * 2 ** (level + high), level)
    n = int(cells.max()) + 1
    totals = torch.zeros(n, 7).index_add_(
        0, cells, torch.cat([points, rgb, torch.ones(len(points), 1)], dim=1)
    )
    totals = totals[totals[:, 6] >= LONELY * totals[:, 6].median()]
    means = totals[:, :6] / totals[:, 6:]
    return means[:, :3], means[:, 3:]


def _cells(points: Tensor, size: Tensor, level: Tensor) -> Tensor:
    """Number of the cell of each point."""
    index = torch.floor((points - points.amin(0)) / size[:, None]).long() % (1 << 18)
    key = ((index[:, 0] << 18 | index[:, 1]) << 18 | index[:, 2]) + (level.long() + 8 << 56)
    return key.unique(return_inverse=True)[1]


def _fill(depth: Float[Tensor, "c h w"], known: Bool[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """Fill holes with means over growing windows of inverse depth (push and pull)."""
    values = torch.where(known, 1 / depth.clamp_min(1e-9), 0.0)[:, None]
    return 1 / _pull(values, known[:, None].float())[:, 0]


def _pull(values: Tensor, weights: Tensor) -> Tensor:
    """Values where weights are 1, elsewhere those of the half-size image, recursively."""
    if bool((weights > 0).all()) or min(values.shape[-2:]) <= 1:
        return torch.where(weights > 0, values, (values * weights).sum() / weights.sum().clamp_min(1))
    half = {"kernel_size": 2, "ceil_mode": True, "count_include_pad": False}
    mass = F.avg_pool2d(weights, **half)
    coarse = _pull(F.avg_pool2d(values * weights, **half) / mass.clamp_min(1e-9), (mass > 0).float())
    smooth = F.interpolate(coarse, values.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(weights > 0, values, smooth)


def _hangs_in_air(maps: DepthMaps, depth: Float[Tensor, "c h w"]) -> Bool[Tensor, "c h w"]:
    """Which pixels' points hide a surface that a neighbour is sure to have seen behind them."""
    sure = torch.where(maps.consistent, maps.depth, 0.0)
    objections = []
    for i in range(len(depth)):
        points = maps.cameras[i].unproject(depth[i][None]).reshape(1, -1, 3)
        votes = torch.zeros(points.shape[1], dtype=torch.int32)
        for j in maps.neighbours[i].tolist():
            pixels, z = maps.cameras[j].project(points)
            votes += ((z[0] > 0) & (z[0] < IN_FRONT * lookup(sure[j], pixels[0], mode="nearest"))).int()
        objections.append((votes > 1).reshape(depth[i].shape))
    return torch.stack(objections)
