"""Open scenes: streets, squares, gardens and fields with houses, trees, vehicles, people and animals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from .finishes import refinished, surface
from .model import Material, Model, placement_matrix
from .roles import Piece, pick
from .scene import Motion, Placement, Scene, Sky
from .shapes import box, one_material, quad
from .shell import house
from .vistas import make_vista, tower_at

KINDS = ("street", "square", "garden", "field", "car park", "park")
WEIGHTS = (0.3, 0.12, 0.2, 0.14, 0.1, 0.14)
BUILT_UP = ("street", "square", "car park")
STREET = 8.5
"""Metres from the middle of a street to its houses at most; nothing is built there."""
HALF = 24.0
"""Half the side of the furnished square, metres."""


def make_outdoors(
    rng: np.random.Generator, *, kind: str | None = None, around: Collection[str] | None = None
) -> Scene:
    """An open scene.

    Args:
        rng: of everything.
        kind: of ``KINDS``; random when None.
        around: which of ``vistas.KINDS`` it has; random when None.
    """
    kind = kind or str(rng.choice(KINDS, p=WEIGHTS))
    if kind not in KINDS:
        raise ValueError(f"no such kind of open scene: {kind!r}; there are {KINDS}")
    field = _Ground(rng)
    if kind == "street":
        _street(field)
    elif kind in ("square", "car park"):
        _square(field, parked=kind == "car park")
    else:
        _green(field, kind)
    sky = open_sky(rng)
    _surround(field, kind, around)
    return Scene(
        kind=kind,
        indoor=False,
        placements=tuple(field.placements),
        lamps=(),
        windows=(),
        sky=sky,
        low=(-HALF, -HALF, -0.5),
        high=(HALF, HALF, 13.0),
    )


def open_sky(rng: np.random.Generator) -> Sky:
    """Noon, evening, overcast or haze."""
    elevation = np.radians(rng.choice([rng.uniform(8, 25), rng.uniform(25, 70)]))
    azimuth = rng.uniform(0, 2 * np.pi)
    to_sun = (
        float(np.cos(azimuth) * np.cos(elevation)), float(np.sin(azimuth) * np.cos(elevation)), float(np.sin(elevation)),
    )  # fmt: skip
    overcast = rng.random() < 0.35
    low_sun = 1 - np.sin(elevation)
    sun = np.array([1.0, 0.95 - 0.2 * low_sun, 0.88 - 0.45 * low_sun]) * rng.uniform(5, 9)
    cover = rng.uniform(0.7, 0.95) if overcast else rng.uniform(0.05, 0.6)
    horizon = np.array([0.85 + 0.25 * low_sun, 0.95, 1.05 - 0.1 * low_sun]) * rng.uniform(0.8, 1.3)
    zenith = np.array([0.28, 0.52, 1.0]) * rng.uniform(0.7, 1.2) if not overcast else horizon * 0.8
    cloud = np.array([1.15, 1.12, 1.1]) * rng.uniform(0.8, 1.5)
    return Sky(
        zenith=tuple(zenith), horizon=tuple(horizon), cloud=tuple(cloud), cover=float(cover),
        cloud_texture=f"proc:clouds:{rng.integers(16)}", to_sun=to_sun, sun=(0.0, 0.0, 0.0) if overcast else tuple(sun),
        fog=float(rng.choice([0.0, 0.0005, 0.003, 0.015], p=[0.4, 0.3, 0.22, 0.08])),
    )  # fmt: skip


class _Ground:
    """An open place being filled; keeps what is taken as discs."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.placements: list[Placement] = []
        self.discs: list[tuple[float, float, float]] = []

    def add(
        self, model: Model, label: str = "", *, background: bool = False, matrix: np.ndarray | None = None
    ) -> None:
        self.placements.append(
            Placement(model, np.eye(4) if matrix is None else matrix, label, background=background)
        )

    def free(self, x: float, y: float, radius: float) -> bool:
        return all((x - a) ** 2 + (y - b) ** 2 > (radius + r) ** 2 for a, b, r in self.discs)

    def put(
        self, piece: Piece, x: float, y: float, turn: float, *, scale: float = 1.0, z: float = 0.0, motion: Motion | None = None,
        crowd: float = 0.9,
    ) -> bool:  # fmt: skip
        """Place a piece if its disc is free."""
        radius = float(max(piece.model.size[:2])) / 2 * scale * crowd
        if piece.role == "tree":
            radius *= 0.35
        if not self.free(x, y, radius):
            return False
        self.discs.append((x, y, radius))
        model = refinished(piece.model, piece.role, self.rng) if piece.key else piece.model
        matrix = placement_matrix(x, y, z + piece.elevation * (piece.elevation < 0.5), turn=turn, scale=scale)
        self.placements.append(Placement(model, matrix, piece.name.lower(), piece.key, motion))
        return True

    def scatter(
        self, role: str, count: int, spread: float = HALF * 0.9, *, largest: float | None = None, lane=None
    ) -> None:
        """Several pieces of a role anywhere (or where ``lane(x, y)`` says)."""
        rng = self.rng
        for _ in range(count):
            piece = pick(role, rng, largest=largest)
            for _ in range(6):
                x, y = rng.uniform(-spread, spread, 2)
                if (lane is None or lane(x, y)) and self.put(
                    piece, x, y, rng.uniform(0, 2 * np.pi), scale=rng.uniform(0.9, 1.1)
                ):
                    break


def relief(rng: np.random.Generator, material: Material, *, height: float, half: float = 160.0) -> Model:
    """Ground with gentle hills that are flat near the middle; finer there than far away."""
    line = np.sign(np.linspace(-1, 1, 57)) * np.abs(np.linspace(-1, 1, 57)) ** 1.8 * half
    x, y = np.meshgrid(line, line, indexing="ij")
    z = np.zeros_like(x)
    for _ in range(4):
        kx, ky = rng.normal(0, 0.05, 2)
        z += height * np.sin(kx * x + ky * y + rng.uniform(0, 6.3))
    z -= z[28, 28]
    z *= np.clip((np.hypot(x, y) - 6) / 60, 0.0 if height > 0.2 else 0.4, 1)
    plane = quad((-1, -1, 0), (2, 0, 0), (0, 2, 0), material, step=2 / 56 + 1e-9)
    positions = np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32)
    gx, gy = np.gradient(z, line, line)
    normals = np.stack([-gx, -gy, np.ones_like(gx)], -1).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return replace(
        plane, positions=positions, normals=normals.astype(np.float32), uvs=positions[:, :2].copy()
    )


def _skyline(field: _Ground, count: int, nearest: float) -> None:
    """Houses and trees far away."""
    rng = field.rng
    for _ in range(count):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(nearest, 130)
        x, y = distance * np.cos(angle), distance * np.sin(angle)
        if rng.random() < 0.5:
            field.add(house(rng), background=True, matrix=placement_matrix(x, y, turn=angle + np.pi / 2))
        else:
            piece = pick("tree", rng)
            matrix = placement_matrix(x, y, turn=angle, scale=float(rng.uniform(0.8, 1.5)))
            field.placements.append(Placement(piece.model, matrix, "", piece.key, background=True))


def _surround(field: _Ground, kind: str, asked: Collection[str] | None) -> None:
    """Mountains, woods, water and towers."""
    rng = field.rng
    around, towers = make_vista(rng, built_up=kind in BUILT_UP, asked=asked)
    field.placements += around
    for model in towers:
        for _ in range(6):
            angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(7, 40)
            x, y, radius = (
                distance * np.cos(angle),
                distance * np.sin(angle),
                float(model.size[:2].max()) / 2,
            )
            in_street = kind == "street" and abs(x) - radius < STREET
            if field.free(x, y, radius) and not in_street:
                field.discs.append((x, y, radius))
                field.placements.append(tower_at(model, x, y, float(rng.uniform(0, 2 * np.pi))))
                break


def _street(field: _Ground) -> None:
    """A road with pavements, rows of houses, parked and passing cars, lamps, people."""
    rng = field.rng
    road = float(rng.uniform(2.6, 4.5))
    walk = float(rng.uniform(1.6, 4.0))
    field.add(relief(rng, surface(str(rng.choice(["grass", "dirt", "concrete"])), rng), height=0.0), "ground")
    asphalt = surface("asphalt", rng, gloss=float(rng.uniform(0.02, 0.3)))
    paving = surface(str(rng.choice(["stone_wall", "concrete", "tiles"])), rng)
    paint = Material((0.75, 0.75, 0.72))
    parts = [quad((-road, -150, 0.01), (2 * road, 0, 0), (0, 300, 0), asphalt, step=6.0)]
    for y in np.arange(-60, 60, 4.0):
        parts.append(quad((-0.06, y, 0.015), (0.12, 0, 0), (0, 1.8, 0), paint, step=5.0))
    field.add(one_material(parts), "road")
    for side in (-1, 1):
        low, high = sorted((side * road, side * (road + walk)))
        field.add(box((low, -150, 0), (high, 150, 0.13), paving, step=5.0), "pavement")
    for side in (-1, 1):
        y = -70.0
        gap = float(rng.choice([0.0, 1.5, 8.0]))
        garden = float(rng.choice([0.0, 0.0, 4.0]))
        while y < 70:
            model = house(rng)
            width, depth = model.size[0], model.size[1]
            x = side * (road + walk + depth / 2 + garden)
            matrix = placement_matrix(x, y + width / 2, turn=-side * np.pi / 2)
            field.add(model, "house", matrix=matrix, background=abs(y) > HALF + 14)
            field.discs.append((x, y + width / 2, max(width, depth) / 2))
            y += width + gap * rng.uniform(0.5, 2.0)
    for side in (-1, 1):
        turn = 0.0 if side < 0 else np.pi
        y = -22.0
        while y < 22:
            if rng.random() < 0.55:
                piece = pick("car", rng)
                field.put(piece, side * (road - 1.1), y, turn + rng.normal(0, 0.03), crowd=0.9)
            y += rng.uniform(5.2, 9)
        for y in np.arange(-20, 21, 10.0):
            field.put(pick("street_lamp", rng), side * (road + 0.4), float(y), -side * np.pi / 2, z=0.13)

    def on_pavement(x: float, _y: float) -> bool:
        return road + 0.5 < abs(x) < road + walk - 0.3

    field.scatter("person", int(rng.integers(2, 9)), lane=on_pavement)
    field.scatter("street", int(rng.integers(2, 7)), lane=on_pavement, largest=2.2)
    field.scatter("tree", int(rng.integers(0, 6)), lane=on_pavement)
    field.scatter("cycle", int(rng.integers(1, 5)), lane=on_pavement)
    field.scatter("animal", int(rng.integers(0, 3)), lane=on_pavement)
    for _ in range(int(rng.integers(0, 3))):
        side = rng.choice([-1.0, 1.0])
        role = str(rng.choice(["car", "truck", "cycle"], p=[0.6, 0.15, 0.25]))
        piece = pick(role, rng)
        along = float(rng.uniform(2, 7))
        field.put(
            piece, side * road * 0.4, float(rng.uniform(-18, 18)), 0.0 if side < 0 else np.pi,
            motion=Motion("slide", (0.0, along * (-1.0 if side < 0 else 1.0), 0.0)),
        )  # fmt: skip
    _skyline(field, 10, 80)


def _square(field: _Ground, *, parked: bool) -> None:
    """A paved place between houses, with benches and people, or rows of cars."""
    rng = field.rng
    floor = "asphalt" if parked else str(rng.choice(["stone_wall", "tiles", "concrete"]))
    field.add(relief(rng, surface(floor, rng), height=0.0), "ground")
    for angle in np.arange(0, 2 * np.pi, np.pi / 2):
        if rng.random() < 0.8:
            for offset in np.arange(-24, 25, 16):
                model = house(rng)
                distance = rng.uniform(18, 32)
                x, y = (
                    distance * np.cos(angle) - offset * np.sin(angle),
                    distance * np.sin(angle) + offset * np.cos(angle),
                )
                if field.free(x, y, float(max(model.size[:2])) / 2):
                    field.discs.append((x, y, float(max(model.size[:2])) / 2))
                    field.add(model, "house", matrix=placement_matrix(x, y, turn=angle - np.pi / 2))
    if parked:
        for row in (-9.0, -3.5, 4.0, 9.5):
            for x in np.arange(-18, 18, 2.8):
                if rng.random() < 0.5:
                    field.put(pick("car", rng), float(x), row, float(rng.integers(2)) * np.pi, crowd=0.55)
    field.scatter("person", int(rng.integers(2, 10)), 14)
    field.scatter("street", int(rng.integers(3, 10)), 14, largest=2.5)
    field.scatter("street_lamp", int(rng.integers(1, 5)), 16)
    field.scatter("tree", int(rng.integers(0, 7)), 18)
    field.scatter("cycle", int(rng.integers(0, 5)), 14)
    field.scatter("animal", int(rng.integers(0, 4)), 12)
    _movers(field)
    _skyline(field, 8, 50)


def _green(field: _Ground, kind: str) -> None:
    """A garden with its house, a park, or open fields with animals."""
    rng = field.rng
    height = {"garden": 0.15, "park": 0.5, "field": 2.5}[kind]
    pattern = "grass" if rng.random() < 0.8 else "dirt"
    field.add(relief(rng, surface(pattern, rng), height=height), "ground")
    if kind == "garden":
        model = house(rng)
        angle = rng.uniform(0, 2 * np.pi)
        x, y = 13 * np.cos(angle), 13 * np.sin(angle)
        field.discs.append((x, y, 8.0))
        field.add(model, "house", matrix=placement_matrix(x, y, turn=angle - np.pi / 2))
        paving = surface(str(rng.choice(["stone_wall", "tiles", "planks"])), rng)
        w, d = rng.uniform(2, 5, 2)
        field.add(box((-w, -d, 0), (w, d, 0.04), paving, step=2.0), "terrace")
        field.scatter("garden", int(rng.integers(4, 12)), 9, largest=4.5)
        field.scatter("bush", int(rng.integers(3, 14)), 14)
    if kind in ("park", "field"):
        field.scatter("bush", int(rng.integers(0, 10)), 18)
        field.scatter("rock", int(rng.integers(0, 12)), 16)
    if kind == "park":
        field.scatter("street", int(rng.integers(2, 7)), 12, largest=2.5)
        field.scatter("garden", int(rng.integers(0, 4)), 12)
        field.scatter("cycle", int(rng.integers(0, 4)), 12)
    if kind == "field":
        field.scatter("large_animal", int(rng.integers(0, 6)), 16)
    field.scatter("animal", int(rng.integers(0, 6)), 9)
    field.scatter("person", int(rng.integers(0, 6)), 12)
    field.scatter("tree", int(rng.integers(2, 12)), 22)
    if rng.random() < 0.25:
        field.scatter("car", int(rng.integers(1, 3)), 15)
    _movers(field)
    _skyline(field, int(rng.integers(4, 24)), 30 if kind != "field" else 60)


def _movers(field: _Ground) -> None:
    """Balls, animals, people and carts on their way."""
    rng = field.rng
    for _ in range(int(rng.choice([0, 1, 2, 3]))):
        role = str(rng.choice(["ball", "animal", "cart", "person", "cycle"]))
        piece = pick(role, rng)
        x, y = rng.uniform(-8, 8, 2)
        turn = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.8, 3.0)
        offset = (float(np.sin(turn) * reach), float(-np.cos(turn) * reach), 0.0)
        motion = Motion("bounce", offset, 1.0, 2.0) if role == "ball" else Motion("slide", offset)
        field.put(piece, float(x), float(y), float(turn), motion=motion)
