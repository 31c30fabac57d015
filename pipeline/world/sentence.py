"""A sentence about a place, read for what the synthetic world knows: kinds of places, things, colours, materials, sides.

No network reads it: words are looked up in the tables below and in the names of the furniture catalogue, and what is in
neither is reported. "A red sofa by two wooden chairs, a window on the left" are a sofa, two chairs and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from .roles import ROLES, candidates

Side = Literal["left", "right"]

PLACES: dict[str, str] = {
    "living room": "living room, lounge, sitting room, salon", "kitchen": "kitchen, kitchenette", "bedroom": "bedroom",
    "bathroom": "bathroom, washroom, toilet room", "office": "office, workplace", "dining room": "dining room",
    "hall": "hall, hallway, corridor, entrance", "study": "study, library", "gym": "gym, fitness room",
    "street": "street, road, alley", "square": "square, plaza, marketplace", "garden": "garden, backyard",
    "field": "field, meadow, pasture", "car park": "car park, parking lot, parking", "park": "park, forest, wood",
}  # fmt: skip
"""Kinds of rooms and open scenes, and words for them."""
OUTDOORS = ("street", "square", "garden", "field", "car park", "park")
AROUND: dict[str, str] = {
    "mountains": "mountain, mountain range, hill, peak, alp", "wood": "forest edge, edge of a forest, edge of a wood, woods, trees all around",
    "lake": "lake, sea, seaside, pond, ocean", "towers": "tower, lighthouse, pagoda, bell tower",
}  # fmt: skip
"""What lies around places in the open (``vistas.KINDS``), and words for it."""
THINGS: dict[str, str] = {
    "sofa": "sofa, couch, settee, loveseat, futon", "armchair": "armchair, easy chair, recliner, ottoman, pouf",
    "office_chair": "office chair, desk chair, swivel chair", "bar_stool": "bar stool", "chair": "chair, stool, seat",
    "coffee_table": "coffee table, low table", "nightstand": "nightstand, night table, bedside table",
    "dining_table": "dining table, kitchen table, round table, table", "desk": "desk, writing table, workbench",
    "bed": "bed, double bed, single bed", "wardrobe": "wardrobe, cupboard, closet, dresser, chest of drawers, chest, drawers",
    "bookcase": "bookcase, bookshelf, bookshelves, shelf, shelves, shelving", "cabinet": "filing cabinet, cabinet, locker, safe",
    "tv_stand": "tv stand, sideboard", "tv": "tv, television, screen", "piano": "piano", "fireplace": "fireplace, hearth",
    "rug": "rug, carpet", "plant": "plant, houseplant, ficus, palm", "small_plant": "flower, vase, cactus, bouquet",
    "fridge": "fridge, refrigerator, freezer", "stove": "stove, oven, cooker, washing machine, dryer",
    "table_lamp": "lamp, table lamp, desk lamp", "washbasin": "washbasin, sink, vanity", "toilet": "toilet, bidet",
    "bath": "bathtub, bath, tub, shower", "radiator": "radiator, heater", "person": "person, people, man, woman, boy, girl",
    "animal": "animal, pet, cat, dog, rabbit", "gym": "treadmill, exercise bike, pool table, table tennis",
    "floor_clutter": "backpack, suitcase, box, basket, guitar, toy", "desk_clutter": "laptop, computer, book, phone, radio",
    "tableware": "cup, mug, plate, glass, bottle, bowl, fruit, cake, teapot",
    "kitchen_clutter": "toaster, microwave, kettle, blender, coffee machine",
    "shelf_clutter": "clock, candle, speaker, teddy bear, doll, picture frame",
    "car": "car, van, automobile", "truck": "truck, bus, lorry", "cycle": "bicycle, bike, scooter, motorbike",
    "tree": "tree, acacia, cypress", "bush": "bush, hedge, shrub", "street": "bench, mailbox, hydrant",
    "garden": "swing, trampoline, tent, fountain, hammock, deck chair, umbrella", "large_animal": "horse",
}  # fmt: skip
"""Roles that a sentence can ask for, and words for them; names of the catalogue's models are added to these."""
SHELL = {"wall": "wall", "walls": "wall", "floor": "floor", "ground": "floor"}
COLORS: dict[str, tuple[int, int, int]] = {
    "red": (176, 32, 30), "orange": (222, 120, 40), "yellow": (226, 188, 60), "green": (66, 122, 62), "turquoise": (52, 148, 150),
    "blue": (44, 82, 160), "purple": (104, 62, 140), "violet": (104, 62, 140), "pink": (222, 140, 160), "brown": (104, 70, 46),
    "beige": (206, 186, 152), "white": (232, 230, 226), "grey": (136, 136, 136), "gray": (136, 136, 136), "black": (28, 28, 30),
    "cream": (232, 220, 190), "golden": (196, 152, 60), "silver": (180, 180, 184), "navy": (26, 40, 84),
}  # fmt: skip
"""sRGB, 0..255."""
MATERIALS = {
    "wooden": "wood", "wood": "wood", "oak": "wood", "pine": "wood", "walnut": "wood", "leather": "leather_grey",
    "metal": "metal_grey", "steel": "metal_grey", "marble": "marble", "brick": "brick", "tiled": "tiles", "tiles": "tiles",
    "carpeted": "carpet", "fabric": "fabric_grey", "stone": "stone_wall", "concrete": "concrete",
}  # fmt: skip
"""Words for patterns of ``textures``."""
NUMBERS = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "pair": 2,
    "several": 3,
    "some": 2,
    "many": 5,
}
PADDING = frozenset(
    re.findall(
        r"\w+",
        "a an the with and of in on at by to near next beside from over under its it is are there room view photo picture "
        "before behind between front against around large small big little old modern one seen cosy cozy bright dark light "
        "nice beautiful empty full side corner middle",
    )
)
"""Words that nothing is looked up for."""
MOST = 12
"""Things that one sentence may ask for."""


@dataclass(frozen=True)
class Wish:
    """One thing asked for."""

    role: str
    """Of ``ROLES``."""
    words: str
    """As the sentence calls it."""
    color: str | None = None
    """Of ``COLORS``."""
    material: str | None = None
    """A pattern."""
    side: Side | None = None
    names: tuple[str, ...] = ()
    """Models of the catalogue by these names alone; any that can play the role where empty."""

    @property
    def label(self) -> str:
        """For people."""
        material = next((w for w, pattern in MATERIALS.items() if pattern == self.material), None)
        return " ".join(filter(None, (self.color, material, self.words)))


@dataclass(frozen=True)
class Brief:
    """What a sentence asks for."""

    kind: str
    """Of ``rooms.KINDS`` or ``OUTDOORS``."""
    wishes: tuple[Wish, ...] = ()
    shell: tuple[tuple[str, str | None, str | None], ...] = ()
    """(wall or floor, colour, material)."""
    around: tuple[str, ...] = ()
    """Of ``AROUND``; in the open alone."""
    unknown: tuple[str, ...] = ()
    """Words that were not understood."""

    @property
    def indoor(self) -> bool:
        """True for rooms."""
        return self.kind not in OUTDOORS


def read_sentence(text: str) -> Brief:
    """What a sentence asks for; see the module.

    Args:
        text: English, any length; upper and lower case and punctuation do not matter.
    """
    kind, wishes, shell, unknown = None, [], [], []
    around: dict[str, str] = {}
    color = material = last = None
    count = 1
    tokens = re.findall(r"[a-z]+|,", text.lower().replace("-", " "))
    position = 0
    while position < len(tokens):
        side = _side(tokens, position)
        if side is not None:
            position += 3
            if last == "around":
                unknown.append(f"on the {side}")  # it is on all sides
            else:
                for i in _last_phrase(wishes):
                    wishes[i] = _moved(wishes[i], side)
            continue
        words, meaning = _longest(tokens, position)
        position += max(1, len(words.split()))
        last = meaning[0] if meaning[0] in ("thing", "around") else last
        match meaning:
            case ("place", name):
                kind = kind or name
                color, material, count = None, None, 1
            case ("thing", role, names):
                wish = Wish(role, words, color, material, None, names)
                wishes += [wish] * min(count if count > 1 else 1, 6)
                color, material, count = None, None, 1
            case ("around", name):
                around[name] = words
                unknown += filter(None, (color, material))  # it has colours of its own
                color, material, count = None, None, 1
            case ("shell", part):
                shell.append((part, color, material))
                color, material, count = None, None, 1
            case ("color", name):
                color = name
            case ("material", name):
                material = name
            case ("number", number):
                count = number
            case ("unknown",):
                unknown.append(words)
    kind = kind or _kind_of([w.role for w in wishes]) or ("field" if around else "living room")
    if kind not in OUTDOORS:
        unknown += around.values()
        around = {}
    return Brief(kind, tuple(wishes[:MOST]), tuple(shell), tuple(around), tuple(dict.fromkeys(unknown)))


def _side(tokens: list[str], position: int) -> Side | None:
    if tokens[position : position + 2] == ["on", "the"] and position + 2 < len(tokens):
        word = tokens[position + 2]
        return "left" if word == "left" else "right" if word == "right" else None
    return None


def _last_phrase(wishes: list[Wish]) -> range:
    """Indices of the equal wishes at the end, which were named together."""
    if not wishes:
        return range(0)
    start = len(wishes) - 1
    while start > 0 and wishes[start - 1] == wishes[-1]:
        start -= 1
    return range(start, len(wishes))


def _moved(wish: Wish, side: Side) -> Wish:
    return Wish(wish.role, wish.words, wish.color, wish.material, side, wish.names)


def _longest(tokens: list[str], position: int) -> tuple[str, tuple]:
    """The longest run of words from here that means something, and what."""
    for length in (4, 3, 2, 1):
        words = tokens[position : position + length]
        if len(words) < length or "," in words:
            continue
        phrase = " ".join(words)
        for form in dict.fromkeys((phrase, _singular(phrase))):
            meaning = _vocabulary().get(form)
            if meaning is not None:
                return phrase, meaning
    word = tokens[position]
    return word, ("padding",) if word == "," or word in PADDING else ("unknown",)


def _singular(phrase: str) -> str:
    """English singular of a phrase's last word, for the common cases."""
    for ending, instead in (("shelves", "shelf"), ("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch")):
        if phrase.endswith(ending):
            return phrase[: -len(ending)] + instead
    return phrase[:-1] if phrase.endswith("s") and not phrase.endswith("ss") else phrase


@cache
def _vocabulary() -> dict[str, tuple]:
    """Phrase -> meaning. Earlier entries win: the tables of this file, then the catalogue's names by the order of roles."""
    words: dict[str, tuple] = {}
    for role, listed in THINGS.items():
        for phrase in listed.split(", "):
            words.setdefault(phrase, ("thing", role, _named(role, phrase)))
    for kind, listed in PLACES.items():
        for phrase in listed.split(", "):
            words.setdefault(phrase, ("place", kind))
    for name, listed in AROUND.items():
        for phrase in listed.split(", "):
            words.setdefault(phrase, ("around", name))
    words |= {word: ("shell", part) for word, part in SHELL.items()}
    words |= {word: ("number", number) for word, number in NUMBERS.items()}
    words |= {word: ("color", word) for word in COLORS}
    words |= {word: ("material", pattern) for word, pattern in MATERIALS.items()}
    for role in ROLES:
        if role in THINGS:
            for item in candidates(role):
                if item.name.lower().split()[0] in (*COLORS, *MATERIALS):
                    continue  # "wooden table" is any table, in wood
                words.setdefault(item.name.lower(), ("thing", role, (item.name,)))
    return words


def _named(role: str, phrase: str) -> tuple[str, ...]:
    """The models of a role that bear a word of the tables in their name; none: any of them will do."""
    return tuple(sorted({i.name for i in candidates(role) if re.search(rf"\b{phrase}\b", i.name.lower())}))


def _kind_of(roles: list[str]) -> str | None:
    """The kind of place that has such things; None where any has."""
    homes = {
        "bedroom": ("bed", "nightstand"), "bathroom": ("toilet", "bath", "washbasin"),
        "kitchen": ("fridge", "stove", "kitchen_clutter"), "living room": ("sofa", "tv", "fireplace", "piano"),
        "street": ("car", "truck", "cycle", "street"), "garden": ("tree", "bush", "garden", "large_animal"),
        "gym": ("gym",), "study": ("desk", "office_chair", "desk_clutter"), "dining room": ("dining_table",),
    }  # fmt: skip
    for kind, typical in homes.items():
        if any(role in typical for role in roles):
            return kind
    return None
