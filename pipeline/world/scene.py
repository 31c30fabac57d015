"""What a synthetic scene is: placed models, lights, a sky, things that move. World axes: z up, metres, floor at 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from .model import Model

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Motion:
    """How a placed model moves while time runs 0..1."""

    kind: Literal["slide", "swing", "bounce"]
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Metres travelled from time 0 to time 1 (slide, bounce), or the hinge relative to the model (swing)."""
    angle: float = 0.0
    """Radians turned about z (swing), or the height of each bounce in metres (bounce)."""
    cycles: float = 1.0

    def matrix(self, time: float) -> np.ndarray:
        """float64 [4, 4], applied in world axes after the placement, about the placement's origin."""
        moved = np.eye(4)
        if self.kind == "swing":
            angle = self.angle * 0.5 * (1 - np.cos(np.pi * time * self.cycles))
            c, s = np.cos(angle), np.sin(angle)
            moved[:2, :2] = [[c, -s], [s, c]]
            hinge = np.array(self.offset)
            moved[:3, 3] = hinge - moved[:3, :3] @ hinge
        else:
            moved[:3, 3] = np.array(self.offset) * time
            if self.kind == "bounce":
                moved[2, 3] += self.angle * abs(np.sin(np.pi * time * self.cycles))
        return moved


@dataclass(frozen=True)
class Placement:
    """One model in a scene; its instance id is its index in the scene plus one."""

    model: Model
    matrix: np.ndarray
    """float64 [4, 4], world from model."""
    label: str
    """What it is, in a word or two; empty for parts of the building."""
    catalogue_key: str | None = None
    motion: Motion | None = None
    solid: bool = True
    """False: neither blocks the camera nor takes part in indirect light (rugs, pictures)."""
    background: bool = False
    """True: outside a window or far away; not voxelised."""

    def matrix_at(self, time: float) -> np.ndarray:
        """World from model at a time in 0..1."""
        if self.motion is None:
            return self.matrix
        origin = np.eye(4)
        origin[:3, 3] = self.matrix[:3, 3]
        return origin @ self.motion.matrix(time) @ np.linalg.inv(origin) @ self.matrix

    @cached_property
    def start_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """``world_bounds`` at time 0."""
        return self.world_bounds()

    def world_bounds(self, time: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Axis-aligned bounds of the model's own box, at a time in 0..1."""
        low, high = self.model.bounds
        matrix = self.matrix_at(time)
        middle = matrix[:3, :3] @ (0.5 * (low + high)) + matrix[:3, 3]
        reach = np.abs(matrix[:3, :3]) @ (0.5 * (high - low))
        return middle - reach, middle + reach


@dataclass(frozen=True)
class Lamp:
    """A small light; irradiance at distance d facing it is ``color / d^2``."""

    position: tuple[float, float, float]
    color: Color


@dataclass(frozen=True)
class Window:
    """A rectangle of skylight in a wall."""

    centre: tuple[float, float, float]
    inward: tuple[float, float, float]
    along: tuple[float, float, float]
    """Half its width as a vector."""
    half_height: float


@dataclass(frozen=True)
class Sky:
    """Sun and sky; radiances in the same (arbitrary) unit as the lamps'."""

    zenith: Color = (0.25, 0.45, 1.0)
    horizon: Color = (0.8, 0.9, 1.0)
    cloud: Color = (1.0, 1.0, 1.0)
    cover: float = 0.3
    """Share of the sky under cloud."""
    cloud_texture: str = "proc:clouds:0"
    to_sun: tuple[float, float, float] = (0.3, 0.4, 0.86)
    """Unit vector towards the sun."""
    sun: Color = (0.0, 0.0, 0.0)
    """Irradiance on a surface that faces the sun; zero when overcast."""
    fog: float = 0.0
    """Extinction per metre (haze)."""

    @property
    def mean_radiance(self) -> np.ndarray:
        """float64 [3], rough mean over the dome."""
        clear = 0.5 * (np.array(self.zenith) + np.array(self.horizon))
        return clear * (1 - self.cover) + np.array(self.cloud) * self.cover


@dataclass(frozen=True)
class Scene:
    """A furnished room or an open place."""

    kind: str
    """``living room``, ``street``, ..."""
    indoor: bool
    placements: tuple[Placement, ...]
    lamps: tuple[Lamp, ...]
    windows: tuple[Window, ...]
    sky: Sky
    low: tuple[float, float, float]
    """Lower corner of the volume that cameras and indirect light live in."""
    high: tuple[float, float, float]
    outline: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    """float [P, 2]: the room's floor plan, counter-clockwise; empty in the open."""
