"""Built-in furniture: kitchens with worktops, cupboards and tiles, wall-to-wall wardrobes and filled shelves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .clutter import book_row, carton, desk_item, mug, table_item
from .finishes import color, lacquered, surface, wooden
from .layout import Layout, WallSpan
from .model import Material, Model, placement_matrix, transformed
from .roles import Piece, pick
from .shapes import box, cylinder, one_material

STEEL = Material((0.5, 0.49, 0.47), gloss=0.7)
BLACK_GLASS = Material((0.012, 0.012, 0.014), gloss=0.8)
DEPTH = 0.6
"""Of a worktop, metres."""


@dataclass(frozen=True)
class Finish:
    """What one kitchen is made of."""

    front: Material
    body: Material
    top: Material
    splash: Material
    height: float
    """Of its worktop above the floor, metres."""
    handles: bool
    above: str
    """cupboards, shelves, mixed or nothing."""
    splash_height: float


def kitchen(layout: Layout, *, walls: int) -> None:
    """Runs of cabinets along up to ``walls`` neighbouring walls, things on top, cupboards and tiles above."""
    rng = layout.rng
    finish = Finish(
        front=lacquered(rng) if rng.random() < 0.7 else wooden(rng),
        body=Material(color(rng, saturation=(0, 0.1), value=(0.5, 0.9))),  # pyright: ignore[reportArgumentType]
        top=_worktop(rng),
        splash=surface(
            str(rng.choice(["tiles", "tiles", "marble", "brick"])), rng, gloss=float(rng.uniform(0.2, 0.6))
        ),
        height=float(rng.uniform(0.86, 0.94)),
        handles=bool(rng.random() < 0.75),
        above=str(rng.choice(["cupboards", "shelves", "mixed", "nothing"], p=[0.4, 0.15, 0.2, 0.25])),
        splash_height=float(rng.choice([0.0, 0.1, 0.5, 0.6, 1.5], p=[0.15, 0.15, 0.3, 0.25, 0.15])),
    )
    spans = layout.walls
    first = int(rng.integers(len(spans)))
    if rng.random() < 0.6:
        first = int(np.argmax([w.length for w in spans]))
    for i in range(walls):
        span = spans[(first + i) % len(spans)]
        free = [s for s in layout.free_spans(span, DEPTH, 0.1, 0.94) if s[1] - s[0] > 0.7]
        if not free:
            continue
        start, end = max(free, key=lambda s: s[1] - s[0])
        longest = end - start
        length = longest if rng.random() < 0.6 else min(longest, float(rng.uniform(1.4, 4.0)))
        start = start if rng.random() < 0.7 else end - length
        _run(layout, span, start, start + length, finish)


def _worktop(rng: np.random.Generator) -> Material:
    choice = rng.random()
    if choice < 0.3:
        return surface("marble", rng, gloss=float(rng.uniform(0.3, 0.8)))
    if choice < 0.55:
        return wooden(rng)
    value = (0.02, 0.25) if choice < 0.8 else (0.5, 0.95)
    tint = color(rng, saturation=(0, 0.15), value=value)
    return surface("metal_grey", rng, gloss=float(rng.uniform(0.2, 0.8)), tint=tint)


def _run(layout: Layout, wall: WallSpan, start: float, end: float, finish: Finish) -> None:
    rng, length, height = layout.rng, end - start, finish.height
    units = max(1, int(round(length / 0.6)))
    edges = np.linspace(0, length, units + 1)
    parts = [
        box((0, 0.05, 0.1), (length, DEPTH, height - 0.04), finish.body),
        box((0, 0.06, 0), (length, 0.1, 0.1), finish.front),
        box((0, 0, height - 0.04), (length, DEPTH, height), finish.top, step=0.3),
    ]
    sink, hob = (int(rng.integers(units)) if rng.random() < p else -1 for p in (0.6, 0.5))
    for i, (x0, x1) in enumerate(itertools.pairwise(edges)):
        if i == hob:
            parts += _oven(x0, x1, height) + _hob(x0, x1, height)
            continue
        if i == sink:
            parts += _sink(x0, x1, height)
        front = STEEL if rng.random() < 0.08 else finish.front  # a dishwasher now and then
        parts += fronts(
            x0,
            x1,
            0.1,
            height - 0.04,
            0.05,
            front,
            int(rng.choice([1, 1, 1, 2, 3, 4])),
            handles=finish.handles,
        )
    centre = placement_matrix(-length / 2, -DEPTH / 2)
    model = transformed(one_material(parts), centre)
    at = wall.start + wall.along * (start + end) / 2 + wall.inward * (DEPTH / 2)
    piece = Piece(model, "kitchen cabinets", "worktop", top=height)
    placed = layout.put(piece, float(at[0]), float(at[1]), 0.0, wall.turn, margin=-0.03)
    if placed is None:
        return
    if finish.splash_height:  # on the wall, so that the worktop below stays free for things
        top = min(height + finish.splash_height, layout.height - 0.05)
        tiles = box((0, DEPTH - 0.012, height), (length, DEPTH - 0.002, top), finish.splash, step=0.3)
        layout.add(transformed(tiles, placed.matrix @ centre), "splashback", solid=False)
    things = rng.uniform(1, 8) * length
    cooking = rng.uniform(0.1, 0.9)
    layout.on_top(lambda: pick("kitchen_clutter", rng, largest=0.5), ("worktop",), int(things * cooking))
    layout.on_top(lambda: table_item(rng), ("worktop",), int(things * 0.3))
    layout.on_top(lambda: desk_item(rng), ("worktop",), int(things * (1 - cooking)))
    for x0, x1 in itertools.pairwise(edges):
        kind = (
            finish.above if finish.above != "mixed" else str(rng.choice(["cupboards", "shelves", "nothing"]))
        )
        if kind != "nothing":
            _above(layout, wall, start + x0, start + x1, finish, cupboard=kind == "cupboards")


def _above(
    layout: Layout, wall: WallSpan, start: float, end: float, finish: Finish, *, cupboard: bool
) -> None:
    """One cupboard or two boards over a worktop."""
    length, depth, rise = end - start, 0.34, 0.72
    if cupboard:
        parts = [box((0, 0.02, 0), (length, depth, rise), finish.body)]
        parts += fronts(0, length, 0.0, rise, 0.02, finish.front, 1, handles=finish.handles)
    else:
        parts = []
        for z in (0.0, 0.34):
            parts += [box((0, 0.1, z), (length, depth, z + 0.025), finish.top)]
            parts += contents(layout.rng, 0.0, length, z + 0.025, depth)
    bottom = finish.height + 0.53
    if bottom + rise > layout.height - 0.02:
        return
    model = transformed(one_material(parts), placement_matrix(-length / 2, -depth / 2))
    at = wall.start + wall.along * (start + end) / 2 + wall.inward * (depth / 2)
    name = "wall cabinets" if cupboard else "kitchen shelves"
    layout.put(Piece(model, name, "above"), float(at[0]), float(at[1]), bottom, wall.turn, margin=-0.03)


def fronts(
    x0: float,
    x1: float,
    z0: float,
    z1: float,
    y: float,
    front: Material,
    drawers: int,
    *,
    handles: bool = True,
) -> list[Model]:
    """Doors (two where wide) or drawers over a rectangle of the plane y, with gaps and handles."""
    parts = []
    count = max(drawers, 1)
    leaves = 2 if count == 1 and x1 - x0 > 0.7 else 1
    height = (z1 - z0) / count
    for i in range(count):
        low, high = z0 + i * height + 0.003, z0 + (i + 1) * height - 0.003
        for leaf in range(leaves):
            a, b = x0 + (x1 - x0) * leaf / leaves, x0 + (x1 - x0) * (leaf + 1) / leaves
            parts.append(box((a + 0.003, y - 0.02, low), (b - 0.003, y, high), front))
            if handles:
                handle = high - 0.06 if z0 < 1 else low + 0.03
                middle, half = (a + b) / 2, min(0.12, (b - a) * 0.35)
                grip = (middle + half, y - 0.04, handle + 0.012)
                parts.append(box((middle - half, y - 0.05, handle), grip, STEEL))
    return parts


def _oven(x0: float, x1: float, height: float) -> list[Model]:
    top = height - 0.05
    return [
        box((x0 + 0.003, 0.03, 0.1), (x1 - 0.003, 0.05, top), STEEL),
        box((x0 + 0.04, 0.024, 0.2), (x1 - 0.04, 0.03, top - 0.18), BLACK_GLASS),
        box((x0 + 0.05, -0.01, top - 0.14), (x1 - 0.05, 0.0, top - 0.12), STEEL),
    ]


def _hob(x0: float, x1: float, height: float) -> list[Model]:
    parts = [box((x0 + 0.02, 0.06, height), (x1 - 0.02, 0.54, height + 0.008), BLACK_GLASS)]
    for x in (x0 + (x1 - x0) * 0.3, x0 + (x1 - x0) * 0.7):
        for y in (0.19, 0.41):
            ring = cylinder(0.07, 0.003, Material((0.09, 0.09, 0.09), gloss=0.3))
            parts.append(transformed(ring, placement_matrix(x, y, height + 0.008)))
    return parts


def _sink(x0: float, x1: float, height: float) -> list[Model]:
    """A basin that stands on the top, and a tap behind it."""
    a, b, c, d, z = x0 + 0.05, x1 - 0.05, 0.1, 0.46, height + 0.03
    rim = [
        box((a, c, height), (b, c + 0.02, z), STEEL), box((a, d - 0.02, height), (b, d, z), STEEL),
        box((a, c, height), (a + 0.02, d, z), STEEL), box((b - 0.02, c, height), (b, d, z), STEEL),
        box((a + 0.02, c + 0.02, height), (b - 0.02, d - 0.02, height + 0.004), STEEL),
    ]  # fmt: skip
    middle = (a + b) / 2
    tap = transformed(cylinder(0.014, 0.28, STEEL), placement_matrix(middle, 0.51, height))
    return [
        *rim,
        tap,
        box((middle - 0.012, 0.34, height + 0.26), (middle + 0.012, 0.51, height + 0.28), STEEL),
    ]


def contents(rng: np.random.Generator, x0: float, x1: float, z: float, back: float) -> list[Model]:
    """What stands on one board: books, boxes, pots, or nothing."""
    choice = rng.random()
    if choice < 0.45:
        return book_row(rng, x0 + 0.02, x1 - 0.02 if rng.random() < 0.6 else (x0 + x1) / 2, z, back - 0.02)
    if choice < 0.55:
        return []
    parts, x = [], x0 + 0.03
    make: Callable[[np.random.Generator], Model] = mug if choice < 0.75 else lambda r: carton(r, 0.26)
    while x < x1 - 0.1:
        thing = make(rng)
        width = float(thing.size[0])
        if x + width > x1 - 0.02:
            break
        if thing.size[2] < 0.3 and rng.random() < 0.85:
            y = back - 0.03 - thing.size[1] / 2
            parts.append(transformed(thing, placement_matrix(float(x + width / 2), float(y), z)))
        x += width + rng.uniform(0.0, 0.12)
    return parts


def storage(layout: Layout, *, shelves: bool) -> None:
    """Wardrobe doors or filled shelves along a stretch of one wall, up to or near the ceiling."""
    rng = layout.rng
    depth = float(rng.uniform(0.22, 0.36) if shelves else rng.uniform(0.4, 0.65))
    height = float(min(layout.height - 0.03, rng.choice([1.0, 1.6, 2.0, 2.3, 9.0])))
    order = rng.permutation(len(layout.walls))
    for index in order:
        wall = layout.walls[index]
        free = [s for s in layout.free_spans(wall, depth, 0.05, height) if s[1] - s[0] > 0.9]
        if free:
            break
    else:
        return
    start, end = free[rng.integers(len(free))]
    length = float(min(end - start, rng.uniform(0.9, 3.8)))
    start = start if rng.random() < 0.5 else end - length
    front = lacquered(rng) if rng.random() < 0.6 else wooden(rng)
    bays = max(1, int(round(length / rng.uniform(0.45, 1.0))))
    edges = np.linspace(0, length, bays + 1)
    if shelves:
        parts = _shelves(rng, edges, height, depth, front)
    else:
        parts = [box((0, 0.02, 0), (length, depth, height), front)]
        for x0, x1 in itertools.pairwise(edges):
            drawers = int(rng.choice([1, 1, 1, 4])) if height < 1.7 else 1
            parts += fronts(
                x0, x1, 0.06, height - 0.02, 0.02, front, drawers, handles=bool(rng.random() < 0.8)
            )
    model = transformed(one_material(parts), placement_matrix(-length / 2, -depth / 2))
    at = wall.start + wall.along * (start + length / 2) + wall.inward * (depth / 2)
    piece = Piece(model, "shelves" if shelves else "fitted cupboard", "wardrobe", top=height)
    layout.put(piece, float(at[0]), float(at[1]), 0.0, wall.turn, margin=-0.02)


def _shelves(
    rng: np.random.Generator, edges: np.ndarray, height: float, depth: float, board: Material
) -> list[Model]:
    length, t = float(edges[-1]), 0.025
    parts = [box((0, depth - 0.01, 0), (length, depth, height), board)]
    for x in edges:
        x = min(max(x, t / 2), length - t / 2)
        parts.append(box((x - t / 2, 0, 0), (x + t / 2, depth, height), board))
    levels = max(2, int(round(height / rng.uniform(0.3, 0.42))))
    for i in range(levels + 1):
        z = 0.04 + (height - 0.04 - t) * i / levels
        parts.append(box((0, 0, z), (length, depth, z + t), board))
        if i == levels:
            break
        for x0, x1 in itertools.pairwise(edges):
            parts += contents(rng, x0 + t, x1 - t, z + t, depth - 0.02)
    return parts
