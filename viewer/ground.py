"""The ground of a scene, so that who walks keeps standing, and a map: the scene seen from above and behind."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..reconstruct.cameras import Cameras, look_at
from ..reconstruct.gaussians import Gaussians

CELLS = 48
MAP_PX = 300
_MAP_TILT = 55.0
"""Degrees above the horizon: walls are seen too, and hide little."""
_MAP_DISTANCE = 4.0
"""In sides of the grid."""
_SOLID = 0.3
"""Opacity from which on a splat can be stood on."""
_STEEPEST = 2.5
"""Rise from cell to cell, in sides of a cell, up to which a surface goes on; cells are coarse, slopes less steep."""
_LEAST_SPLATS = 4
"""A cell with fewer solid splats says nothing about the ground."""


@dataclass(frozen=True)
class Ground:
    """Heights on a square grid across ``up``, scene units."""

    up: Float[Tensor, "3"]
    origin: Float[Tensor, "3"]
    """Corner of the grid, at height 0."""
    axes: Float[Tensor, "2 3"]
    """Unit directions of columns and rows; right-handed with ``up`` pointing at the viewer of the map."""
    size: float
    """Length of a side."""
    heights: Float[Tensor, "cells cells"]
    """Along ``up`` from the world's origin; row, column."""

    def at(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Height of the ground below points; beyond the grid that of its edge."""
        columns, rows = ((points - self.origin) @ self.axes.T / self.size * len(self.heights)).unbind(-1)
        last = len(self.heights) - 1
        return self.heights[rows.long().clamp(0, last), columns.long().clamp(0, last)]


def estimate_ground(
    gaussians: Gaussians,
    up: Float[Tensor, "3"],
    eye: Float[Tensor, "3"],
    ahead: Float[Tensor, "3"],
    *,
    cells: int = CELLS,
) -> Ground | None:
    """The lowest solid surface in every cell, smoothed; None if there is too little to tell.

    A cell's height is the 10 % quantile of its solid splats that lie below the eye; a 3x3 median removes
    cells that are unlike their neighbours. Where nothing lies below the eye, the ground climbs on as long as the
    lowest solid surface there is one that can be climbed from the cells around it; else it takes their mean.

    Args:
        gaussians: the scene.
        up: unit vector.
        eye: a place where somebody stands, usually the first camera.
        ahead: where they look; the grid's second axis, which points up on the map.
        cells: per side.
    """
    points = gaussians.means[gaussians.opacities > _SOLID]
    points = points[:: max(1, len(points) // 600_000)]
    below = points[points @ up < eye @ up]
    if len(below) < 10 * _LEAST_SPLATS:
        return None
    origin, axes, size = _square(below, _across(up, ahead), eye)
    lowest, anywhere = (
        _lowest(*_cells(some, origin, axes, size, cells), some @ up, cells) for some in (below, points)
    )
    if bool(lowest.isnan().all()):
        return None
    step = _STEEPEST * size / cells
    return Ground(up, origin, axes, size, _filled(_median3(lowest), anywhere, step))


def draw_map(
    gaussians: Gaussians, ground: Ground, eye: Float[Tensor, "3"], *, pixels: int = MAP_PX
) -> tuple[Cameras, UInt8[np.ndarray, "p p 4"]]:
    """A scene as a tilted map shows it: from far above and behind.

    Args:
        gaussians: the scene.
        ground: tells what is up; its grid is what the map covers, and its second axis points up there.
        eye: a place where somebody stands; the map shows it too. What is much higher is left out, as a roof would
            hide the room.
        pixels: per side.

    Returns:
        The camera of the map (a batch of one), and its picture, RGBA.
    """
    from ..reconstruct.rasterize import rasterize

    means, middle = gaussians.means, ground.size / 2 * ground.axes.sum(0)
    inside = ((means - ground.origin - middle) @ ground.axes.T).abs().amax(-1) < ground.size / 2
    below = means @ ground.up < eye @ ground.up + 0.1 * ground.size
    seen = gaussians[(gaussians.opacities > _SOLID) & inside & below]
    centre = ground.origin + middle + float(ground.heights.median()) * ground.up
    tilt = math.radians(_MAP_TILT)
    away = math.sin(tilt) * ground.up - math.cos(tilt) * ground.axes[1]
    pose = look_at((centre + _MAP_DISTANCE * ground.size * away)[None], centre[None], ground.axes[1])
    camera = _framed(Cameras(pose, torch.eye(3)[None], pixels, pixels), seen.means, eye)
    with torch.no_grad():
        shown = rasterize(seen, camera)
    color = (shown.color[0] / shown.alpha[0, ..., None].clamp_min(1e-6)).clamp(0, 1)
    rgba = torch.cat([color, shown.alpha[0, ..., None]], dim=-1)
    return camera, (rgba * 255 + 0.5).to(torch.uint8).numpy()


def _framed(camera: Cameras, points: Float[Tensor, "n 3"], eye: Float[Tensor, "3"]) -> Cameras:
    """The camera with the lens that just shows nearly all points, and the eye."""
    spots = camera.project(points[None, :: max(1, len(points) // 50_000)])[0][0]
    at = camera.project(eye[None, None])[0][0, 0]
    low, high = torch.quantile(spots, torch.tensor([0.01, 0.99]), dim=0) if len(spots) else (at, at)
    low, high = torch.minimum(low, at), torch.maximum(high, at)
    focal = camera.width / (1.2 * float((high - low).max()) + 1e-6)
    offset = camera.width / 2 - focal * (low + high) / 2
    intrinsics = torch.tensor([[focal, 0, float(offset[0])], [0, focal, float(offset[1])], [0, 0, 1]])
    return replace(camera, intrinsics=intrinsics[None])


def _across(up: Tensor, ahead: Tensor) -> Tensor:
    """Two level directions: to the right, and ahead as far as that is level."""
    right = torch.linalg.cross(ahead, up)
    if float(right.norm()) < 1e-3:  # who looks straight up or down may look anywhere
        right = torch.linalg.cross(torch.eye(3)[int(up.abs().argmin())], up)
    right = torch.nn.functional.normalize(right, dim=0)
    return torch.stack([right, torch.linalg.cross(up, right)])


def _square(points: Tensor, axes: Tensor, eye: Tensor) -> tuple[Tensor, Tensor, float]:
    """A square along two axes that holds nearly all points and the eye."""
    flat = points @ axes.T
    sample = flat[:: max(1, len(flat) // 100_000)]
    low, high = torch.quantile(sample, 0.02, dim=0), torch.quantile(sample, 0.98, dim=0)
    low, high = torch.minimum(low, eye @ axes.T), torch.maximum(high, eye @ axes.T)
    size = max(float((high - low).max()) * 1.1, 1e-6)
    corner = (low + high) / 2 - size / 2
    return corner @ axes, axes, size


def _cells(points: Tensor, origin: Tensor, axes: Tensor, size: float, count: int) -> tuple[Tensor, Tensor]:
    index = ((points - origin) @ axes.T / size * count).floor().long()
    inside = ((index >= 0) & (index < count)).all(-1)
    return (index[:, 1] * count + index[:, 0])[inside], inside


def _lowest(cell: Tensor, inside: Tensor, height: Tensor, cells: int) -> Float[Tensor, "cells cells"]:
    """The 10 % quantile of the heights in every cell; not a number where there are too few."""
    heights = torch.full((cells * cells,), torch.nan)
    if not len(cell):
        return heights.view(cells, cells)
    height = height[inside]
    order = torch.argsort(cell * 4.0 + (height - height.min()) / (height.max() - height.min() + 1e-9))
    cell, height = cell[order], height[order]
    ids, counts = torch.unique_consecutive(cell, return_counts=True)
    firsts = counts.cumsum(0) - counts
    enough = counts >= _LEAST_SPLATS
    heights[ids[enough]] = height[firsts + counts // 10][enough]
    return heights.view(cells, cells)


def _median3(heights: Float[Tensor, "r c"]) -> Float[Tensor, "r c"]:
    padded = torch.nn.functional.pad(heights[None, None], (1, 1, 1, 1), value=torch.nan)[0, 0]
    around = padded.unfold(0, 3, 1).unfold(1, 3, 1).reshape(*heights.shape, 9)
    return torch.where(heights.isnan(), heights, around.nanmedian(-1).values)


def _filled(
    heights: Float[Tensor, "r c"], surface: Float[Tensor, "r c"], step: float
) -> Float[Tensor, "r c"]:
    """Empty cells take the mean of their filled neighbours, or the surface that lies within a step of it.

    Again and again, from the edges inwards.
    """
    while bool(heights.isnan().any()):
        known = (~heights.isnan()).float()
        kernel = torch.ones(1, 1, 3, 3)
        total = torch.nn.functional.conv2d(heights.nan_to_num(0.0)[None, None], kernel, padding=1)[0, 0]
        count = torch.nn.functional.conv2d(known[None, None], kernel, padding=1)[0, 0]
        mean = total / count.clamp_min(1)
        new = torch.where((surface - mean).abs() < step, surface, mean)
        heights = torch.where(heights.isnan() & (count > 0), new, heights)
    return heights
