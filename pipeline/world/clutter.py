"""Things that fill a room: books, papers, boxes, mugs, rows of kitchen cabinets. Made by hand, endlessly various."""

from __future__ import annotations

import numpy as np

from .finishes import color, lacquered, surface, wooden
from .layout import Layout, WallSpan
from .model import Material, Model, placement_matrix, transformed
from .roles import Piece, pick
from .scene import Placement
from .shapes import box, one_material, quad, revolve, sphere
from .textures import procedural


def _print(rng: np.random.Generator) -> Material:
    return Material((0.9, 0.9, 0.9), procedural("cover", rng), gloss=float(rng.uniform(0.05, 0.4)))


def book(rng: np.random.Generator) -> Model:
    """A book or magazine lying flat."""
    w, d, h = rng.uniform(0.06, 0.11), rng.uniform(0.09, 0.15), rng.uniform(0.003, 0.04)
    side = Material(color(rng, value=(0.3, 0.95)))  # pyright: ignore[reportArgumentType]
    return box((-w, -d, 0), (w, d, h), side, top=_print(rng))


def papers(rng: np.random.Generator) -> Model:
    """Some sheets, fanned out."""
    parts = []
    for i in range(int(rng.integers(1, 5))):
        sheet = box((-0.105, -0.148, 0), (0.105, 0.148, 0.002), Material((0.8, 0.8, 0.78)), top=_print(rng))
        parts.append(
            transformed(sheet, placement_matrix(*rng.normal(0, 0.03, 2), 0.002 * i, turn=rng.normal(0, 0.4)))  # pyright: ignore[reportCallIssue]
        )
    return one_material(parts)


def carton(rng: np.random.Generator, largest: float = 0.4) -> Model:
    """A package or box, printed or plain."""
    size = rng.uniform(0.04, largest / 2, 3)
    plain = Material(color(rng, hue=rng.uniform(0.06, 0.1), saturation=(0.2, 0.5), value=(0.4, 0.8)))  # pyright: ignore[reportArgumentType]
    body = plain if rng.random() < 0.4 else Material(color(rng, saturation=(0.1, 0.9)), gloss=0.2)  # pyright: ignore[reportArgumentType]
    return box((-size[0], -size[1], 0), (size[0], size[1], 2 * size[2]), body, top=_print(rng))


def mug(rng: np.random.Generator) -> Model:
    """A cup, glass, pot, vase or bowl: a random profile turned about its axis."""
    height, radius = rng.uniform(0.05, 0.28), rng.uniform(0.03, 0.08)
    base, belly, neck = rng.uniform(0.5, 1.0), rng.uniform(0.8, 1.4), rng.uniform(0.5, 1.2)
    outer = [(0.0001, 0), (radius * base, 0), (radius * belly, height * 0.4), (radius * neck, height)]
    inner = [(radius * neck * 0.9, height), (radius * belly * 0.9, height * 0.4), (0.0001, height * 0.1)]
    glaze = Material(color(rng, saturation=(0, 0.9), value=(0.2, 0.95)), gloss=float(rng.uniform(0.2, 0.8)))  # pyright: ignore[reportArgumentType]
    return revolve(outer + inner, glaze, sides=18)


def bowl_of_fruit(rng: np.random.Generator) -> Model:
    """Balls in a bowl."""
    radius = rng.uniform(0.09, 0.16)
    profile = [
        (0.0001, 0),
        (radius * 0.5, 0),
        (radius, radius * 0.5),
        (radius * 0.96, radius * 0.5),
        (0.0001, 0.02),
    ]
    parts = [revolve(profile, Material(color(rng), gloss=0.4), sides=20)]  # pyright: ignore[reportArgumentType]
    for _ in range(int(rng.integers(3, 7))):
        r = rng.uniform(0.03, 0.042)
        at = rng.normal(0, radius * 0.35, 2)
        fruit = Material(
            color(rng, hue=rng.uniform(-0.02, 0.3), saturation=(0.6, 0.95), value=(0.5, 0.95)),  # pyright: ignore[reportArgumentType]
            gloss=0.3,
        )
        parts.append(
            transformed(sphere(r, fruit, sides=12), placement_matrix(*at, radius * rng.uniform(0.1, 0.3)))  # pyright: ignore[reportCallIssue]
        )
    return one_material(parts)


def cushion(rng: np.random.Generator) -> Model:
    """A cushion."""
    size = rng.uniform(0.36, 0.5)
    model = sphere(
        0.5, surface(str(rng.choice(["fabric_print", "fabric_grey"])), rng, tint=color(rng)), sides=16
    )
    positions = model.positions.copy()
    positions[:, 2] -= 0.5
    positions = np.sign(positions) * np.abs(positions * 2) ** 0.6 / 2
    positions *= np.array([size, size, 0.16])
    positions[:, 2] += 0.08
    return Model(
        positions.astype(np.float32), model.normals, positions[:, :2].astype(np.float32), model.vertex_material,
        model.faces, model.materials,
    )  # fmt: skip


def screen(rng: np.random.Generator) -> Model:
    """A monitor or tablet on a foot, glowing or dark."""
    w, h = rng.uniform(0.2, 0.35), rng.uniform(0.25, 0.4)
    dark = Material((0.02, 0.02, 0.022), gloss=0.6)
    lit = Material(
        (0.8, 0.8, 0.8),
        procedural(str(rng.choice(["cover", "picture"])), rng),
        gloss=0.4,
        emission=float(rng.uniform(0, 1)),
    )
    parts = [
        box((-w, 0, 0.1), (w, 0.03, 0.1 + h), dark),
        quad((-w + 0.015, -0.002, 0.115), (2 * w - 0.03, 0, 0), (0, 0, h - 0.03), lit, stretch=True),
        box((-0.03, 0.03, 0.01), (0.03, 0.05, 0.25), dark),
        box((-0.12, -0.05, 0), (0.12, 0.12, 0.012), dark),
    ]
    return one_material(parts)


def _own(model: Model, name: str) -> Piece:
    return Piece(model, name, "clutter")


def table_item(rng: np.random.Generator) -> Piece:
    """Something that stands on a table."""
    choice = rng.random()
    if choice < 0.4:
        return pick("tableware", rng, largest=0.4)
    if choice < 0.5:
        return pick("small_plant", rng, largest=0.45)
    makers = (
        (book, "book"),
        (papers, "papers"),
        (mug, "mug"),
        (bowl_of_fruit, "bowl of fruit"),
        (carton, "box"),
    )
    make, name = makers[rng.integers(len(makers))]
    return _own(make(rng), name)


def desk_item(rng: np.random.Generator) -> Piece:
    """Something that stands on a desk."""
    choice = rng.random()
    if choice < 0.4:
        return pick("desk_clutter", rng, largest=0.5)
    makers = ((book, "book"), (papers, "papers"), (mug, "mug"), (screen, "screen"), (carton, "box"))
    make, name = makers[rng.integers(len(makers))]
    return _own(make(rng), name)


def loose_item(rng: np.random.Generator, *, largest: float = 0.35) -> Piece:
    """Something left lying about."""
    makers = (
        (lambda r: carton(r, largest), "box"),
        (book, "book"),
        (cushion, "cushion"),
        (papers, "papers"),
        (mug, "vase"),
    )
    make, name = makers[rng.integers(len(makers))]
    return _own(make(rng), name)


def book_rows(layout: Layout) -> None:
    """Sometimes a wall shelf with a row of books."""
    rng = layout.rng
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        width = rng.uniform(0.5, 1.3)
        board = wooden(rng) if rng.random() < 0.6 else lacquered(rng)
        parts = [box((-width / 2, -0.13, 0), (width / 2, 0.13, 0.025), board)]
        x = -width / 2 + 0.01
        while x < width / 2 - 0.06:
            t, h, d = rng.uniform(0.012, 0.05), rng.uniform(0.16, 0.28), rng.uniform(0.11, 0.17)
            if rng.random() < 0.12:
                x += rng.uniform(0.03, 0.15)
                continue
            spine = Material(color(rng, saturation=(0, 0.8), value=(0.1, 0.9)), gloss=0.15)  # pyright: ignore[reportArgumentType]
            parts.append(box((x, 0.12 - d, 0.025), (x + t - 0.002, 0.12, 0.025 + h), spine))
            x += t
        layout.against_wall(
            _own(one_material(parts), "shelf of books"), elevation=float(rng.uniform(1.1, 1.7))
        )


def _front(
    x0: float, x1: float, z0: float, z1: float, y: float, front: Material, drawers: int
) -> list[Model]:
    """Cabinet fronts with gaps and handles."""
    steel = Material((0.5, 0.49, 0.47), gloss=0.7)
    parts = []
    height = (z1 - z0) / max(drawers, 1)
    for i in range(max(drawers, 1)):
        low, high = z0 + i * height + 0.003, z0 + (i + 1) * height - 0.003
        parts.append(box((x0 + 0.003, y - 0.02, low), (x1 - 0.003, y, high), front))
        handle = high - 0.06 if z0 < 1 else low + 0.03
        middle, half = (x0 + x1) / 2, min(0.12, (x1 - x0) * 0.35)
        parts.append(box((middle - half, y - 0.05, handle), (middle + half, y - 0.04, handle + 0.012), steel))
    return parts


def kitchen_run(layout: Layout) -> None:
    """Fitted cabinets with a worktop along one or two walls, things on top, cupboards and tiles above."""
    rng = layout.rng
    front = lacquered(rng) if rng.random() < 0.7 else wooden(rng)
    top = surface("marble" if rng.random() < 0.6 else "wood", rng, gloss=float(rng.uniform(0.3, 0.8)))
    splash = surface("tiles", rng, gloss=0.5)
    depth, height = 0.6, rng.uniform(0.86, 0.92)
    walls = sorted(layout.walls, key=lambda w: -w.length)
    first = walls[int(rng.integers(min(2, len(walls))))]
    runs = [(first, 0.0, min(first.length, rng.uniform(2.0, 4.5)))]
    if rng.random() < 0.6:
        index = next(i for i, w in enumerate(layout.walls) if np.array_equal(w.start, first.start))
        before = layout.walls[index - 1]
        runs.append((before, max(0.0, before.length - rng.uniform(1.4, 3.0)), before.length - depth - 0.02))
    for wall, start, end in runs:
        if end - start > 0.6:
            _one_run(layout, wall, start, end, (depth, height), (front, top, splash))


def _one_run(
    layout: Layout,
    wall: WallSpan,
    start: float,
    end: float,
    size: tuple[float, float],
    finish: tuple[Material, Material, Material],
) -> None:
    rng = layout.rng
    depth, height = size
    front, top, splash = finish
    length = end - start
    body = Material((0.6, 0.6, 0.58))
    units = max(1, int(round(length / 0.6)))
    parts = [
        box((0, 0.05, 0.1), (length, depth, height - 0.04), body),
        box((0, 0.06, 0), (length, 0.1, 0.1), front),
    ]
    for i in range(units):
        x0, x1 = length * i / units, length * (i + 1) / units
        parts += _front(x0, x1, 0.1, height - 0.04, 0.05, front, int(rng.choice([1, 1, 1, 3, 4])))
    parts.append(box((0, 0, height - 0.04), (length, depth, height), top, step=0.3))
    parts.append(box((0, depth - 0.012, height), (length, depth - 0.002, height + 0.5), splash, step=0.3))
    centre = (start + end) / 2
    at = wall.start + wall.along * centre + wall.inward * (depth / 2)
    model = transformed(one_material(parts), placement_matrix(-length / 2, -depth / 2))
    piece = Piece(model, "kitchen cabinets", "worktop", top=height)
    if layout.put(piece, float(at[0]), float(at[1]), 0.0, wall.turn, margin=-0.08) is None:
        return
    layout.on_top(lambda: pick("kitchen_clutter", rng, largest=0.5), ("worktop",), int(rng.integers(4, 14)))
    layout.on_top(lambda: table_item(rng), ("worktop",), int(rng.integers(0, 6)))
    if rng.random() < 0.65:
        upper = [box((0, 0.02, 0), (length, 0.35, 0.7), body)]
        for i in range(units):
            upper += _front(length * i / units, length * (i + 1) / units, 0.0, 0.7, 0.02, front, 1)
        # fronts above eye level carry their handles below
        model = transformed(one_material(upper), placement_matrix(-length / 2, -0.175))
        at = wall.start + wall.along * centre + wall.inward * 0.175
        bottom = rng.uniform(1.38, 1.5)
        if layout.free(at[0] - 0.1, at[1] - 0.1, at[0] + 0.1, at[1] + 0.1, bottom, bottom + 0.7):
            matrix = placement_matrix(float(at[0]), float(at[1]), float(bottom), turn=wall.turn)
            layout.placements.append(Placement(model, matrix, "wall cabinets"))
