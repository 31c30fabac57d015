"""Colours and surfaces of a scene: what walls, floors and furniture are made of."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np

from .model import Material, Model, srgb_to_linear
from .textures import procedural

METRES_PER_TILE = {
    "wood": 1.0, "wood_grey": 1.0, "planks": 1.4, "parquet": 1.0, "tiles": 1.2, "plaster_grey": 2.0, "wallpaper": 0.8,
    "carpet": 1.0, "fabric_grey": 0.5, "fabric_print": 0.6, "leather_grey": 0.6, "metal_grey": 1.0, "concrete": 2.0,
    "marble": 1.0, "brick": 1.3, "stone_wall": 2.0, "grass": 2.5, "asphalt": 3.0, "dirt": 2.5, "roof": 2.0, "leaves": 1.0,
    "facade": 6.0,
}  # fmt: skip
GREY_MEAN = 0.6
"""Linear mean of the grey textures (0.8 in sRGB); tints are divided by it."""


def color(rng: np.random.Generator, *, hue: float | None = None, saturation=(0.0, 0.6), value=(0.2, 0.95)):
    """A random linear colour as a tuple."""
    h = rng.random() if hue is None else hue
    rgb = colorsys.hsv_to_rgb(h % 1, rng.uniform(*saturation), rng.uniform(*value))
    return tuple(float(c) for c in srgb_to_linear(rgb))


def surface(pattern: str, rng: np.random.Generator, *, gloss: float = 0.1, tint=None) -> Material:
    """A material of a procedural pattern; grey patterns want a tint (linear)."""
    scale = METRES_PER_TILE[pattern] * rng.uniform(0.8, 1.3)
    base = (1.0, 1.0, 1.0) if tint is None else tuple(min(1.0, float(c) / GREY_MEAN) for c in tint)
    return Material(base, procedural(pattern, rng), gloss=gloss, metres_per_tile=scale)  # pyright: ignore[reportArgumentType]


def wall_paint(rng: np.random.Generator) -> Material:
    """Mostly white or pale paint, sometimes a strong colour, wallpaper, brick, concrete or wood."""
    choice = rng.random()
    if choice < 0.45:
        tint = color(rng, saturation=(0.0, 0.08), value=(0.8, 0.97))
        return surface("plaster_grey", rng, gloss=0.08, tint=tint)
    if choice < 0.72:
        tint = color(rng, saturation=(0.1, 0.5), value=(0.45, 0.92))
        return surface("plaster_grey", rng, gloss=0.08, tint=tint)
    pattern = rng.choice(["wallpaper", "wallpaper", "brick", "concrete", "wood", "fabric_print"])
    return surface(str(pattern), rng, gloss=0.06)


def floor_finish(rng: np.random.Generator, kind: str) -> Material:
    """A floor that suits a kind of room."""
    if kind in ("kitchen", "bathroom"):
        pattern = rng.choice(["tiles", "tiles", "marble", "planks", "carpet"], p=[0.45, 0.15, 0.1, 0.2, 0.1])
    elif kind == "office":
        pattern = rng.choice(["carpet", "carpet", "planks", "concrete", "tiles"])
    else:
        pattern = rng.choice(["planks", "planks", "parquet", "carpet", "tiles", "concrete"])
    matt = pattern in ("carpet", "concrete")
    return surface(str(pattern), rng, gloss=0.05 if matt else rng.uniform(0.15, 0.65))


def ceiling_finish(rng: np.random.Generator) -> Material:
    """Nearly always white."""
    if rng.random() < 0.08:
        return surface("planks", rng)
    return surface("plaster_grey", rng, tint=color(rng, saturation=(0, 0.05), value=(0.85, 0.98)))


def wooden(rng: np.random.Generator, *, gloss: float = 0.25) -> Material:
    """A board of wood, as it grew or stained darker."""
    stain = rng.uniform(0.25, 1.0) if rng.random() < 0.6 else 1.0
    warmth = rng.uniform(0.8, 1.0)
    return replace(surface("wood", rng, gloss=gloss), color=(stain, stain * warmth, stain * warmth**2))


def lacquered(rng: np.random.Generator) -> Material:
    """A painted front: white, grey, black or a strong colour, matt to glossy."""
    tint = (
        color(rng, saturation=(0, 0.05))
        if rng.random() < 0.5
        else color(rng, saturation=(0.2, 0.9), value=(0.25, 0.8))
    )
    return surface("metal_grey", rng, gloss=rng.uniform(0.1, 0.7), tint=tint)


CLOTH = ("sofa", "armchair", "bed", "office_chair", "sitting", "rug")
WOODEN = (
    "dining_table", "coffee_table", "side_table", "desk", "bookcase", "wardrobe", "nightstand", "tv_stand", "chair", "piano",
    "cabinet",
)  # fmt: skip


def refinished(model: Model, role: str, rng: np.random.Generator) -> Model:
    """A catalogue model with surface detail on its plain materials, and sometimes other colours."""
    changes: dict[int, Material] = {}
    recolor = rng.random() < 0.6
    wood = wooden(rng)
    cloth = color(rng, saturation=(0.0, 0.75), value=(0.15, 0.9))
    printed = rng.random() < 0.2
    for index, material in enumerate(model.materials):
        if material.texture is not None or material.emission > 0:
            continue
        rgb = np.array(material.color)
        warm = rgb[0] > 1.25 * rgb[2] and rgb[0] > rgb[1]
        if role in CLOTH and material.gloss < 0.6:
            tint = cloth if recolor and rgb.max() > 0.05 else material.color
            pattern = "leather_grey" if rng.random() < 0.25 else "fabric_grey"
            new = (
                surface("fabric_print", rng)
                if printed and index == 0
                else surface(pattern, rng, gloss=0.08, tint=tint)
            )
        elif role in WOODEN and (warm or recolor) and rgb.mean() > 0.04 and material.gloss < 0.6:
            new = wood if warm or rng.random() < 0.6 else lacquered(rng)
        elif warm and rgb.mean() > 0.03 and role not in ("person", "animal"):
            new = replace(surface("wood_grey", rng, tint=material.color), gloss=0.2)
        else:
            new = replace(surface("metal_grey", rng, tint=material.color), gloss=material.gloss)
        changes[index] = new
    return model.with_materials(changes)
