"""Ray casting in a voxel grid (numba): the geometry behind indirect light, exposure and free space for cameras.

Rays step from voxel to voxel (Amanatides and Woo, "A Fast Voxel Traversal Algorithm", 1987).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba
import numpy as np

from .model import Model
from .scene import Placement, Scene

FACES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
"""Outward directions of a voxel's faces; index 2 * axis + (negative)."""


@dataclass(frozen=True)
class VoxelGrid:
    """What is solid, and its mean albedo and emission."""

    origin: np.ndarray
    """float32 [3], corner of voxel (0, 0, 0)."""
    cell: float
    solid: np.ndarray
    """uint8 [X, Y, Z]."""
    albedo: np.ndarray
    """float32 [X, Y, Z, 3]."""
    emission: np.ndarray
    """float32 [X, Y, Z, 3]."""

    def index(self, points: np.ndarray) -> np.ndarray:
        """Voxel indices of points [N, 3], clipped to the grid."""
        raw = np.floor((points - self.origin) / self.cell).astype(np.int32)
        return np.clip(raw, 0, np.array(self.solid.shape) - 1)


def voxelise(scene: Scene, texture_means: dict[str, np.ndarray], *, cell: float, density: float) -> VoxelGrid:
    """Mark the static surfaces of a scene.

    Args:
        scene: the scene.
        texture_means: mean linear colour of every texture in use.
        cell: edge of a voxel in metres.
        density: surface samples per square metre; several per voxel face keep walls tight.
    """
    low = np.array(scene.low, np.float32) - 2 * cell
    shape = np.ceil((np.array(scene.high) + 2 * cell - low) / cell).astype(int)
    counts = np.zeros(shape, np.int32)
    albedo = np.zeros((*shape, 3), np.float32)
    emission = np.zeros((*shape, 3), np.float32)
    for placement in scene.placements:
        if not placement.solid or placement.background or placement.motion is not None:
            continue
        points, normals, material = _within(placement, scene).surface_samples(density)
        rotation = placement.matrix[:3, :3].astype(np.float32)
        moved = points @ rotation.T + placement.matrix[:3, 3].astype(np.float32)
        moved -= 0.3 * cell * (normals @ rotation.T)
        colors = np.array(
            [np.array(m.color) * texture_means.get(m.texture or "", 1.0) for m in placement.model.materials],
            np.float32,
        )
        glow = np.array([m.emission for m in placement.model.materials], np.float32)[:, None] * colors
        _mark(moved, material, colors, glow, low, cell, counts, albedo, emission)
    weight = np.maximum(counts, 1)[..., None]
    return VoxelGrid(low, cell, (counts > 0).astype(np.uint8), albedo / weight, emission / weight)


def _within(placement: Placement, scene: Scene) -> Model:
    """The placement's model without the triangles outside the scene's volume (roads and hills run on for ever)."""
    low, high = np.array(scene.low) - 1.0, np.array(scene.high) + 1.0
    bounds = placement.start_bounds
    if (bounds[0] >= low).all() and (bounds[1] <= high).all():
        return placement.model
    model = placement.model
    moved = model.positions @ placement.matrix[:3, :3].T + placement.matrix[:3, 3]
    corners = moved[model.faces]
    inside = ((corners.min(axis=1) < high) & (corners.max(axis=1) > low)).all(axis=1)
    return replace(model, faces=model.faces[inside]) if inside.any() else model


@numba.njit(cache=True)
def _mark(points, material, colors, glow, origin, cell, counts, albedo, emission):
    for i in range(len(points)):
        x = int(np.floor((points[i, 0] - origin[0]) / cell))
        y = int(np.floor((points[i, 1] - origin[1]) / cell))
        z = int(np.floor((points[i, 2] - origin[2]) / cell))
        if 0 <= x < counts.shape[0] and 0 <= y < counts.shape[1] and 0 <= z < counts.shape[2]:
            counts[x, y, z] += 1
            for k in range(3):
                albedo[x, y, z, k] += colors[material[i], k]
                emission[x, y, z, k] += glow[material[i], k]


@numba.njit(cache=True, fastmath=True)
def trace(solid, origin, cell, px, py, pz, dx, dy, dz, reach):
    """First solid voxel along a ray.

    Returns (state, x, y, z, face, distance); state 1 hit, 0 left the grid, -1 reach ended. A ray that starts in a
    solid voxel leaves it first.
    """
    inv = np.float32(1.0) / cell
    gx, gy, gz = (px - origin[0]) * inv, (py - origin[1]) * inv, (pz - origin[2]) * inv
    x, y, z = int(np.floor(gx)), int(np.floor(gy)), int(np.floor(gz))
    sx = 1 if dx > 0 else -1
    sy = 1 if dy > 0 else -1
    sz = 1 if dz > 0 else -1
    big = np.float32(1e9)
    tdx = abs(1.0 / dx) if abs(dx) > 1e-9 else big
    tdy = abs(1.0 / dy) if abs(dy) > 1e-9 else big
    tdz = abs(1.0 / dz) if abs(dz) > 1e-9 else big
    tx = (x + 1 - gx) * tdx if sx > 0 else (gx - x) * tdx
    ty = (y + 1 - gy) * tdy if sy > 0 else (gy - y) * tdy
    tz = (z + 1 - gz) * tdz if sz > 0 else (gz - z) * tdz
    reach_cells = reach * inv
    nx, ny, nz = solid.shape
    while True:
        if tx < ty and tx < tz:
            t, x, tx, face = tx, x + sx, tx + tdx, (1 if sx > 0 else 0)
        elif ty < tz:
            t, y, ty, face = ty, y + sy, ty + tdy, (3 if sy > 0 else 2)
        else:
            t, z, tz, face = tz, z + sz, tz + tdz, (5 if sz > 0 else 4)
        if x < 0 or y < 0 or z < 0 or x >= nx or y >= ny or z >= nz:
            return 0, 0, 0, 0, 0, t * cell
        if t > reach_cells:
            return -1, 0, 0, 0, 0, t * cell
        if solid[x, y, z]:
            return 1, x, y, z, face, t * cell


@numba.njit(cache=True)
def cast_rays(solid, origin, cell, starts, directions, radiance, miss):
    """Distances [N] (inf where nothing is hit) and radiances [N, 3] along rays."""
    distances = np.empty(len(starts), np.float32)
    seen = np.empty((len(starts), 3), np.float32)
    for i in range(len(starts)):
        p, d = starts[i], directions[i]
        state, x, y, z, face, t = trace(solid, origin, cell, p[0], p[1], p[2], d[0], d[1], d[2], 1e6)
        if state == 1:
            distances[i] = t
            for k in range(3):
                seen[i, k] = radiance[x, y, z, face, k]
        else:
            distances[i] = np.inf
            for k in range(3):
                seen[i, k] = miss[k]
    return distances, seen
