"""Placing furniture on a floor plan without collisions: against walls, in groups, on top of other things."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .finishes import refinished
from .model import Model, placement_matrix
from .roles import Piece
from .scene import Motion, Placement
from .shapes import inside_outline

GAP = 0.03


@dataclass(frozen=True)
class WallSpan:
    """One wall of the floor plan."""

    start: np.ndarray
    end: np.ndarray

    @cached_property
    def length(self) -> float:
        """Metres."""
        return float(np.linalg.norm(self.end - self.start))

    @cached_property
    def along(self) -> np.ndarray:
        """Unit vector from start to end."""
        return (self.end - self.start) / self.length

    @cached_property
    def inward(self) -> np.ndarray:
        """Unit normal into the room (the outline is counter-clockwise)."""
        return np.array([-self.along[1], self.along[0]])

    @cached_property
    def frame(self) -> np.ndarray:
        """World from wall axes: x along, y outward, z up, origin at the wall's start."""
        matrix = np.eye(4)
        matrix[:2, 0], matrix[:2, 1] = self.along, -self.inward
        matrix[:2, 3] = self.start
        return matrix

    @cached_property
    def turn(self) -> float:
        """Turn about z that makes a piece facing -y face into the room."""
        return float(np.arctan2(self.inward[1], self.inward[0]) + np.pi / 2)


@dataclass
class Layout:
    """A floor plan being furnished."""

    outline: np.ndarray
    height: float
    rng: np.random.Generator
    placements: list[Placement] = field(default_factory=list)
    taken: list[tuple[float, float, float, float, float, float]] = field(default_factory=list)
    """Occupied boxes: x0, y0, x1, y1, z0, z1."""
    supports: list[tuple[str, np.ndarray, float, float, float]] = field(default_factory=list)
    """Surfaces to put things on: role, world matrix of the piece, half width, half depth, height."""

    @cached_property
    def walls(self) -> list[WallSpan]:
        """The walls, in the outline's order."""
        return [WallSpan(a, b) for a, b in zip(self.outline, np.roll(self.outline, -1, axis=0))]

    def free(self, x0: float, y0: float, x1: float, y1: float, z0: float, z1: float) -> bool:
        """True when a box lies inside the plan and meets nothing."""
        for a, b, c, d, e, f in self.taken:
            if x1 > a and x0 < c and y1 > b and y0 < d and z1 > e and z0 < f:
                return False
        corners = np.array([[x, y] for x in (x0, (x0 + x1) / 2, x1) for y in (y0, (y0 + y1) / 2, y1)])
        return bool(inside_outline(self.outline, corners).all())

    def block(self, x0: float, y0: float, x1: float, y1: float, z0: float = 0.0, z1: float = 9.0) -> None:
        """Keep a box empty (in front of doors and windows)."""
        self.taken.append((x0, y0, x1, y1, z0, z1))

    def free_spans(self, wall: WallSpan, depth: float, z0: float, z1: float) -> list[tuple[float, float]]:
        """Stretches of a wall, metres from its start, before which nothing stands to a depth; by steps of 10 cm."""
        step = 0.1
        spans: list[tuple[float, float]] = []
        for i in range(int(wall.length / step)):
            ends = [
                wall.start + wall.along * s + wall.inward * y
                for s in (i * step + 0.02, (i + 1) * step - 0.02)
                for y in (0.02, depth - 0.02)
            ]
            low, high = np.min(ends, axis=0), np.max(ends, axis=0)
            if not self.free(low[0], low[1], high[0], high[1], z0, z1):
                continue
            if spans and abs(spans[-1][1] - i * step) < 1e-6:
                spans[-1] = (spans[-1][0], (i + 1) * step)
            else:
                spans.append((i * step, (i + 1) * step))
        return spans

    def on_wall(
        self, width: float, height: float, middle: float, *, depth: float = 0.05, tries: int = 8
    ) -> tuple[WallSpan, float, float] | None:
        """A free patch of wall for something flat, which is then taken.

        Args:
            width, height: metres.
            middle: height of its centre above the floor.
            depth: how far it stands out.
            tries: places that are looked at.

        Returns:
            The wall, the patch's start along it, its lower edge.
        """
        z = middle - height / 2
        if z < 0.05 or z + height > self.height - 0.05:
            return None
        walls = self.walls
        lengths = np.array([w.length for w in walls])
        for _ in range(tries):
            wall = walls[self.rng.choice(len(walls), p=lengths / lengths.sum())]
            if wall.length < width + 0.2:
                continue
            at = self.rng.uniform(0.1, wall.length - width - 0.1)
            ends = [
                wall.start + wall.along * s + wall.inward * y
                for s in (at, at + width)
                for y in (0.003, depth)
            ]
            low, high = np.min(ends, axis=0), np.max(ends, axis=0)
            if self.free(low[0], low[1], high[0], high[1], z, z + height):
                self.block(*(low - 0.02), *(high + 0.02), z0=z, z1=z + height)
                return wall, float(at), float(z)
        return None

    def put(
        self, piece: Piece, x: float, y: float, z: float, turn: float, *, scale: float = 1.0, check: bool = True,
        motion: Motion | None = None, solid: bool = True, margin: float = GAP,
    ) -> Placement | None:  # fmt: skip
        """Place a piece if there is room; remembers what it takes and what it can carry."""
        low, high = (b * scale for b in piece.model.bounds)
        c, s = abs(np.cos(turn)), abs(np.sin(turn))
        half_x, half_y = (high[0] - low[0]) / 2, (high[1] - low[1]) / 2
        ex, ey = c * half_x + s * half_y, s * half_x + c * half_y
        bounds = (
            x - ex - margin,
            y - ey - margin,
            x + ex + margin,
            y + ey + margin,
            z + 0.01,
            z + high[2] - 0.01,
        )
        if check and not self.free(*bounds):
            return None
        self.taken.append(bounds)
        model = refinished(piece.model, piece.role, self.rng) if piece.key else piece.model
        placement = Placement(
            model,
            placement_matrix(x, y, z, turn=turn, scale=scale),
            piece.name.lower(),
            piece.key,
            motion,
            solid,
        )
        self.placements.append(placement)
        if piece.top is not None:
            self.supports.append(
                (piece.role, placement.matrix, float(half_x), float(half_y), z + piece.top * scale)
            )
        return placement

    def against_wall(
        self,
        piece: Piece,
        *,
        tries: int = 12,
        gap: float = 0.02,
        elevation: float | None = None,
        solid: bool = True,
    ) -> Placement | None:
        """Back against a random wall; large pieces like corners a little."""
        rng = self.rng
        walls = self.walls
        low, high = piece.model.bounds
        width, depth = high[0] - low[0], high[1] - low[1]
        z = piece.elevation if elevation is None else elevation
        lengths = np.array([w.length for w in walls])
        for _ in range(tries):
            wall = walls[rng.choice(len(walls), p=lengths / lengths.sum())]
            room = wall.length - width - 0.04
            if room < 0:
                continue
            s = rng.random()
            if rng.random() < 0.3:
                s = rng.choice([0.0, 1.0])
            at = (
                wall.start
                + wall.along * (0.02 + width / 2 + s * room)
                + wall.inward * (depth / 2 + gap + GAP)
            )
            if z + high[2] > self.height - 0.02:
                return None
            placed = self.put(piece, at[0], at[1], z, wall.turn, solid=solid, margin=0.0)
            if placed is not None:
                return placed
        return None

    def on_floor(
        self, piece: Piece, *, tries: int = 12, square: bool = False, margin: float = 0.05
    ) -> Placement | None:
        """Anywhere on the floor, at any angle."""
        rng = self.rng
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        for _ in range(tries):
            x, y = rng.uniform(low + 0.2, high - 0.2)
            turn = rng.integers(4) * np.pi / 2 if square else rng.uniform(0, 2 * np.pi)
            placed = self.put(piece, x, y, piece.elevation, turn, margin=margin)
            if placed is not None:
                return placed
        return None

    def on_top(
        self, make, roles: tuple[str, ...], count: int, *, scale: float = 1.0, most: int | None = None
    ) -> int:
        """Try ``count`` times to put pieces from ``make()`` on surfaces of the given roles; returns how many fitted.

        ``most`` ends it when so many have.
        """
        rng = self.rng
        chosen = [s for s in self.supports if s[0] in roles]
        placed = 0
        for _ in range(count if chosen else 0):
            _, matrix, half_x, half_y, top = chosen[rng.integers(len(chosen))]
            piece = make()
            size = piece.model.size * scale
            room_x, room_y = half_x - size[0] / 2 - 0.02, half_y - size[1] / 2 - 0.02
            if room_x < 0 or room_y < 0 or top + size[2] > self.height:
                continue
            local = np.array([rng.uniform(-room_x, room_x), rng.uniform(-room_y, room_y), 0, 1.0])
            at = matrix @ local
            turn = np.arctan2(matrix[1, 0], matrix[0, 0]) + rng.normal(0, 0.35)
            if rng.random() < 0.15:
                turn += rng.uniform(0, 2 * np.pi)
            bounds = (at[0] - size[0] / 2, at[1] - size[1] / 2, at[0] + size[0] / 2, at[1] + size[1] / 2)
            if any(
                bounds[2] > a
                and bounds[0] < c
                and bounds[3] > b
                and bounds[1] < d
                and top + 0.02 < f
                and top + size[2] > e + 0.02
                for a, b, c, d, e, f in self.taken
                if f - e < 1.0 or f > 8
            ):
                continue
            if self.put(piece, at[0], at[1], top, turn, scale=scale, check=False) is not None:
                placed += 1
                if placed == most:
                    break
        return placed

    def add(self, model: Model, label: str = "", *, solid: bool = True, background: bool = False) -> None:
        """A part of the building, already in world axes."""
        self.placements.append(Placement(model, np.eye(4), label, solid=solid, background=background))
