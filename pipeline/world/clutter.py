"""Things that fill a room: books, papers, boxes, mugs, screens. Made by hand, endlessly various."""

from __future__ import annotations

import numpy as np

from .finishes import color, surface
from .model import Material, Model, placement_matrix, transformed
from .roles import Piece, pick
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


def book_row(rng: np.random.Generator, start: float, end: float, z: float, back: float) -> list[Model]:
    """Books side by side between two places along x, standing at height ``z`` with their backs at y = ``back``."""
    parts, x = [], start
    tallest = rng.uniform(0.2, 0.3)
    while x < end - 0.06:
        t, h, d = rng.uniform(0.012, 0.05), tallest * rng.uniform(0.65, 1.0), rng.uniform(0.11, 0.17)
        if rng.random() < 0.12:
            x += rng.uniform(0.03, 0.15)
            continue
        spine = Material(color(rng, saturation=(0, 0.8), value=(0.1, 0.9)), gloss=0.15)  # pyright: ignore[reportArgumentType]
        parts.append(box((x, back - d, z), (x + t - 0.002, back, z + h), spine))
        x += t
    return parts
