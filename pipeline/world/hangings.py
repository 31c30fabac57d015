"""What hangs on walls: pictures, notices and boards, clocks, screens, switches, shelves with books, coats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .clutter import book_row
from .finishes import color, lacquered, surface, wooden
from .layout import Layout
from .model import Material, Model, placement_matrix, transformed
from .shapes import box, cylinder, one_material, quad
from .textures import procedural

Maker = Callable[[np.random.Generator], tuple[Model, float, float, float] | None]
"""Makes (model, width, height, depth): in wall axes, its lower left corner at the origin, standing out towards -y."""

Shown = Callable[[np.random.Generator, float], str]
"""Draws the texture of something printed; the number is the share of covers."""


def hang_things(layout: Layout, kind: str, photos: list[str]) -> None:
    """Fill the free walls, from bare to crowded, as suits the kind of room."""
    rng = layout.rng
    crowd = float(rng.choice([0.15, 1.0, 2.5], p=[0.3, 0.4, 0.3])) * sum(w.length for w in layout.walls) / 14
    if kind in ("bathroom", "gym"):
        crowd *= 0.4
    busy = 2.0 if kind in ("kitchen", "office", "study") else 0.7
    shown = partial(_image, photos=photos)
    for make, label, mean, low, high in (
        (partial(_picture, shown=shown), "picture", 3.0, 1.2, 1.7),
        (partial(_notices, shown=shown), "notices", 1.2 * busy, 1.1, 1.8),
        (partial(_screen, shown=shown), "screen", 0.3, 1.2, 2.0), (_clock, "", 0.4, 1.7, 2.2), (_switch, "", 3.0, 0.25, 1.25),
        (_book_shelf, "shelf of books", 0.8, 1.1, 1.9), (_coats, "", 0.3, 1.3, 1.6), (_box, "", 0.6, 0.5, 2.1),
    ):  # fmt: skip
        for _ in range(rng.poisson(mean * crowd)):
            _hang(layout, make, label, float(rng.uniform(low, high)))


def _hang(layout: Layout, make: Maker, label: str, middle: float) -> None:
    made = make(layout.rng)
    if made is None:
        return
    model, width, height, depth = made
    place = layout.on_wall(width, height, middle, depth=depth)
    if place is None:
        return
    wall, at, z = place
    layout.add(transformed(model, wall.frame @ placement_matrix(at, 0.0, z)), label, solid=depth > 0.1)


def _flat(x: float, z: float, w: float, h: float, image: Material, out: float) -> Model:
    """A stretched picture facing the room."""
    return quad((x, -out, z), (w, 0, 0), (0, 0, h), image, step=2.0, stretch=True)


def _image(rng: np.random.Generator, covers: float, *, photos: list[str]) -> str:
    """Texture of something printed: one of the photos, if there are any, a cover or a painting."""
    if photos and rng.random() < 0.6:
        return f"photo:{photos[rng.integers(len(photos))]}"
    return procedural("cover" if rng.random() < covers else "picture", rng)


def _picture(rng: np.random.Generator, *, shown: Shown):
    w, h = rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.8)
    texture = shown(rng, 0.3)
    rim = lacquered(rng) if rng.random() < 0.5 else wooden(rng)
    t = float(rng.choice([0.0, 0.02, 0.04]))
    image = Material((0.9, 0.9, 0.9), texture, gloss=0.3)
    parts = [_flat(t, t, w - 2 * t, h - 2 * t, image, 0.022), box((0, -0.02, 0), (w, 0, h), rim)]
    if t:
        for x0, x1, z0, z1 in ((0, t, 0, h), (w - t, w, 0, h), (0, w, 0, t), (0, w, h - t, h)):
            parts.append(box((x0, -0.035, z0), (x1, -0.02, z1), rim))
    return one_material(parts), w, h, 0.05


def _notices(rng: np.random.Generator, *, shown: Shown):
    """Sheets pinned side by side, on a board or straight on the wall."""
    columns, rows = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    cell = rng.uniform(0.2, 0.36)
    w, h = columns * cell, rows * cell * 1.2
    parts = []
    prints = [shown(rng, 0.75) for _ in range(3)]
    if rng.random() < 0.4:
        board = surface("fabric_grey", rng, tint=color(rng, saturation=(0, 0.6), value=(0.4, 0.95)))
        parts.append(box((0, -0.015, 0), (w, 0, h), board))
    for i in range(columns):
        for j in range(rows):
            if rng.random() < 0.25:
                continue
            sw, sh = cell * rng.uniform(0.4, 0.95), cell * 1.2 * rng.uniform(0.5, 0.95)
            x = i * cell + rng.uniform(0, cell - sw)
            z = j * cell * 1.2 + rng.uniform(0, cell * 1.2 - sh)
            tint = (0.9, 0.9, 0.88) if rng.random() < 0.6 else color(rng, value=(0.5, 1.0))
            paper = Material(tint, str(rng.choice(prints)), gloss=0.15)  # pyright: ignore[reportArgumentType]
            parts.append(_flat(x, z, sw, sh, paper, 0.017 + 0.001 * rng.random()))
    return (one_material(parts), w, h, 0.04) if parts else None


def _screen(rng: np.random.Generator, *, shown: Shown):
    """A television, or a white board."""
    w = rng.uniform(0.6, 1.6)
    h = w * rng.uniform(0.55, 0.7)
    if rng.random() < 0.4:
        white = Material((0.85, 0.86, 0.87), gloss=0.5)
        return one_material([box((0, -0.025, 0), (w, 0, h), white)]), w, h, 0.05
    dark = Material((0.02, 0.02, 0.022), gloss=0.6)
    parts = [box((0, -0.06, 0), (w, 0, h), dark)]
    if rng.random() < 0.5:
        lit = Material((0.8, 0.8, 0.8), shown(rng, 0.0), gloss=0.4, emission=float(rng.uniform(0.2, 1)))
        parts.append(_flat(0.02, 0.02, w - 0.04, h - 0.04, lit, 0.062))
    return one_material(parts), w, h, 0.09


def _clock(rng: np.random.Generator):
    radius = rng.uniform(0.1, 0.2)
    face = cylinder(radius, 0.03, Material(color(rng, saturation=(0, 0.2), value=(0.6, 1.0)), gloss=0.3))  # pyright: ignore[reportArgumentType]
    upright = np.array([[1, 0, 0, radius], [0, 0, -1, 0], [0, 1, 0, radius], [0, 0, 0, 1.0]])
    hand = Material((0.03, 0.03, 0.03))
    parts = [
        transformed(face, upright),
        box((radius, -0.034, radius), (radius + 0.008, -0.031, 1.8 * radius), hand),
    ]
    parts.append(box((radius, -0.034, radius), (1.6 * radius, -0.031, radius + 0.01), hand))
    return one_material(parts), 2 * radius, 2 * radius, 0.05


def _switch(rng: np.random.Generator):
    w = 0.085 * int(rng.integers(1, 4))
    plate = Material(color(rng, saturation=(0, 0.08), value=(0.75, 0.97)), gloss=0.4)  # pyright: ignore[reportArgumentType]
    return one_material([box((0, -0.012, 0), (w, 0, 0.085), plate)]), w, 0.085, 0.03


def _box(rng: np.random.Generator):
    """A fuse box, dispenser, cabinet or unit on the wall."""
    w, h, d = rng.uniform(0.1, 0.6), rng.uniform(0.12, 0.6), rng.uniform(0.06, 0.25)
    return one_material([box((0, -d, 0), (w, 0, h), lacquered(rng))]), w, h, d + 0.02


def _book_shelf(rng: np.random.Generator):
    w, d = rng.uniform(0.5, 1.5), 0.25
    board = wooden(rng) if rng.random() < 0.6 else lacquered(rng)
    parts = [box((0, -d, 0), (w, 0, 0.025), board), *book_row(rng, 0.01, w, 0.025, -0.01)]
    return one_material(parts), w, 0.35, d + 0.02


def _coats(rng: np.random.Generator):
    """A rail with cloth hanging from it: coats, towels, bags."""
    w, h = rng.uniform(0.3, 1.2), rng.uniform(0.4, 1.0)
    parts = [box((0, -0.05, h - 0.04), (w, 0, h - 0.02), wooden(rng))]
    x = 0.02
    while x < w - 0.15:
        width = rng.uniform(0.14, 0.35)
        if rng.random() < 0.7 and x + width < w:
            drop, out = h * rng.uniform(0.4, 1.0), rng.uniform(0.04, 0.12)
            cloth = surface("fabric_grey", rng, tint=color(rng, value=(0.1, 0.9)))
            parts.append(box((x, -0.05 - out, h - drop), (x + width, -0.03, h - 0.03), cloth))
        x += width + 0.02
    return one_material(parts), w, h, 0.2
