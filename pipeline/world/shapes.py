"""Building blocks made by hand: boxes, cylinders, walls with holes, cabinets, books. They need no catalogue."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numba
import numpy as np

from .model import Material, Model, merge_models

Vector = Sequence[float] | np.ndarray


def quad(
    corner: Vector, u: Vector, v: Vector, material: Material, *, step: float = 0.5, stretch: bool = False
) -> Model:
    """A rectangle from a corner along u and v, cut into cells of at most ``step`` metres.

    The normal is ``u x v``. Texture coordinates are metres along u and v, or 0..1 when ``stretch``.
    """
    sides = np.array([[*corner, *u, *v]], np.float64)
    arrays = _rectangles(sides, step, np.array([stretch]))
    return Model(*arrays[:3], np.zeros(len(arrays[0]), np.int16), arrays[3], (material,))


@numba.njit(cache=True)
def _rectangles(sides, step, stretch):
    """Positions, normals, uvs, faces of rectangles [N, (corner, u, v)]."""
    n = len(sides)
    cells = np.empty((n, 2), np.int64)
    lengths = np.empty((n, 2))
    vertices, triangles = 0, 0
    for i in range(n):
        for k in range(2):
            o = 3 + 3 * k
            lengths[i, k] = np.sqrt(sides[i, o] ** 2 + sides[i, o + 1] ** 2 + sides[i, o + 2] ** 2)
            cells[i, k] = max(1, int(np.ceil(lengths[i, k] / step - 1e-9)))
        vertices += (cells[i, 0] + 1) * (cells[i, 1] + 1)
        triangles += 2 * cells[i, 0] * cells[i, 1]
    positions = np.empty((vertices, 3), np.float32)
    normals = np.empty((vertices, 3), np.float32)
    uvs = np.empty((vertices, 2), np.float32)
    faces = np.empty((triangles, 3), np.int32)
    at, face = 0, 0
    for i in range(n):
        c, u, v = sides[i, 0:3], sides[i, 3:6], sides[i, 6:9]
        normal = np.array([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])
        normal /= max(np.sqrt((normal**2).sum()), 1e-12)
        nu, nv = cells[i]
        for a in range(nu + 1):
            for b in range(nv + 1):
                s, t = a / nu, b / nv
                row = at + a * (nv + 1) + b
                for k in range(3):
                    positions[row, k] = c[k] + s * u[k] + t * v[k]
                    normals[row, k] = normal[k]
                uvs[row, 0] = s if stretch[i] else s * lengths[i, 0]
                uvs[row, 1] = 1 - t if stretch[i] else -t * lengths[i, 1]
                if a < nu and b < nv:
                    faces[face, 0], faces[face, 1], faces[face, 2] = row, row + nv + 1, row + nv + 2
                    faces[face + 1, 0], faces[face + 1, 1], faces[face + 1, 2] = row, row + nv + 2, row + 1
                    face += 2
        at += (nu + 1) * (nv + 1)
    return positions, normals, uvs, faces


def one_material(parts: Sequence[Model]) -> Model:
    """Merge parts; equal materials become one, and those of one texture neighbours, to be drawn at once."""
    merged = merge_models(list(parts))
    unique = sorted(dict.fromkeys(merged.materials), key=lambda material: material.texture or "")
    lookup = np.array([unique.index(m) for m in merged.materials], np.int16)
    vertex_material = lookup[merged.vertex_material]
    order = np.argsort(vertex_material[merged.faces[:, 0]], kind="stable")
    return Model(
        merged.positions, merged.normals, merged.uvs, vertex_material, merged.faces[order], tuple(unique)
    )


def box(
    low: Vector, high: Vector, material: Material, *, step: float = 0.5, top: Material | None = None
) -> Model:
    """An axis-aligned box; ``top`` gives its upper face another material, stretched once over it."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    dx, dy, dz = x1 - x0, y1 - y0, z1 - z0
    sides = np.array(
        [
            [x0, y0, z0, dx, 0, 0, 0, 0, dz],
            [x1, y1, z0, -dx, 0, 0, 0, 0, dz],
            [x0, y1, z0, 0, -dy, 0, 0, 0, dz],
            [x1, y0, z0, 0, dy, 0, 0, 0, dz],
            [x0, y1, z0, dx, 0, 0, 0, -dy, 0],
            [x0, y0, z1, dx, 0, 0, 0, dy, 0],
        ],
        np.float64,
    )
    stretch = np.zeros(6, np.bool_)
    stretch[5] = top is not None
    positions, normals, uvs, faces = _rectangles(sides, step, stretch)
    vertex_material = np.zeros(len(positions), np.int16)
    if top is None:
        return Model(positions, normals, uvs, vertex_material, faces, (material,))
    vertex_material[(normals[:, 2] > 0.5)] = 1
    return Model(positions, normals, uvs, vertex_material, faces, (material, top))


def revolve(profile: Sequence[tuple[float, float]], material: Material, *, sides: int = 20) -> Model:
    """A surface of revolution about z from (radius, height) pairs, smooth around, flat along."""
    angles = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=-1)
    up = np.array([0, 0, 1.0])
    radius, height = np.array(profile, np.float64).T
    rise, run = np.diff(height), -np.diff(radius)
    length = np.maximum(np.hypot(rise, run), 1e-9)
    slope = np.stack([rise, run], axis=-1) / length[:, None]
    bands, verts = len(length), sides + 1
    rims = ring * radius[:, None, None] + up * height[:, None, None]
    positions = np.stack([rims[:-1], rims[1:]], axis=1)
    normals = ring * slope[:, :1, None] + up * slope[:, 1:, None]
    uvs = np.zeros((bands, 2, verts, 2))
    uvs[..., 0] = angles * np.maximum(radius[:-1], radius[1:])[:, None, None]
    uvs[:, 1, :, 1] = length[:, None]
    i = np.arange(sides)
    j = i + verts
    band = np.concatenate([np.stack([i, i + 1, j + 1], -1), np.stack([i, j + 1, j], -1)])
    faces = band + (np.arange(bands) * 2 * verts)[:, None, None]
    return Model(
        positions.reshape(-1, 3).astype(np.float32),
        np.repeat(normals[:, None], 2, axis=1).reshape(-1, 3).astype(np.float32),
        uvs.reshape(-1, 2).astype(np.float32),
        np.zeros(bands * 2 * verts, np.int16),
        faces.reshape(-1, 3).astype(np.int32),
        (material,),
    )


def cylinder(radius: float, height: float, material: Material, *, sides: int = 20) -> Model:
    """A closed cylinder standing on z = 0."""
    return revolve([(1e-4, 0), (radius, 0), (radius, height), (1e-4, height)], material, sides=sides)


def sphere(radius: float, material: Material, *, sides: int = 16) -> Model:
    """A sphere resting on z = 0."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, sides // 2 + 1)
    profile = [(max(radius * np.cos(a), 1e-4), radius + radius * np.sin(a)) for a in angles]
    model = revolve(profile, material, sides=sides)
    normals = model.positions - np.array([0, 0, radius], np.float32)
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return Model(model.positions, normals, model.uvs, model.vertex_material, model.faces, model.materials)


def wall(
    start: Vector, end: Vector, height: float, holes: Sequence[tuple[float, float, float, float]], material: Material,
    *, depth: float = 0.18, reveal: Material | None = None,
) -> Model:  # fmt: skip
    """A wall seen from the left of start -> end, with rectangular holes and their reveals.

    Args:
        start, end: floor points (x, y).
        height: metres.
        holes: (from, to, bottom, top), metres along the wall and above the floor; must not overlap.
        material: of the surface.
        depth: how far the reveals go back.
        reveal: material inside the holes.
    """
    a, b = np.array([*start, 0.0]), np.array([*end, 0.0])
    length = float(np.linalg.norm(b - a))
    along = (b - a) / length
    up = np.array([0, 0, 1.0])
    back = np.cross(along, up)
    cuts_s = sorted({0.0, length, *(h[0] for h in holes), *(h[1] for h in holes)})
    cuts_t = sorted({0.0, height, *(h[2] for h in holes), *(h[3] for h in holes)})
    parts = []
    for s0, s1 in itertools.pairwise(cuts_s):
        for t0, t1 in itertools.pairwise(cuts_t):
            s, t = (s0 + s1) / 2, (t0 + t1) / 2
            if s1 - s0 < 1e-6 or t1 - t0 < 1e-6 or any(h[0] < s < h[1] and h[2] < t < h[3] for h in holes):
                continue
            piece = quad(a + along * s1 + up * t0, -along * (s1 - s0), up * (t1 - t0), material, step=0.35)
            offset = np.array([length - s1, -t0], np.float32)
            parts.append(
                Model(
                    piece.positions,
                    piece.normals,
                    piece.uvs + offset,
                    piece.vertex_material,
                    piece.faces,
                    piece.materials,
                )
            )
    inner = reveal or material
    for s0, s1, t0, t1 in holes:
        p00, p10 = a + along * s0 + up * t0, a + along * s1 + up * t0
        rise, run = up * (t1 - t0), along * (s1 - s0)
        parts += [
            quad(p00, back * depth, run, inner, step=0.4),
            quad(p00 + rise, run, back * depth, inner, step=0.4),
            quad(p00, rise, back * depth, inner, step=0.4),
            quad(p10, back * depth, rise, inner, step=0.4),
        ]
    return one_material(parts)


def polygon_floor(
    outline: np.ndarray, z: float, material: Material, *, up: bool, step: float = 0.35
) -> Model:
    """A horizontal surface under an axis-aligned (rectangular or L-shaped) outline, by cells of its grid."""
    xs, ys = (np.unique(outline[:, i]) for i in (0, 1))
    parts = []
    for x0, x1 in itertools.pairwise(xs):
        for y0, y1 in itertools.pairwise(ys):
            if not inside_outline(outline, np.array([[(x0 + x1) / 2, (y0 + y1) / 2]]))[0]:
                continue
            u, v = ((x1 - x0, 0, 0), (0, y1 - y0, 0))
            piece = quad((x0, y0, z), u if up else v, v if up else u, material, step=step)
            uvs = piece.positions[:, :2].astype(np.float32)
            parts.append(
                Model(
                    piece.positions, piece.normals, uvs, piece.vertex_material, piece.faces, piece.materials
                )
            )
    return one_material(parts)


def inside_outline(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """bool [N]: which points [N, 2] lie inside a polygon [P, 2] (even-odd rule)."""
    x, y = points.T
    ends = outline[:, :, None]
    (x1, y1), (x0, y0) = ends.swapaxes(0, 1), np.roll(ends, 1, axis=0).swapaxes(0, 1)
    rise = y0 - y1
    at = (x0 - x1) * (y - y1) / np.where(rise == 0, 1.0, rise) + x1
    return np.logical_xor.reduce(((y1 > y) != (y0 > y)) & (x < at))
