"""Furnishing a room or an open scene with what a sentence asks for, in the colours and materials that it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .finishes import CLOTH, surface, wooden
from .layout import Layout
from .model import Material, Model, placement_matrix, srgb_to_linear
from .models import load_model
from .roles import Piece, candidates, pick
from .scene import Placement, Scene
from .sentence import COLORS, Wish

ALONG_WALLS = frozenset(
    {
        *(
            "sofa",
            "bed",
            "wardrobe",
            "bookcase",
            "tv_stand",
            "piano",
            "fireplace",
            "desk",
            "cabinet",
            "nightstand",
        ),
        *("fridge", "stove", "washbasin", "toilet", "bath", "radiator"),
    }
)
"""Roles whose pieces stand with their backs to a wall."""
ON_TOP = {
    "small_plant": ("dining_table", "coffee_table", "desk", "wardrobe", "tv_stand", "nightstand", "bookcase"),
    "table_lamp": ("nightstand", "desk", "dining_table", "wardrobe", "coffee_table", "tv_stand"),
    "tv": ("tv_stand", "wardrobe", "desk", "coffee_table"), "desk_clutter": ("desk", "dining_table", "coffee_table", "bookcase"),
    "tableware": ("dining_table", "coffee_table", "worktop", "desk"), "kitchen_clutter": ("worktop", "dining_table", "desk"),
    "shelf_clutter": ("bookcase", "wardrobe", "tv_stand", "nightstand", "dining_table", "desk"),
}  # fmt: skip
"""Roles of small things, and of the furniture that they stand on; the first that the room has."""
CARRYING = frozenset(role for carriers in ON_TOP.values() for role in carriers)
LONGEST = 2.6
"""Metres along a wall."""
MIDDLE = 5.0
"""Half the side of the flat middle of an open scene, metres."""
MAIN_SHARE = 0.55
"""Of a model's surface: its largest materials up to this share take the colour that is asked for."""
TRIES = 20


def grant(layout: Layout, wishes: tuple[Wish, ...]) -> dict[int, Wish]:
    """Place what is wished for, large things first, what belongs together side by side.

    Args:
        layout: a room with its walls; changed.
        wishes: of a sentence about a room.

    Returns:
        The wishes that found room, by the index of their placement.
    """
    granted: dict[int, Wish] = {}
    anchor: Placement | None = None
    for wish in sorted(wishes, key=lambda w: 0 if w.role in ALONG_WALLS else 2 if w.role in ON_TOP else 1):
        placed = _place(layout, wish, anchor)
        if placed is None:
            continue
        index = next(i for i, p in enumerate(layout.placements) if p is placed)
        if wish.color or wish.material:
            model = painted(placed.model, wish, layout.rng)
            layout.placements[index] = replace(placed, model=model)
        granted[index] = wish
        anchor = anchor or placed
    return granted


def grant_outdoors(
    scene: Scene, wishes: tuple[Wish, ...], rng: np.random.Generator
) -> tuple[Scene, dict[int, Wish]]:
    """An open scene with what is wished for: what it has near its middle, where the ground is flat, and the rest put there.

    What shall have a colour is put there in any case.
    """
    granted: dict[int, Wish] = {}
    placements = list(scene.placements)
    for wish in wishes:
        index = None if wish.color or wish.material else _found(placements, wish, granted)
        if index is None:
            placed = _in_the_open(placements, wish, rng)
            if placed is None:
                continue
            placements.append(placed)
            index = len(placements) - 1
        granted[index] = wish
    return replace(scene, placements=tuple(placements)), granted


def _found(placements: list[Placement], wish: Wish, granted: dict[int, Wish]) -> int | None:
    names = wish.names or (wish.role, *(item.name for item in candidates(wish.role)))
    labels = {name.lower() for name in names}
    for index, placement in enumerate(placements):
        near = np.abs(placement.matrix[:2, 3]).max() < 2 * MIDDLE
        if near and index not in granted and placement.label in labels and not placement.background:
            return index
    return None


def _in_the_open(placements: list[Placement], wish: Wish, rng: np.random.Generator) -> Placement | None:
    piece = _piece(wish, rng)
    boxes = [p.start_bounds for p in placements if not p.background]
    standing = [(low, high) for low, high in boxes if high[2] > 0.3 and (high - low)[:2].max() < 2 * MIDDLE]
    reach = float(max(piece.model.size[:2])) / 2 + 0.3
    for _ in range(TRIES):
        at = rng.uniform(-MIDDLE, MIDDLE, 2)
        if any((at > low[:2] - reach).all() and (at < high[:2] + reach).all() for low, high in standing):
            continue
        model = painted(piece.model, wish, rng) if wish.color or wish.material else piece.model
        matrix = placement_matrix(float(at[0]), float(at[1]), 0.0, turn=float(rng.uniform(0, 2 * np.pi)))
        return Placement(model, matrix, piece.name.lower(), piece.key)
    return None


def _place(layout: Layout, wish: Wish, anchor: Placement | None) -> Placement | None:
    piece = _piece(wish, layout.rng)
    if wish.role in ON_TOP:
        before = len(layout.placements)
        for role in ON_TOP[wish.role]:
            if layout.on_top(lambda: piece, (role,), TRIES, most=1):
                return layout.placements[before]
        piece = replace(piece, elevation=0.0)  # on the floor where there is nothing to stand on
    if wish.role in ALONG_WALLS:
        return layout.against_wall(piece, tries=TRIES)
    return _beside(layout, piece, anchor) or layout.on_floor(piece, tries=TRIES, square=wish.role != "person")


def _beside(layout: Layout, piece: Piece, anchor: Placement | None) -> Placement | None:
    """In front of what was placed first, a step away, turned as that is or towards it."""
    if anchor is None:
        return None
    rng = layout.rng
    depth = float(anchor.model.size[1])
    front, along = -anchor.matrix[:2, 1], anchor.matrix[:2, 0]
    turn = float(np.arctan2(anchor.matrix[1, 0], anchor.matrix[0, 0]))
    for attempt in range(TRIES):
        away = depth / 2 + float(piece.model.size[1]) / 2 + rng.uniform(0.3, 0.7 + 0.1 * attempt)
        at = anchor.matrix[:2, 3] + front * away + along * rng.uniform(-0.4, 0.4) * (1 + 0.15 * attempt)
        placed = layout.put(piece, float(at[0]), float(at[1]), piece.elevation, turn)
        if placed is not None:
            return placed
    return None


def _piece(wish: Wish, rng: np.random.Generator) -> Piece:
    """A model for a wish: by its name where the sentence is that exact, and one that can carry things if its kind does."""
    items = [i for i in candidates(wish.role) if not wish.names or i.name in wish.names]
    if wish.role in CARRYING:
        items = [i for i in items if i.top is not None] or items
    if wish.role in ALONG_WALLS:
        items = [i for i in items if max(i.size[:2]) <= LONGEST] or items
    if not items:
        return pick(wish.role, rng)
    item = items[rng.integers(len(items))]
    return Piece(load_model(item), item.name, wish.role, item.key, item.elevation, item.top, item.light_color)


def painted(model: Model, wish: Wish, rng: np.random.Generator) -> Model:
    """A model whose main materials have a wish's colour and material; handles, legs and glass stay as they are."""
    finish = finish_of(wish.color, wish.material, rng, soft=wish.role in CLOTH)
    return model.with_materials(dict.fromkeys(_main_materials(model), finish))


def finish_of(
    color: str | None, material: str | None, rng: np.random.Generator, *, soft: bool = False
) -> Material:
    """A material by the names of a sentence, at least one of which is given.

    Args:
        color: of ``COLORS``.
        material: a pattern; default cloth or paint.
        rng: of the pattern.
        soft: cloth rather than paint.
    """
    tint = srgb_to_linear(np.array(COLORS[color]) / 255) if color else None
    if material == "wood":
        return wooden(rng) if tint is None else surface("wood_grey", rng, gloss=0.25, tint=tint)
    if material is None:
        material = "fabric_grey" if soft else "metal_grey"
    if tint is None and material.endswith("_grey"):
        tint = srgb_to_linear(np.array({"leather_grey": COLORS["brown"]}.get(material, COLORS["grey"])) / 255)
    return surface(material, rng, gloss=0.1 if soft else 0.3, tint=tint)


def _main_materials(model: Model) -> list[int]:
    corners = model.positions[model.faces]
    edges = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = 0.5 * np.linalg.norm(np.cross(*edges), axis=1)
    per_material = np.bincount(model.face_material, weights=areas, minlength=len(model.materials))
    main, covered = [], 0.0
    for index in np.argsort(-per_material):
        if covered >= MAIN_SHARE * per_material.sum():
            break
        covered += per_material[index]
        if not model.materials[index].emission:
            main.append(int(index))
    return main
