"""Indirect light by gathering in a voxel grid: soft window light, bounces and large-scale occlusion.

Faces of solid voxels get direct light (lamps, windows, sun, each with a shadow ray); a grid of probes then gathers
the radiance of what it sees in fixed directions and keeps the irradiance of six axis directions (an ambient cube,
McTaggart, "Half-Life 2 / Valve Source Shading", 2004); vertices interpolate the probes in front of them.
Fine contact shadows are added on screen by the renderer; so are the sun's and the main lamp's direct light.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from .scene import Scene
from .voxels import FACES, VoxelGrid, cast_rays, trace

PROBE_STEP = 2
"""Voxels between probes."""
RAYS = 48


@dataclass(frozen=True)
class LightField:
    """Indirect light everywhere in a scene."""

    grid: VoxelGrid
    radiance: np.ndarray
    """float32 [X, Y, Z, 6, 3]: light leaving the faces of solid voxels, all bounces."""
    probes: np.ndarray
    """float32 [PX, PY, PZ, 6, 3]: irradiance / pi for the six axis directions."""
    valid: np.ndarray
    """float32 [PX, PY, PZ]: 0 where a probe sits inside something."""
    sky: np.ndarray
    """float32 [3], mean radiance of the sky."""

    @cached_property
    def shade(self) -> float:
        """Luminance of a grey surface in a dim corner of the scene."""
        luminance = self.probes.mean(axis=3)[self.valid > 0] @ np.array([0.25, 0.6, 0.15], np.float32)
        lit = luminance[luminance > 0]
        return 0.1 * float(np.median(lit)) if len(lit) else 0.0

    def at(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """float32 [N, 3]: what a white matt surface would show without the sun and the main lamp."""
        return _interpolate(
            np.ascontiguousarray(points, np.float32),
            np.ascontiguousarray(normals, np.float32),
            self.grid.origin,
            np.float32(self.grid.cell * PROBE_STEP),
            self.probes,
            self.valid,
        )

    def look(self, starts: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance [N] and radiance [N, 3] along rays; unhit rays see the sky."""
        return cast_rays(
            self.grid.solid,
            self.grid.origin,
            np.float32(self.grid.cell),
            np.ascontiguousarray(starts, np.float32),
            np.ascontiguousarray(directions, np.float32),
            self.radiance,
            self.sky,
        )


def fibonacci_directions(count: int) -> np.ndarray:
    """float32 [count, 3]: unit vectors spread evenly over the sphere."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    angle = np.pi * (1 + 5**0.5) * i
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1).astype(np.float32)


def window_samples(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Points on the windows [N, 3] and (inward normal, area) [N, 4]."""
    points, frames = [], []
    for window in scene.windows:
        along, inward = np.array(window.along), np.array(window.inward)
        width = 2 * np.linalg.norm(along)
        for u in (-0.66, 0.0, 0.66):
            for v in (-0.5, 0.5):
                points.append(np.array(window.centre) + u * along + v * np.array([0, 0, window.half_height]))
                frames.append([*inward, width * 2 * window.half_height / 6])
    return (
        np.array(points, np.float32).reshape(-1, 3),
        np.array(frames, np.float32).reshape(-1, 4),
    )


def light_scene(scene: Scene, grid: VoxelGrid) -> LightField:
    """Solve a scene's indirect light."""
    sky = scene.sky.mean_radiance.astype(np.float32)
    lamps = np.array([[*lamp.position, *lamp.color] for lamp in scene.lamps], np.float32).reshape(-1, 6)
    windows, frames = window_samples(scene)
    sun = np.array([*scene.sky.to_sun, *scene.sky.sun], np.float32)
    cell, origin = np.float32(grid.cell), grid.origin
    outside = np.zeros(3, np.float32) if scene.indoor else sky
    radiance = np.zeros((*grid.solid.shape, 6, 3), np.float32)
    shape = tuple((n + PROBE_STEP - 1) // PROBE_STEP + 1 for n in grid.solid.shape)
    probes, valid = np.zeros((*shape, 6, 3), np.float32), np.zeros(shape, np.float32)
    _light_faces(
        grid.solid,
        grid.albedo,
        grid.emission,
        origin,
        cell,
        lamps,
        windows,
        frames,
        sun,
        sky,
        outside,
        radiance,
    )
    mean_albedo = float(grid.albedo[grid.solid > 0].mean()) if grid.solid.any() else 0.0
    bounce = np.float32(1 / (1 - 0.75 * mean_albedo)) if scene.indoor else np.float32(1.15)
    direct_lamps = lamps[1:] if scene.indoor else lamps
    _gather(
        grid.solid, _near_surface(grid.solid), origin, cell, radiance, fibonacci_directions(RAYS), direct_lamps, windows, frames, sky,
        outside, bounce, probes, valid,
    )  # fmt: skip
    return LightField(grid, radiance, probes, valid, sky)


@numba.njit(cache=True)
def _near_surface(solid):
    """uint8 [X, Y, Z]: within reach of a surface; probes elsewhere would light nothing."""
    near = np.zeros_like(solid)
    nx, ny, nz = solid.shape
    r = PROBE_STEP + 1
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                if solid[x, y, z]:
                    near[max(0, x - r) : x + r + 1, max(0, y - r) : y + r + 1, max(0, z - r) : z + r + 1] = 1
    return near


@numba.njit(cache=True, fastmath=True)
def _add_direct(solid, origin, cell, px, py, pz, lamps, windows, frames, sky, axis_normals, out):
    """Irradiance of lamps and windows at a point for several normals; out [N, 3] is added to."""
    for i in range(len(lamps)):
        lx, ly, lz = lamps[i, 0] - px, lamps[i, 1] - py, lamps[i, 2] - pz
        d = np.sqrt(lx * lx + ly * ly + lz * lz) + 1e-6
        lx, ly, lz = lx / d, ly / d, lz / d
        state, _, _, _, _, _ = trace(solid, origin, cell, px, py, pz, lx, ly, lz, d - 2.5 * cell)
        if state == 1:
            continue
        fall = 1.0 / max(d * d, 0.04)
        for a in range(len(axis_normals)):
            c = axis_normals[a, 0] * lx + axis_normals[a, 1] * ly + axis_normals[a, 2] * lz
            if c > 0:
                for k in range(3):
                    out[a, k] += lamps[i, 3 + k] * c * fall
    for i in range(len(windows)):
        lx, ly, lz = windows[i, 0] - px, windows[i, 1] - py, windows[i, 2] - pz
        d = np.sqrt(lx * lx + ly * ly + lz * lz) + 1e-6
        lx, ly, lz = lx / d, ly / d, lz / d
        emit = -(frames[i, 0] * lx + frames[i, 1] * ly + frames[i, 2] * lz)
        if emit <= 0:
            continue
        state, _, _, _, _, _ = trace(solid, origin, cell, px, py, pz, lx, ly, lz, d - 1.5 * cell)
        if state == 1:
            continue
        form = emit * frames[i, 3] / (d * d + 0.3 * frames[i, 3])
        for a in range(len(axis_normals)):
            c = axis_normals[a, 0] * lx + axis_normals[a, 1] * ly + axis_normals[a, 2] * lz
            if c > 0:
                for k in range(3):
                    out[a, k] += sky[k] * c * form


@numba.njit(cache=True, fastmath=True)
def _light_faces(solid, albedo, emission, origin, cell, lamps, windows, frames, sun, sky, outside, radiance):
    nx, ny, nz = solid.shape
    one = np.zeros((1, 3), np.float32)
    e = np.zeros((1, 3), np.float32)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                if not solid[x, y, z]:
                    continue
                for f in range(6):
                    ax, ay, az = int(FACES[f, 0]), int(FACES[f, 1]), int(FACES[f, 2])
                    qx, qy, qz = x + ax, y + ay, z + az
                    if qx < 0 or qy < 0 or qz < 0 or qx >= nx or qy >= ny or qz >= nz or solid[qx, qy, qz]:
                        continue
                    px = origin[0] + (qx + 0.5) * cell
                    py = origin[1] + (qy + 0.5) * cell
                    pz = origin[2] + (qz + 0.5) * cell
                    one[0, 0], one[0, 1], one[0, 2] = ax, ay, az
                    up = 0.5 + 0.5 * az
                    for k in range(3):
                        e[0, k] = outside[k] * np.pi * up
                    _add_direct(solid, origin, cell, px, py, pz, lamps, windows, frames, sky, one, e)
                    c = ax * sun[0] + ay * sun[1] + az * sun[2]
                    if c > 0 and sun[3] > 0:
                        state, _, _, _, _, _ = trace(
                            solid, origin, cell, px, py, pz, sun[0], sun[1], sun[2], 1e6
                        )
                        if state == 0:
                            for k in range(3):
                                e[0, k] += sun[3 + k] * c
                    for k in range(3):
                        radiance[x, y, z, f, k] = albedo[x, y, z, k] * e[0, k] / np.pi + emission[x, y, z, k]


@numba.njit(cache=True, fastmath=True)
def _gather(
    solid,
    near,
    origin,
    cell,
    radiance,
    directions,
    lamps,
    windows,
    frames,
    sky,
    outside,
    bounce,
    probes,
    valid,
):
    e = np.zeros((6, 3), np.float32)
    spread = np.float32(4.0 / len(directions))
    nx, ny, nz = solid.shape
    for i in range(probes.shape[0]):
        for j in range(probes.shape[1]):
            for k in range(probes.shape[2]):
                x, y, z = i * PROBE_STEP, j * PROBE_STEP, k * PROBE_STEP
                if x >= nx or y >= ny or z >= nz or solid[x, y, z] or not near[x, y, z]:
                    continue
                px = origin[0] + (x + 0.5) * cell
                py = origin[1] + (y + 0.5) * cell
                pz = origin[2] + (z + 0.5) * cell
                valid[i, j, k] = 1.0
                e[:] = 0
                for r in range(len(directions)):
                    dx, dy, dz = directions[r, 0], directions[r, 1], directions[r, 2]
                    state, hx, hy, hz, face, _ = trace(
                        solid, origin, cell, px, py, pz, dx, dy, dz, np.float32(1e6)
                    )
                    fx, fy, fz = 0 if dx > 0 else 1, 2 if dy > 0 else 3, 4 if dz > 0 else 5
                    for c in range(3):
                        if state == 1:
                            light = radiance[hx, hy, hz, face, c] * bounce * spread
                        else:
                            light = outside[c] * spread
                        e[fx, c] += light * abs(dx)
                        e[fy, c] += light * abs(dy)
                        e[fz, c] += light * abs(dz)
                for f in range(6):
                    for c in range(3):
                        probes[i, j, k, f, c] = e[f, c]
                e[:] = 0
                _add_direct(solid, origin, cell, px, py, pz, lamps, windows, frames, sky, FACES, e)
                for f in range(6):
                    for c in range(3):
                        probes[i, j, k, f, c] += e[f, c] / np.pi


@numba.njit(cache=True, fastmath=True)
def _interpolate(points, normals, origin, step, probes, valid):
    out = np.zeros((len(points), 3), np.float32)
    px, py, pz = valid.shape
    half_voxel = np.float32(0.5 / PROBE_STEP)
    for n in range(len(points)):
        nx, ny, nz = normals[n, 0], normals[n, 1], normals[n, 2]
        gx = (points[n, 0] + 0.45 * step * nx - origin[0]) / step - half_voxel
        gy = (points[n, 1] + 0.45 * step * ny - origin[1]) / step - half_voxel
        gz = (points[n, 2] + 0.45 * step * nz - origin[2]) / step - half_voxel
        gx = min(max(gx, np.float32(0)), np.float32(px - 1.001))
        gy = min(max(gy, np.float32(0)), np.float32(py - 1.001))
        gz = min(max(gz, np.float32(0)), np.float32(pz - 1.001))
        x, y, z = int(gx), int(gy), int(gz)
        fx, fy, fz = gx - x, gy - y, gz - z
        total = np.float32(1e-6)
        r = g = b = np.float32(0)
        for corner in range(8):
            i, j, k = corner & 1, corner >> 1 & 1, corner >> 2
            if x + i >= px or y + j >= py or z + k >= pz:
                continue
            w = (fx if i else 1 - fx) * (fy if j else 1 - fy) * (fz if k else 1 - fz)
            ox, oy, oz = x + i - gx + 0.45 * nx, y + j - gy + 0.45 * ny, z + k - gz + 0.45 * nz
            length = np.sqrt(ox * ox + oy * oy + oz * oz) + 1e-6
            facing = 0.5 + 0.5 * (ox * nx + oy * ny + oz * nz) / length
            w = (w + np.float32(1e-4)) * (facing * facing + np.float32(0.02)) * valid[x + i, y + j, z + k]
            if w <= 0:
                continue
            cube = probes[x + i, y + j, z + k]
            wx, wy, wz = w * nx * nx, w * ny * ny, w * nz * nz
            fxi, fyi, fzi = 0 if nx > 0 else 1, 2 if ny > 0 else 3, 4 if nz > 0 else 5
            r += wx * cube[fxi, 0] + wy * cube[fyi, 0] + wz * cube[fzi, 0]
            g += wx * cube[fxi, 1] + wy * cube[fyi, 1] + wz * cube[fzi, 1]
            b += wx * cube[fxi, 2] + wy * cube[fyi, 2] + wz * cube[fzi, 2]
            total += w
        out[n, 0], out[n, 1], out[n, 2] = r / total, g / total, b / total
    return out
