"""Furnishing a room with what a sentence asks for, in the colours and materials that it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .finishes import CLOTH, surface, wooden
from .layout import Layout
from .model import Material, Model, srgb_to_linear
from .models import load_model
from .roles import Piece, candidates, pick
from .scene import Placement
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
