"""Trees and bushes made by hand: a trunk, branches, and a crown of cut-out leaf cards. Cheap and endlessly various."""

from __future__ import annotations

import numpy as np

from .model import Material, Model, cross, placement_matrix, transformed
from .shapes import one_material, revolve
from .textures import procedural


def leaf_cloud(
    rng: np.random.Generator,
    centre: np.ndarray,
    radii: np.ndarray,
    count: int,
    size: float,
    material: Material,
) -> Model:
    """Cards scattered through an ellipsoid, denser at its skin; normals point outwards, so that the crown shades as a body."""
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    middle = centre + directions * radii * rng.uniform(0.45, 1.0, (count, 1)) ** 0.5
    u = cross(directions, rng.normal(size=(count, 3)))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = cross(directions, u) + 0.6 * rng.normal(size=(count, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    half = size * rng.uniform(0.6, 1.3, (count, 1, 1)) / 2
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    corners = middle[:, None] + half * (signs[None, :, :1] * u[:, None] + signs[None, :, 1:] * v[:, None])
    offset = rng.random((count, 1, 2))
    uvs = offset + (signs[None] * 0.5 + 0.5) * (half * 2) * 0.9
    outward = corners - centre
    outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-6)
    first = 4 * np.arange(count)[:, None]
    faces = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]])
    return Model(
        corners.reshape(-1, 3).astype(np.float32),
        outward.reshape(-1, 3).astype(np.float32),
        uvs.reshape(-1, 2).astype(np.float32),
        np.zeros(4 * count, np.int16),
        faces.astype(np.int32),
        (material,),
    )


def _leaves(rng: np.random.Generator) -> Material:
    return Material((0.9, 0.9, 0.9), procedural("leaves", rng), gloss=0.05, cutout=True)


def _bark(rng: np.random.Generator) -> Material:
    shade = float(rng.uniform(0.5, 1.0))
    return Material(
        (0.3 * shade, 0.22 * shade, 0.16 * shade),
        procedural("wood_grey", rng),
        gloss=0.03,
        metres_per_tile=0.7,
    )


def broadleaf(rng: np.random.Generator) -> Model:
    """A tree of 3 to 12 m with a few clouds of leaves on branches."""
    height = float(rng.uniform(3, 12))
    bark, leaves = _bark(rng), _leaves(rng)
    radius = height * rng.uniform(0.012, 0.028)
    stem = height * rng.uniform(0.25, 0.5)
    parts = [
        revolve(
            [(radius * 1.4, 0), (radius, 0.4), (radius * 0.6, stem), (radius * 0.2, height * 0.8)],
            bark,
            sides=9,
        )
    ]
    clouds = int(rng.integers(2, 7))
    spread = height * rng.uniform(0.12, 0.28)
    for i in range(clouds):
        angle = 2 * np.pi * i / clouds + rng.normal(0, 0.4)
        level = stem + (height - stem) * (0.3 + 0.55 * rng.random())
        reach = spread * rng.uniform(0.4, 1.1) if i else 0.0
        centre = np.array([reach * np.cos(angle), reach * np.sin(angle), level if i else height * 0.8])
        radii = height * rng.uniform(0.1, 0.22) * np.array([1, 1, rng.uniform(0.7, 1.3)])
        count = int(np.clip(14 * np.prod(radii) ** (2 / 3) + 20, 20, 70))
        parts.append(leaf_cloud(rng, centre, radii, count, float(np.cbrt(np.prod(radii))) * 0.95, leaves))
        if i:
            branch = revolve(
                [(radius * 0.4, 0), (radius * 0.15, float(np.hypot(reach, level - stem)))], bark, sides=6
            )
            tilt = np.arctan2(reach, level - stem)
            c, s = np.cos(tilt), np.sin(tilt)
            lean = np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, stem], [0, 0, 0, 1.0]])
            parts.append(transformed(branch, placement_matrix(0, 0, turn=angle) @ lean))
    return one_material(parts)


def shrub(rng: np.random.Generator) -> Model:
    """A bush or a stretch of hedge."""
    radii = rng.uniform(0.3, 0.9, 3) * [rng.choice([1.0, 2.0]), 1, 0.8]
    leaves = _leaves(rng)
    return leaf_cloud(rng, np.array([0, 0, radii[2] * 0.9]), radii, int(rng.integers(40, 90)), 0.55, leaves)
