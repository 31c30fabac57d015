"""What lies around an open place: mountains, the edge of a wood, a lake, towers.

Photos of the open mostly show some of it, and a network that never saw any takes a mountain for a slope close by.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from .finishes import color, surface
from .model import Material, Model, placement_matrix
from .patterns import noise
from .scene import Placement
from .shapes import box, cylinder, one_material, revolve, sphere

CLEARING = 22.0
"""Metres around the middle that are left free by woods; lakes come half as far in, but not where houses stand."""
AROUND = 257
"""Points along a horizon; the last is the first again where it goes all around."""
FOUNDATION = 4.0
"""Metres that a tower goes into the ground."""
KINDS = ("mountains", "wood", "lake", "towers")
SHARES = (0.6, 0.35, 0.3, 0.6)
"""How often a place in the open has them by chance; where houses stand it has no lakes, and fewer woods."""


def make_vista(
    rng: np.random.Generator, *, built_up: bool, asked: Collection[str] | None = None
) -> tuple[list[Placement], list[Model]]:
    """What lies around a place, and towers to be placed in it.

    Args:
        rng: of everything.
        built_up: whether houses stand around the place.
        asked: which of ``KINDS``, on all sides; None leaves it to chance.
    """
    shares = np.array(SHARES) * ((1, 0.3, 0, 1) if built_up else (1, 1, 1, 1))
    by_chance = {kind for kind, share in zip(KINDS, shares, strict=True) if rng.random() < share}
    kinds = by_chance if asked is None else asked
    whole = None if asked is None else 2 * np.pi
    around: list[Placement] = []
    if "mountains" in kinds:
        around += [_distant(mountains(rng, whole)) for _ in range(int(rng.integers(1, 4)))]
    if "wood" in kinds:
        around.append(_distant(wood_edge(rng, whole)))
    if "lake" in kinds:
        around.append(_distant(lake(rng, whole, nearest=2.2 * CLEARING if built_up else 0.5 * CLEARING)))
    towers = [tower(rng) for _ in range(int(rng.integers(1, 4)))] if "towers" in kinds else []
    return around, towers


def _distant(model: Model) -> Placement:
    return Placement(model, np.eye(4), "", background=True)


def mountains(rng: np.random.Generator, arc: float | None = None) -> Model:
    """A range: forest or grass below, rock above, sometimes snow.

    Args:
        rng: of everything.
        arc: radians of the horizon that it takes up; default a part of it.
    """
    near = float(rng.uniform(60, 300))
    deep = near * rng.uniform(0.5, 1.5)
    height = near * rng.uniform(0.1, 0.8)
    arc = arc or rng.uniform(0.8, 2 * np.pi)
    along = np.linspace(0, 1, AROUND)
    angles = rng.uniform(0, 2 * np.pi) + arc * along
    away = np.linspace(0, 1, 26)
    rough = _patch(rng, rng.uniform(1.2, 1.7), len(angles), len(away))
    ridges = np.clip(0.55 + 0.3 * rough, 0.05, 1.4)
    profile = np.sin(np.clip(away / 0.75, 0, 1.3) * np.pi / 2) ** rng.uniform(0.8, 2)
    ends = np.minimum(1, 6 * np.minimum(along, 1 - along)) if arc < 2 * np.pi else np.ones(AROUND)
    z = height * profile * ridges * ends[:, None] - 2.0
    radius = near + deep * away
    positions = np.stack([np.cos(angles)[:, None] * radius, np.sin(angles)[:, None] * radius, z], -1)
    tile = near / rng.uniform(3, 8)
    green = surface(str(rng.choice(["grass", "leaves"])), rng)
    rock = surface("concrete", rng) if rng.random() < 0.5 else surface("dirt", rng)
    haze = color(rng, hue=0.6, saturation=(0.1, 0.4), value=(0.5, 0.8))
    snow = surface("plaster_grey", rng, tint=(0.85, 0.87, 0.92))
    if rng.random() < 0.3:  # blue with distance
        green = rock = surface("plaster_grey", rng, tint=haze)
    tree_line, snow_line = rng.uniform(0.1, 1.1), rng.uniform(0.4, 1.6)
    level = z / height + 0.12 * _patch(rng, 0.8, len(angles), len(away))
    material = (level > tree_line).astype(np.int16) + (level > max(snow_line, tree_line))
    materials = tuple(
        replace(m, metres_per_tile=float(tile), cutout=False, gloss=0.02) for m in (green, rock, snow)
    )
    uvs = np.stack([np.broadcast_to((angles * near)[:, None], z.shape), deep * away + z], -1)
    return _sheet(positions, uvs, material, materials)


def wood_edge(rng: np.random.Generator, arc: float | None = None) -> Model:
    """Trees so close to each other that one sees a wall of leaves, uneven and of uneven height."""
    angles = rng.uniform(0, 2 * np.pi) + np.linspace(0, arc or rng.uniform(0.7, 2 * np.pi), AROUND)
    up = np.linspace(0, 1, 22)
    lumps = _patch(rng, rng.uniform(0.9, 1.4), len(angles), len(up))
    crowns = _patch(rng, 1.0, len(angles), 1)
    wander = _patch(rng, 2.0, len(angles), 1)
    height = np.clip(rng.uniform(3, 14) * (1 + 0.18 * crowns), 1.5, None)
    distance = CLEARING + rng.uniform(0, 50) + np.clip(3 * wander, 0, None)
    radius = distance + 0.6 * lumps + 0.3 * height * up**3
    z = height * np.sin(up * np.pi / 2) - 0.5
    positions = np.stack([np.cos(angles)[:, None] * radius, np.sin(angles)[:, None] * radius, z], -1)
    uvs = np.stack([np.broadcast_to(angles[:, None] * distance, z.shape), np.broadcast_to(z, z.shape)], -1)
    leaves = replace(
        surface("leaves", rng), cutout=False, metres_per_tile=float(rng.uniform(1.5, 5)), gloss=0.03
    )
    return _sheet(positions, uvs, np.zeros(z.shape, np.int16), (leaves,))


def lake(rng: np.random.Generator, arc: float | None = None, *, nearest: float = 0.5 * CLEARING) -> Model:
    """Water up to the horizon; the ground's hills are its shore and its islands.

    Args:
        rng: of everything.
        arc: radians of the horizon that it takes up; default one side.
        nearest: metres from the middle that it keeps away at least.
    """
    angles = rng.uniform(0, 2 * np.pi) + np.linspace(0, arc or rng.uniform(0.8, 2.5), 40)
    radius = np.linspace(nearest + CLEARING * rng.uniform(0, 1), 155, 30)
    z = np.full((len(angles), len(radius)), rng.uniform(0.02, 0.3))
    positions = np.stack([np.cos(angles)[:, None] * radius, np.sin(angles)[:, None] * radius, z], -1)
    tint = color(rng, hue=float(rng.uniform(0.42, 0.62)), saturation=(0.2, 0.7), value=(0.15, 0.6))
    water = surface("metal_grey", rng, gloss=float(rng.uniform(0.3, 0.9)), tint=tint)
    water = replace(water, metres_per_tile=float(rng.uniform(4, 20)))
    return _sheet(positions, positions[..., :2], np.zeros(z.shape, np.int16), (water,))


def tower(rng: np.random.Generator) -> Model:
    """Storeys on each other, round or square, some under roofs of their own, with a spire or a flat top.

    Its walls go on into the ground, which need not be flat.
    """
    half = float(rng.uniform(1.2, 4.5))
    sides = int(rng.choice([4, 6, 8, 20]))
    shrink = float(rng.choice([1.0, 0.92, 0.8]))
    eaves = rng.random() < 0.5
    wall = _wall(rng)
    other = _wall(rng) if rng.random() < 0.4 else wall
    tiles = surface("roof", rng)
    parts: list[Model] = []
    z = -FOUNDATION
    for storey in range(int(rng.integers(2, 6))):
        rise = float(rng.uniform(2.2, 4.5)) + FOUNDATION * (storey == 0)
        material = wall if storey % 2 == 0 else other
        if sides == 4:
            parts.append(box((-half, -half, z), (half, half, z + rise), material, step=3.0))
        else:
            parts.append(revolve([(half, z), (half, z + rise)], material, sides=sides))
        z += rise
        if eaves:
            out = half * float(rng.uniform(1.15, 1.5))
            parts.append(_roof(out, half * shrink * 0.95, z - 0.2, z + 0.25 * half, tiles, sides))
        half *= shrink
    if rng.random() < 0.75:
        tip = z + half * float(rng.uniform(0.6, 3.0))
        parts.append(_roof(half * float(rng.uniform(1.05, 1.5)), 1e-3, z - 0.1, tip, tiles, sides))
        if rng.random() < 0.6:
            parts.append(_raised(cylinder(0.07, 0.3 * half + 0.5, other, sides=8), tip - 0.1))
            parts.append(_raised(sphere(float(rng.uniform(0.15, 0.4)), other, sides=12), tip + 0.2 * half))
    else:
        over = 1.15 * half
        top = (
            box((-over, -over, 0), (over, over, 0.6), other)
            if sides == 4
            else cylinder(over, 0.6, other, sides=sides)
        )
        parts.append(_raised(top, z))
    return one_material(parts)


def tower_at(model: Model, x: float, y: float, turn: float) -> Placement:
    """A tower that stands there."""
    return Placement(model, placement_matrix(x, y, turn=turn), "tower")


def _wall(rng: np.random.Generator) -> Material:
    pattern = str(rng.choice(["brick", "stone_wall", "facade", "plaster_grey", "wood", "concrete"]))
    tint = color(rng, saturation=(0.0, 0.35), value=(0.4, 0.95)) if pattern == "plaster_grey" else None
    return surface(pattern, rng, gloss=0.05, tint=tint)


def _roof(outer: float, inner: float, low: float, high: float, tiles: Material, sides: int) -> Model:
    """The side of a frustum; a square one covers its box."""
    stretch = 2**0.5 if sides == 4 else 1.0
    roof = revolve([(outer * stretch, low), (inner * stretch, high)], tiles, sides=sides)
    if sides != 4:
        return roof
    c = 0.5**0.5
    turn = np.array([[c, -c, 0], [c, c, 0], [0, 0, 1]], np.float32)
    return replace(roof, positions=roof.positions @ turn, normals=roof.normals @ turn)


def _raised(model: Model, z: float) -> Model:
    return replace(model, positions=model.positions + np.array([0, 0, z], np.float32))


def _patch(rng: np.random.Generator, power: float, rows: int, columns: int) -> np.ndarray:
    """Rows x columns of fractal noise, of unit variance over its period of 256 rows and columns."""
    return noise(rng, power, size=256)[np.arange(rows) % 256, :columns]


def _sheet(
    positions: np.ndarray, uvs: np.ndarray, material: np.ndarray, materials: tuple[Material, ...]
) -> Model:
    """A grid of points [A, B, 3], B running away or upwards, as a surface whose normals point up or to the middle."""
    rows, columns = positions.shape[:2]
    along, across = np.gradient(positions, axis=0), np.gradient(positions, axis=1)
    normals = np.cross(across, along)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    owner = material.ravel()[faces[:, 0]]
    return _apart(
        positions.reshape(-1, 3), normals.reshape(-1, 3), uvs.reshape(-1, 2), faces, owner, materials
    )


def _apart(
    positions: np.ndarray, normals: np.ndarray, uvs: np.ndarray, faces: np.ndarray, owner: np.ndarray,
    materials: tuple[Material, ...],
) -> Model:  # fmt: skip
    """Faces with materials of their own: vertices on borders are doubled."""
    keys, vertices = np.unique(faces.astype(np.int64) * len(materials) + owner[:, None], return_inverse=True)
    place = keys // len(materials)
    order = np.argsort(owner, kind="stable")
    return Model(
        positions[place].astype(np.float32), normals[place].astype(np.float32), uvs[place].astype(np.float32),
        (keys % len(materials)).astype(np.int16), vertices.reshape(-1, 3)[order].astype(np.int32), materials,
    )  # fmt: skip
