"""Captions from what is in view: names from the catalogue, colours and sides from the picture."""

from __future__ import annotations

import colorsys

import numpy as np

from .render import Rendered
from .scene import Scene

SMALLEST_SHARE = 0.004
"""Share of the picture below which a thing goes unmentioned."""
UNMENTIONED = ("floor", "window", "", "ground")


def color_name(rgb: np.ndarray) -> str:
    """A plain English name for an sRGB colour in 0..255."""
    h, s, v = colorsys.rgb_to_hsv(*(np.asarray(rgb, float) / 255))
    if v < 0.16:
        return "black"
    if s < 0.14:
        return "white" if v > 0.72 else "grey"
    hue = h * 360
    if 12 <= hue < 48 and (v < 0.65 or s < 0.55):
        return "brown" if v < 0.62 else "beige"
    for limit, name in (
        (12, "red"),
        (42, "orange"),
        (68, "yellow"),
        (165, "green"),
        (195, "turquoise"),
        (258, "blue"),
    ):
        if hue < limit:
            return name
    return "purple" if hue < 290 else "pink" if hue < 340 else "red"


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def caption(scene: Scene, picture: Rendered) -> str:
    """One sentence: the place, then the largest things in view with their colours and sides."""
    instances, rgb = picture.instances[::2, ::2], picture.rgb[::2, ::2]
    tally = np.bincount(instances.reshape(-1))
    ids = np.flatnonzero(tally)
    counts = tally[ids]
    total = instances.size
    width = instances.shape[1]
    order = np.argsort(-counts)
    phrases: dict[str, list[str]] = {}
    for i in order:
        if ids[i] == 0 or counts[i] < SMALLEST_SHARE * total:
            continue
        label = scene.placements[ids[i] - 1].label
        if label in UNMENTIONED or (len(phrases) >= 5 and label not in phrases):
            continue
        mask = instances == ids[i]
        x = np.flatnonzero(mask.any(axis=0)).mean() / width
        side = "on the left" if x < 0.33 else "on the right" if x > 0.67 else ""
        middle = np.sort(rgb[mask], axis=0)[counts[i] // 2]
        phrases.setdefault(label, []).append(f"{color_name(middle)}|{side}")
    return f"{_place(scene)} with {_listed(phrases)}" if phrases else _place(scene)


def _place(scene: Scene) -> str:
    return _article(scene.kind)


def _listed(phrases: dict[str, list[str]]) -> str:
    words = []
    for label, seen in phrases.items():
        color, side = seen[0].split("|")
        if len(seen) == 1:
            text = _article(f"{color} {label}") + (f" {side}" if side else "")
        else:
            count = {2: "two", 3: "three", 4: "four"}.get(len(seen), "several")
            same = all(s.split("|")[0] == color for s in seen)
            text = f"{count} {color + ' ' if same else ''}{plural(label)}"
        words.append(text)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def plural(label: str) -> str:
    """English plural of a catalogue name."""
    irregular = {
        "shelves": "shelves",
        "shelf of books": "shelves of books",
        "bowl of fruit": "bowls of fruit",
    }
    if label in irregular:
        return irregular[label]
    if label.endswith(("ss", "x", "ch", "sh")):
        return label + "es"
    if label.endswith("s"):
        return label
    return label[:-1] + "ies" if label.endswith("y") and label[-2:-1] not in "aeiou" else label + "s"
