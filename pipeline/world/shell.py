"""The shell of a room: floor, walls with doors and windows, ceiling, skirting, and what is outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .finishes import ceiling_finish, color, floor_finish, lacquered, surface, wall_paint, wooden
from .layout import Layout, WallSpan
from .model import Material, Model, placement_matrix, transformed
from .roles import Piece, pick
from .scene import Motion, Placement, Window
from .shapes import box, one_material, polygon_floor, quad, wall

SIZES = {
    "living room": (3.6, 7.0), "kitchen": (2.6, 5.0), "bedroom": (2.8, 5.2), "bathroom": (1.8, 3.4), "office": (2.8, 6.5),
    "dining room": (3.0, 5.5), "hall": (2.2, 7.5), "study": (2.6, 4.5), "gym": (4.0, 8.0),
}  # fmt: skip
"""Shortest and longest side by kind of room, metres."""
THICKNESS = 0.18
"""Of the walls, metres."""


@dataclass(frozen=True)
class Opening:
    """A hole in a wall: where, and what for."""

    wall: WallSpan
    start: float
    end: float
    bottom: float
    top: float
    window: bool


def floor_plan(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Counter-clockwise outline [P, 2]: a rectangle, or an L in larger rooms."""
    shortest, longest = SIZES[kind]
    w, d = rng.uniform(shortest, longest, 2)
    if min(w, d) > 3.2 and rng.random() < 0.3:
        cw, cd = w * rng.uniform(0.3, 0.55), d * rng.uniform(0.3, 0.55)
        outline = np.array([[0, 0], [w, 0], [w, d - cd], [w - cw, d - cd], [w - cw, d], [0, d]])
    else:
        outline = np.array([[0, 0], [w, 0], [w, d], [0, d]])
    return outline - np.array([w, d]) / 2


def make_openings(layout: Layout, rng: np.random.Generator, *, windows: int) -> list[Opening]:
    """A door or two and some windows, on free stretches of wall."""
    openings: list[Opening] = []
    walls = layout.walls

    def try_add(width: float, bottom: float, top: float, window: bool) -> None:
        for _ in range(12):
            index = rng.integers(len(walls))
            span = walls[index]
            if span.length < width + 0.5:
                continue
            start = rng.uniform(0.25, span.length - width - 0.25)
            if any(
                o.wall is span and start < o.end + 0.15 and start + width > o.start - 0.15 for o in openings
            ):
                continue
            openings.append(
                Opening(span, start, start + width, bottom, min(top, layout.height - 0.12), window)
            )
            return

    for _ in range(windows):
        tall = rng.random() < 0.25
        bottom = 0.05 if tall else rng.uniform(0.7, 1.1)
        try_add(rng.uniform(0.7, 2.4), bottom, bottom + (2.1 if tall else rng.uniform(0.9, 1.5)), True)
    for _ in range(1 + int(rng.random() < 0.35)):
        try_add(rng.uniform(0.8, 1.0), 0.0, rng.uniform(2.0, 2.1), False)
    return openings


def build_shell(
    layout: Layout, kind: str, openings: list[Opening], finishes: Mapping[str, Material] | None = None
) -> list[Window]:
    """Add floor, ceiling, walls, skirting, frames and doors to the layout; returns its windows.

    ``finishes`` may say what the ``wall`` and the ``floor`` are made of.
    """
    rng, finishes = layout.rng, finishes or {}
    outline, height = layout.outline, layout.height
    floor = floor_finish(rng, kind)
    layout.add(polygon_floor(outline, 0.0, finishes.get("floor", floor), up=True), "floor")
    layout.add(polygon_floor(outline, height, ceiling_finish(rng), up=False))
    layout.add(polygon_floor(outline, height + THICKNESS - 0.01, Material(), up=True, step=9.0), solid=False)
    paint, accent = wall_paint(rng), wall_paint(rng)
    accent_wall = int(rng.integers(len(layout.walls))) if rng.random() < 0.3 else -1
    if kind == "bathroom" or (kind == "kitchen" and rng.random() < 0.25):
        paint = surface("tiles", rng, gloss=rng.uniform(0.3, 0.7))
    trim = surface("plaster_grey", rng, gloss=0.3, tint=color(rng, saturation=(0, 0.06), value=(0.75, 0.97)))
    trim = wooden(rng) if rng.random() < 0.3 else trim
    windows = []
    for index, span in enumerate(layout.walls):
        mine = [o for o in openings if np.array_equal(o.wall.start, span.start)]
        holes = [(o.start, o.end, o.bottom, o.top) for o in mine]
        finish = finishes.get("wall", accent if index == accent_wall else paint)
        layout.add(wall(span.start, span.end, height, holes, finish, reveal=trim))
        _outer_face(layout, index, holes, finish)
        if rng.random() < 0.85:
            _skirting(layout, span, mine, trim)
        for opening in mine:
            _keep_bare(layout, opening)
            if opening.window:
                windows.append(_window(layout, opening, trim))
            else:
                _door(layout, opening, trim)
    return windows


def _keep_bare(layout: Layout, opening: Opening) -> None:
    """Nothing hangs over an opening or its frame."""
    span = opening.wall
    ends = [span.start + span.along * s for s in (opening.start - 0.1, opening.end + 0.1)]
    low, high = np.min(ends, axis=0) - 0.03, np.max(ends, axis=0) + 0.03
    layout.block(*low, *high, z0=opening.bottom - 0.1, z1=opening.top + 0.1)


def _outer_face(
    layout: Layout, index: int, holes: list[tuple[float, float, float, float]], finish: Material
) -> None:
    """The outside of a wall: gives it thickness, so that the sun's shadows do not leak at its seams."""
    walls = layout.walls
    before, span, after = walls[index - 1], walls[index], walls[(index + 1) % len(walls)]
    thick = THICKNESS - 0.01
    # at convex corners the outer faces meet further out, at concave ones further in
    early = thick if float(before.along @ span.inward) < 0 else -thick
    late = thick if float(span.along @ after.inward) < 0 else -thick
    start = span.start - span.along * early - span.inward * thick
    end = span.end + span.along * late - span.inward * thick
    moved = [(a + early, b + early, z0, z1) for a, b, z0, z1 in holes]
    layout.add(wall(start, end, layout.height + thick, moved, finish, depth=0.005), solid=False)


def _skirting(layout: Layout, span: WallSpan, mine: list[Opening], trim: Material) -> None:
    height, depth = layout.rng.uniform(0.05, 0.14), 0.015
    doors = sorted((o.start, o.end) for o in mine if o.bottom < 0.1)
    edges = [0.0, *(v for door in doors for v in door), span.length]
    parts = [
        box((a, -depth, 0), (b, 0, height), trim) for a, b in zip(edges[::2], edges[1::2]) if b - a > 0.02
    ]
    if parts:
        layout.add(transformed(one_material(parts), span.frame), solid=False)


def _window(layout: Layout, opening: Opening, trim: Material) -> Window:
    """Frame bars, sill, sometimes curtains; glass is left out."""
    rng, span = layout.rng, opening.wall
    a, b, z0, z1 = opening.start, opening.end, opening.bottom, opening.top
    y0, y1, t = 0.06, 0.11, 0.045
    columns = max(1, int(round((b - a) / rng.uniform(0.5, 1.1))))
    bars = [box((a, y0, z0), (b, y1, z0 + t), trim), box((a, y0, z1 - t), (b, y1, z1), trim)]
    for i in range(columns + 1):
        x = a + (b - a - t) * i / columns
        bars.append(box((x, y0, z0 + t), (x + t, y1, z1 - t), trim))
    if rng.random() < 0.4:
        z = z0 + (z1 - z0) * rng.uniform(0.4, 0.75)
        bars.append(box((a, y0 + 0.01, z), (b, y1 - 0.01, z + 0.03), trim))
    if z0 > 0.3:
        bars.append(box((a - 0.06, -0.08, z0 - 0.03), (b + 0.06, 0.1, z0), trim))
    layout.add(transformed(one_material(bars), span.frame), "window")
    if rng.random() < 0.4:
        _curtains(layout, opening)
    middle = span.start + span.along * (a + b) / 2
    inside = middle + span.inward * 0.5
    layout.block(*np.minimum(middle, inside) - 0.2, *np.maximum(middle, inside) + 0.2, z0=max(z0, 1.0))
    along, centre = span.along * (b - a) / 2, middle - span.inward * 0.15
    return Window(
        (float(centre[0]), float(centre[1]), (z0 + z1) / 2),
        (float(span.inward[0]), float(span.inward[1]), 0.0),
        (float(along[0]), float(along[1]), 0.0),
        (z1 - z0) / 2,
    )


def _curtains(layout: Layout, opening: Opening) -> None:
    """Wavy cloth on both sides of a window."""
    rng, span = layout.rng, opening.wall
    pattern = "fabric_print" if rng.random() < 0.3 else "fabric_grey"
    cloth = surface(pattern, rng, tint=None if pattern == "fabric_print" else color(rng, value=(0.4, 0.95)))
    top = min(opening.top + 0.15, layout.height - 0.05)
    bottom = 0.03 if rng.random() < 0.6 else max(0.05, opening.bottom - 0.15)
    width = (opening.end - opening.start) * rng.uniform(0.15, 0.35) + 0.1
    for left in (max(0.0, opening.start - 0.15), min(span.length - width, opening.end + 0.15 - width)):
        sheet = quad((left, -0.13, bottom), (width, 0, 0), (0, 0, top - bottom), cloth, step=0.035)
        x = sheet.positions[:, 0] - left
        phase = 2 * np.pi * x / rng.uniform(0.09, 0.14)
        sheet.positions[:, 1] += 0.03 * np.sin(phase)
        normals = np.stack([0.9 * np.cos(phase), -np.ones_like(x), 0 * x], -1)
        normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
        layout.add(transformed(replace(sheet, normals=normals), span.frame), "curtain", solid=False)


def _door(layout: Layout, opening: Opening, trim: Material) -> None:
    """A leaf in its frame, shut or ajar; it may swing."""
    rng, span = layout.rng, opening.wall
    a, b, top = opening.start, opening.end, opening.top
    frame = span.frame
    t = 0.07
    casing = [
        box((a - t, -0.02, 0), (a, 0.0, top + t), trim), box((b, -0.02, 0), (b + t, 0.0, top + t), trim),
        box((a, -0.02, top), (b, 0.0, top + t), trim),
    ]  # fmt: skip
    layout.add(transformed(one_material(casing), frame), solid=False)
    front = wooden(rng) if rng.random() < 0.5 else lacquered(rng)
    layout.add(transformed(_passage(a, b, top, wall_paint(rng)), frame))
    leaf = _leaf(b - a, top, front)
    matrix = frame @ placement_matrix(a, 0.03)
    swings = rng.random() < 0.25
    motion = Motion("swing", angle=float(rng.uniform(0.6, 1.6))) if swings else None
    if not swings and rng.random() < 0.3:
        matrix = matrix @ placement_matrix(0, 0, turn=-rng.uniform(0.3, 1.7))
    layout.placements.append(Placement(leaf, matrix, "door", motion=motion))
    middle = span.start + span.along * (a + b) / 2
    inside = middle + span.inward * (b - a)
    half = (b - a) / 2
    layout.block(*np.minimum(middle, inside) - half * 0.7, *np.maximum(middle, inside) + half * 0.7)


def _leaf(width: float, height: float, front: Material) -> Model:
    """A door leaf hinged at the origin, with panels and a handle."""
    steel = Material((0.45, 0.44, 0.42), gloss=0.7)
    parts = [box((0.01, 0, 0.005), (width - 0.01, 0.04, height - 0.01), front)]
    for z0, z1 in ((0.2, 0.9), (1.05, height - 0.2)):
        for y in (-0.008, 0.04):
            parts.append(box((0.12, y, z0), (width - 0.12, y + 0.008, z1), front))
    for y in (-0.05, 0.055):
        parts.append(box((width - 0.17, y, 1.0), (width - 0.05, y + 0.02, 1.025), steel))
        parts.append(box((width - 0.075, min(y, 0), 0.99), (width - 0.05, max(y, 0.04) + 0.01, 1.03), steel))
    return one_material(parts)


def _passage(a: float, b: float, top: float, finish: Material, depth: float = 2.5) -> Model:
    """A stretch of corridor behind a door, so that an open one shows something."""
    y0, y1, side = 0.18, depth, 0.6
    low, high = a - side, b + side
    parts = [
        quad((low, y0, 0), (high - low, 0, 0), (0, y1 - y0, 0), finish),
        quad((low, y1, 0), (high - low, 0, 0), (0, 0, 2.5), finish),
        quad((low, y0, 0), (0, y1 - y0, 0), (0, 0, 2.5), finish),
        quad((high, y1, 0), (0, y0 - y1, 0), (0, 0, 2.5), finish),
        quad((low, y1, 2.5), (high - low, 0, 0), (0, y0 - y1, 0), finish),
    ]
    return one_material(parts)


def outside_view(layout: Layout, rng: np.random.Generator) -> None:
    """Ground, houses and trees to be seen through the windows; not lit by the room."""
    z = -float(rng.choice([0.2, 0.4, 3.0, 6.0, 9.0]))
    ground = surface(str(rng.choice(["grass", "asphalt", "dirt", "stone_wall"])), rng)
    layout.add(quad((-90, -90, z), (180, 0, 0), (0, 180, 0), ground, step=60), background=True)
    for _ in range(int(rng.integers(3, 9))):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(12, 45)
        x, y = distance * np.cos(angle), distance * np.sin(angle)
        if rng.random() < 0.55:
            model = house(rng)
            matrix = placement_matrix(x, y, z, turn=angle - np.pi / 2 + rng.normal(0, 0.3))
            layout.placements.append(Placement(model, matrix, "", background=True))
        else:
            piece: Piece = pick("tree", rng)
            matrix = placement_matrix(x * 0.7, y * 0.7, z, turn=angle, scale=rng.uniform(0.7, 1.3))
            layout.placements.append(Placement(piece.model, matrix, "", piece.key, background=True))


def house(rng: np.random.Generator) -> Model:
    """A box with windowed fronts and a flat or pitched roof."""
    w, d = rng.uniform(3.5, 9, 2)
    floors = int(rng.integers(1, 6))
    h = 2.9 * floors + 0.3
    front = replace(surface("facade", rng), metres_per_tile=float(rng.uniform(5.4, 6.2)))
    parts = [box((-w, -d, 0), (w, d, h), front, step=3.0)]
    if rng.random() < 0.6:
        tiles, rise = surface("roof", rng), rng.uniform(1.0, 3.5)
        over = 0.4
        slope = np.array([0, d + over, rise])
        parts.append(quad((-w - over, -d - over, h - 0.1), (2 * w + 2 * over, 0, 0), slope, tiles, step=4.0))
        parts.append(
            quad(
                (w + over, d + over, h - 0.1), (-2 * w - 2 * over, 0, 0), slope * [1, -1, 1], tiles, step=4.0
            )
        )
        for side in (-1, 1):
            gable = quad((side * w, -d, h), (0, 2 * d, 0), (0, 0, rise), front, step=20.0)
            positions = gable.positions.copy()
            positions[:, 1] *= 1 - np.clip((positions[:, 2] - h) / rise, 0, 1) * 0.98
            parts.append(replace(gable, positions=positions))
    return one_material(parts)
