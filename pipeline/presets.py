"""How much work goes into a scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PresetName = Literal["draft", "standard", "fine"]


@dataclass(frozen=True)
class Preset:
    """Sizes and counts; seconds and megabytes are what ``cosmorama bench make`` measured on two CPU cores."""

    long_side: int
    """Working resolution: pixels along the photo's long side."""
    views: int
    """Cameras to generate for."""
    iterations: int
    """Optimisation steps over all views at the end."""
    clip_frames: int
    face: int
    """Pixels along a side of the pictures that show the rest of a place that is known, see ``surround``."""
    seconds: int
    megabytes: int


PRESETS: dict[PresetName, Preset] = {
    "draft": Preset(
        long_side=512, views=6, iterations=50, clip_frames=48, face=224, seconds=16, megabytes=1100
    ),
    "standard": Preset(
        long_side=640, views=12, iterations=80, clip_frames=72, face=288, seconds=33, megabytes=1400
    ),
    "fine": Preset(
        long_side=960, views=24, iterations=160, clip_frames=120, face=416, seconds=110, megabytes=2800
    ),
}


def named_preset(preset: PresetName | Preset) -> Preset:
    """The preset of a name; a preset is returned as it is."""
    return preset if isinstance(preset, Preset) else PRESETS[preset]
