"""Furnished rooms by kind: what stands where in a kitchen, a bedroom, an office."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .clutter import desk_item, loose_item, table_item
from .finishes import refinished
from .fitted import kitchen, storage
from .hangings import hang_things
from .layout import Layout
from .model import Material, placement_matrix
from .roles import Piece, candidates, pick
from .scene import Lamp, Motion, Placement, Scene, Sky
from .shell import SIZES, build_shell, floor_plan, make_openings, outside_view

KINDS = ("living room", "kitchen", "bedroom", "bathroom", "office", "dining room", "hall", "study", "gym")
WEIGHTS = (0.22, 0.24, 0.15, 0.07, 0.14, 0.08, 0.03, 0.06, 0.01)


FITTED = ("kitchen", "bathroom")
"""Kinds of rooms that are none without their own furniture."""


def make_room(
    rng: np.random.Generator,
    *,
    kind: str | None = None,
    photos: list[str] | None = None,
    furnish: Callable[[Layout], bool] | None = None,
    finishes: Mapping[str, Material] | None = None,
) -> Scene:
    """A furnished room.

    Args:
        rng: decides everything.
        kind: one of `KINDS`; random when None.
        photos: paths of pictures that may hang on its walls.
        furnish: comes before the kind's own furniture, and instead of it where that is loose and this returns True.
        finishes: of the ``wall`` and the ``floor``, where they are given.
    """
    kind = kind or str(rng.choice(KINDS, p=WEIGHTS))
    if kind not in SIZES:
        raise ValueError(f"no such kind of room: {kind!r}; there are {KINDS}")
    outline = floor_plan(kind, rng)
    height = float(rng.choice([2.4, 2.5, 2.6, 2.75, 3.0, 3.4]))
    layout = Layout(outline, height, rng)
    openings = make_openings(layout, rng, windows=int(rng.choice([0, 1, 2, 3], p=[0.08, 0.4, 0.36, 0.16])))
    windows = build_shell(layout, kind, openings, finishes or {})
    furnished = furnish is not None and furnish(layout)
    if not furnished or kind in FITTED:
        FURNISH[kind](layout)
    _line_walls(layout, kind)
    _details(layout, kind)
    hang_things(layout, kind, photos or [])
    sky = indoor_sky(rng, bool(windows))
    lamps = _lamps(layout, daylight=max(sky.horizon) > 1)
    _movers(layout)
    if windows:
        outside_view(layout, rng)
    low, high = outline.min(axis=0), outline.max(axis=0)
    return Scene(
        kind=kind,
        indoor=True,
        placements=tuple(layout.placements),
        lamps=tuple(lamps),
        windows=tuple(windows),
        sky=sky,
        low=(float(low[0]), float(low[1]), 0.0),
        high=(float(high[0]), float(high[1]), height),
        outline=outline,
    )


def indoor_sky(rng: np.random.Generator, has_windows: bool) -> Sky:
    """Daylight through windows: bright or grey, sometimes sun, sometimes night."""
    if not has_windows:
        return Sky(zenith=(0.0, 0.0, 0.0), horizon=(0.0, 0.0, 0.0), cloud=(0.0, 0.0, 0.0))
    level = float(rng.choice([0.05, 1.5, 4.0, 8.0], p=[0.12, 0.2, 0.38, 0.3]))
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(12, 60))
    to_sun = (
        float(np.cos(azimuth) * np.cos(elevation)), float(np.sin(azimuth) * np.cos(elevation)), float(np.sin(elevation)),
    )  # fmt: skip
    sunny = level > 2 and rng.random() < 0.55
    sun = np.array([1.0, 0.88, 0.7]) * level * rng.uniform(3, 8) if sunny else np.zeros(3)
    tint = np.array([0.75, 0.88, 1.1]) if sunny else np.array([0.95, 1.0, 1.05])
    zenith, horizon = level * tint * np.array([0.5, 0.7, 1.0]), level * tint
    return Sky(
        zenith=tuple(zenith), horizon=tuple(horizon), cloud=(level, level, level), cover=float(rng.uniform(0.2, 0.9)),
        cloud_texture=f"proc:clouds:{rng.integers(16)}", to_sun=to_sun, sun=tuple(sun),  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def _lamps(layout: Layout, *, daylight: bool) -> list[Lamp]:
    """The ceiling lamp first (it casts the crisp shadows), then table lamps."""
    rng = layout.rng
    warm = np.array([1.0, rng.uniform(0.66, 0.95), rng.uniform(0.38, 0.9)])
    spans = [layout.outline.min(axis=0), layout.outline.max(axis=0)]
    x, y = rng.uniform(0.35, 0.65, 2) * (spans[1] - spans[0]) + spans[0]
    piece = pick("ceiling_lamp", rng)
    on = not daylight or rng.random() < 0.5
    strength = rng.uniform(2.5, 7.0) if on else 1e-4
    drop = 0.12
    if piece.key and piece.model.size[2] < layout.height - 1.9:
        drop = float(piece.model.size[2])
        layout.put(piece, float(x), float(y), layout.height - drop, 0.0, check=False)
    lamps = [
        Lamp((float(x), float(y), layout.height - drop - 0.12), tuple(float(c) for c in strength * warm))  # pyright: ignore[reportArgumentType]
    ]
    for placement in layout.placements:
        if any(word in placement.label for word in ("lamp",)) and placement.matrix[2, 3] < 1.3:
            low, high = placement.world_bounds()
            at = (low + high) / 2
            if rng.random() < 0.6:
                glow = rng.uniform(0.2, 0.8) * warm
                lamps.append(
                    Lamp((float(at[0]), float(at[1]), float(high[2] + 0.12)), tuple(float(c) for c in glow))  # pyright: ignore[reportArgumentType]
                )
    return lamps[:4]


def _movers(layout: Layout) -> None:
    """In a share of the rooms something crosses the floor: a ball, an animal, a cart."""
    rng = layout.rng
    if rng.random() > 0.3:
        return
    for _ in range(int(rng.integers(1, 3))):
        role = str(rng.choice(["ball", "animal", "cart"]))
        piece = pick(role, rng, largest=1.3)
        placed = layout.on_floor(piece, margin=0.3)
        if placed is None:
            continue
        angle = np.arctan2(placed.matrix[1, 0], placed.matrix[0, 0])
        reach = rng.uniform(0.3, 1.0)
        offset = (float(np.sin(angle) * reach), float(-np.cos(angle) * reach), 0.0)
        motion = (
            Motion("bounce", offset, float(rng.uniform(0.2, 0.8)), float(rng.integers(1, 4)))
            if role == "ball"
            else Motion("slide", offset)
        )
        layout.placements[-1] = Placement(
            placed.model, placed.matrix, placed.label, placed.catalogue_key, motion
        )


def _each(layout: Layout, role: str, count: int, *, wall: bool = True, largest: float | None = None) -> None:
    for _ in range(count):
        piece = pick(role, layout.rng, largest=largest)
        if wall:
            layout.against_wall(piece)
        else:
            layout.on_floor(piece)


def _table_with_chairs(layout: Layout, table_role: str = "dining_table", chair_role: str = "chair") -> bool:
    """A table somewhere in the room with chairs of one kind around it, some pulled out."""
    rng = layout.rng
    table = pick(table_role, rng)
    placed = None
    for _ in range(12):
        low, high = layout.outline.min(axis=0), layout.outline.max(axis=0)
        x, y = rng.uniform(low + 0.7, high - 0.7)
        placed = layout.put(
            table, x, y, 0.0, float(rng.integers(2) * np.pi / 2 + rng.normal(0, 0.04)), margin=0.35
        )
        if placed is not None:
            layout.taken.pop()
            break
    if placed is None:
        return False
    chair = pick(chair_role, rng, largest=0.72)
    width, depth = table.model.size[:2]
    seats: list[tuple[float, float, float]] = []
    for side in (-1, 1):
        count = max(1, int(width / 0.65))
        seats += [
            ((i + 0.5) / count * width - width / 2, side * depth / 2, 0 if side > 0 else np.pi)
            for i in range(count)
        ]
        if depth > 0.65:
            seats.append((side * width / 2, 0.0, -np.pi / 2 if side > 0 else np.pi / 2))
    for sx, sy, turn in seats:
        if rng.random() < 0.2:
            continue
        out = rng.uniform(-0.05, 0.25) + chair.model.size[1] * 0.35
        direction = np.array([np.sin(-turn), np.cos(-turn)])
        if abs(sy) > 1e-6:
            direction = np.array([0.0, np.sign(sy)])
        else:
            direction = np.array([np.sign(sx), 0.0])
        local = np.array([sx + direction[0] * out, sy + direction[1] * out, 0, 1.0])
        at = placed.matrix @ local
        base = np.arctan2(placed.matrix[1, 0], placed.matrix[0, 0])
        face = base + turn + rng.normal(0, 0.15)
        piece_turn = float(face)
        half = float(max(chair.model.size[:2]) / 2) * 0.8
        if layout.free(at[0] - half, at[1] - half, at[0] + half, at[1] + half, 0.0, 1.0):
            layout.put(chair, float(at[0]), float(at[1]), 0.0, piece_turn, check=False, margin=-0.05)
    low, high = placed.world_bounds()
    layout.block(*low[:2], *high[:2], z1=float(table.model.size[2]) - 0.02)
    return True


def _seating(layout: Layout) -> None:
    """Sofa against a wall, low table before it, armchairs, a television opposite, a rug below."""
    rng = layout.rng
    sofa = layout.against_wall(pick("sofa", rng, largest=2.6))
    if sofa is not None:
        front = -sofa.matrix[:2, 1]
        depth = sofa.model.size[1]
        at = sofa.matrix[:2, 3] + front * (depth / 2 + rng.uniform(0.55, 0.9))
        turn = float(np.arctan2(sofa.matrix[1, 0], sofa.matrix[0, 0]))
        if rng.random() < 0.6:
            rug = pick("rug", rng)
            model = refinished(rug.model, "rug", rng)
            layout.placements.append(
                Placement(
                    model,
                    placement_matrix(at[0], at[1], 0.002, turn=turn + np.pi / 2),
                    "rug",
                    rug.key,
                    solid=False,
                )
            )
        layout.put(pick("coffee_table", rng), float(at[0]), float(at[1]), 0.0, turn)
        for side in (-1, 1):
            if rng.random() < 0.6:
                beside = (
                    at + front * rng.uniform(-0.2, 0.8) + side * sofa.matrix[:2, 0] * rng.uniform(1.1, 1.6)
                )
                layout.put(
                    pick("armchair", rng, largest=1.1),
                    *map(float, beside),
                    0.0,  # pyright: ignore[reportCallIssue]
                    turn - side * np.pi / 2 + rng.normal(0, 0.3),  # pyright: ignore[reportCallIssue]
                )
        if rng.random() < 0.3:
            _sitter(layout, sofa)
    _each(layout, "tv_stand", 1, largest=1.8)
    layout.on_top(lambda: pick("tv", rng), ("tv_stand",), 1)


def _sitter(layout: Layout, seat: Placement) -> None:
    """Someone on a sofa."""
    rng = layout.rng
    people = [i for i in candidates("sitting_person") if 0.7 < i.size[2] < 1.5]
    if not people:
        return
    piece = pick("sitting_person", rng)
    at = seat.matrix @ np.array([rng.uniform(-0.3, 0.3), -0.15, 0, 1.0])
    turn = float(np.arctan2(seat.matrix[1, 0], seat.matrix[0, 0]))
    layout.put(piece, float(at[0]), float(at[1]), 0.0, turn, check=False)


def _living_room(layout: Layout) -> None:
    rng = layout.rng
    if rng.random() < 0.2:
        _each(layout, str(rng.choice(["fireplace", "piano"])), 1)
    _seating(layout)
    if rng.random() < 0.4:
        _table_with_chairs(layout)
    _each(layout, "bookcase", int(rng.integers(0, 3)))
    _each(layout, "wardrobe", int(rng.integers(0, 2)), largest=1.7)
    _each(layout, "side_table", int(rng.integers(0, 3)), largest=0.7)
    _each(layout, "armchair", int(rng.integers(0, 2)), wall=False, largest=1.0)


def _kitchen(layout: Layout) -> None:
    rng = layout.rng
    kitchen(layout, walls=int(rng.choice([1, 2, 3], p=[0.2, 0.5, 0.3])))
    if rng.random() < 0.75:
        _table_with_chairs(layout)
    if rng.random() < 0.6:
        _each(layout, "fridge", 1)
    _each(layout, "stove", int(rng.integers(0, 2)))
    _each(layout, "bar_stool", int(rng.integers(0, 3)), wall=False)
    _each(layout, "wardrobe", int(rng.integers(0, 2)), largest=1.2)


def _bedroom(layout: Layout) -> None:
    rng = layout.rng
    bed = layout.against_wall(pick("bed", rng), tries=25)
    if bed is not None:
        stand = pick("nightstand", rng)
        turn = float(np.arctan2(bed.matrix[1, 0], bed.matrix[0, 0]))
        for side in (-1, 1):
            x = side * (bed.model.size[0] / 2 + stand.model.size[0] / 2 + 0.08)
            at = bed.matrix @ np.array([x, bed.model.size[1] / 2 - stand.model.size[1] / 2, 0, 1.0])
            layout.put(stand, float(at[0]), float(at[1]), 0.0, turn, margin=0.0)
        if rng.random() < 0.4:
            rug = pick("rug", rng)
            at = bed.matrix @ np.array([0, -bed.model.size[1] / 2, 0, 1.0])
            model = refinished(rug.model, "rug", rng)
            layout.placements.append(
                Placement(
                    model, placement_matrix(at[0], at[1], 0.002, turn=turn), "rug", rug.key, solid=False
                )
            )
    _each(layout, "wardrobe", int(rng.integers(1, 4)))
    if rng.random() < 0.4:
        _each(layout, "desk", 1, largest=1.5)
        _each(layout, "office_chair", 1, wall=False)
    _each(layout, "bookcase", int(rng.integers(0, 2)), largest=1.2)
    _each(layout, "armchair", int(rng.integers(0, 2)), wall=False, largest=1.0)


def _bathroom(layout: Layout) -> None:
    rng = layout.rng
    _each(layout, "bath", 1, largest=1.85)
    _each(layout, "washbasin", 1, largest=1.2)
    _each(layout, "toilet", int(rng.integers(1, 3)))
    _each(layout, "bath_wall", int(rng.integers(1, 3)))
    _each(layout, "bath_floor", int(rng.integers(0, 3)), wall=False)
    layout.on_top(lambda: pick("bath_clutter", rng), ("washbasin", "toilet", "bath_floor"), 6)


def _office(layout: Layout) -> None:
    rng = layout.rng
    for _ in range(int(rng.integers(1, 5))):
        desk = pick("desk", rng)
        placed = layout.against_wall(desk) if rng.random() < 0.6 else layout.on_floor(desk, square=True)
        if placed is None:
            continue
        at = placed.matrix @ np.array(
            [rng.normal(0, 0.15), -desk.model.size[1] / 2 - rng.uniform(0.15, 0.5), 0, 1.0]
        )
        turn = np.arctan2(placed.matrix[1, 0], placed.matrix[0, 0]) + np.pi + rng.normal(0, 0.5)
        layout.put(
            pick("office_chair", rng, largest=0.75),
            float(at[0]),
            float(at[1]),
            0.0,
            float(turn),
            check=True,
            margin=-0.1,
        )
    _each(layout, "bookcase", int(rng.integers(0, 3)))
    _each(layout, "cabinet", int(rng.integers(0, 3)))
    if rng.random() < 0.3:
        _table_with_chairs(layout, chair_role="office_chair")


def _dining_room(layout: Layout) -> None:
    rng = layout.rng
    _table_with_chairs(layout)
    _each(layout, "wardrobe", int(rng.integers(0, 3)), largest=1.7)
    _each(layout, "bookcase", int(rng.integers(0, 2)))
    _each(layout, "armchair", int(rng.integers(0, 2)), largest=1.0)


def _hall(layout: Layout) -> None:
    rng = layout.rng
    _each(layout, "wardrobe", int(rng.integers(1, 3)), largest=1.5)
    _each(layout, "side_table", int(rng.integers(1, 3)), largest=0.7)
    _each(layout, "chair", int(rng.integers(0, 3)))


def _study(layout: Layout) -> None:
    _office(layout)
    _each(layout, "armchair", 1, wall=False, largest=1.0)
    _each(layout, "bookcase", 2)


def _gym(layout: Layout) -> None:
    _each(layout, "gym", int(layout.rng.integers(2, 6)), wall=False)
    _each(layout, "cabinet", 2)


FURNISH: dict[str, Callable[[Layout], None]] = {
    "living room": _living_room, "kitchen": _kitchen, "bedroom": _bedroom, "bathroom": _bathroom, "office": _office,
    "dining room": _dining_room, "hall": _hall, "study": _study, "gym": _gym,
}  # fmt: skip


ALONG_WALLS = {
    "living room": ("bookcase", "tv_stand", "side_table", "armchair", "plant"), "kitchen": ("fridge", "stove", "wardrobe"),
    "bedroom": ("wardrobe", "nightstand", "bookcase", "armchair"), "bathroom": ("bath_wall", "bath_floor", "washbasin"),
    "office": ("cabinet", "bookcase", "desk"), "dining room": ("wardrobe", "side_table", "bookcase"),
    "hall": ("wardrobe", "side_table", "chair"), "study": ("bookcase", "cabinet", "desk", "armchair"),
    "gym": ("cabinet", "wardrobe"),
}  # fmt: skip
"""What stands along the walls of a kind of room."""


def _line_walls(layout: Layout, kind: str) -> None:
    """Lived-in rooms have little bare wall: fitted cupboards and shelves, then furniture, from sparse to full."""
    rng = layout.rng
    if kind != "bathroom":
        for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.35, 0.35, 0.2, 0.1]))):
            storage(layout, shelves=bool(rng.random() < 0.5))
    if kind in ("office", "hall", "dining room", "living room", "study") and rng.random() < 0.25:
        kitchen(layout, walls=1)
    around = sum(w.length for w in layout.walls)
    for _ in range(int(around * rng.choice([0.0, 0.3, 0.7]))):
        _each(layout, str(rng.choice(ALONG_WALLS[kind])), 1, largest=1.6)


def _details(layout: Layout, kind: str) -> None:
    """Plants, radiators, people, pets, things on tables, shelves and the floor."""
    rng = layout.rng
    _each(layout, "radiator", int(rng.integers(0, 2)))
    if kind != "bathroom":
        _each(layout, "plant", int(rng.integers(0, 3)), wall=bool(rng.random() < 0.6))
    if rng.random() < 0.25:
        _each(layout, "person", int(rng.integers(1, 3)), wall=False)
    if rng.random() < 0.15:
        _each(layout, "animal", 1, wall=False)
    tables = ("dining_table", "coffee_table", "side_table")
    layout.on_top(lambda: table_item(rng), tables, int(rng.integers(4, 18)))
    layout.on_top(lambda: desk_item(rng), ("desk", "nightstand"), int(rng.integers(4, 16)))
    layout.on_top(
        lambda: pick("table_lamp", rng, largest=0.4),
        ("nightstand", "side_table", "desk", "wardrobe"),
        int(rng.integers(0, 4)),
    )
    shelves = ("wardrobe", "bookcase", "tv_stand", "cabinet", "piano", "fireplace")
    layout.on_top(lambda: pick("shelf_clutter", rng), shelves, int(rng.integers(0, 6)))
    layout.on_top(lambda: loose_item(rng), (*shelves, "bed", "sofa", "armchair"), int(rng.integers(0, 7)))
    for _ in range(int(rng.integers(1, 9))):
        piece: Piece = pick("floor_clutter", rng) if rng.random() < 0.6 else loose_item(rng, largest=0.5)
        layout.on_floor(piece, tries=4)
