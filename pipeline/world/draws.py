"""What a scene draws, and which of it a view can see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .batch import Range, SceneBuffers
from .projections import NEAR
from .scene import Placement, Scene


@dataclass(frozen=True)
class DrawList:
    """Everything that can be drawn of a scene, batch by batch; a batch is one placement or a tile of it."""

    placements: list[Placement]
    """Of each batch."""
    low: np.ndarray
    """float64 [B, 3], bounds of each batch."""
    high: np.ndarray
    moving: np.ndarray
    """bool [B]."""
    casting: np.ndarray
    """int [C]: batches that cast fixed shadows."""
    ranges: list[tuple[Range, ...]]
    """Of each batch: what shares a texture."""

    @classmethod
    def of(cls, scene: Scene, buffers: SceneBuffers) -> DrawList:
        """Of a scene and its buffers."""
        placements = [scene.placements[b.placement] for b in buffers.batches]
        moving = np.array([p.motion is not None for p in placements])
        background = np.array([p.background for p in placements])
        return cls(
            placements=placements,
            low=np.array([b.low for b in buffers.batches], np.float64),
            high=np.array([b.high for b in buffers.batches], np.float64),
            moving=moving,
            casting=np.flatnonzero(~moving & ~background),
            ranges=[b.ranges for b in buffers.batches],
        )

    @cached_property
    def corners(self) -> np.ndarray:
        """float64 [B, 8, 3], of the bounds."""
        return np.stack(
            [np.where([i & 1, i >> 1 & 1, i >> 2 & 1], self.high, self.low) for i in range(8)], axis=1
        )

    def visible(self, clip_from_cam: np.ndarray, world_from_cam: np.ndarray) -> np.ndarray:
        """int [N]: batches whose bounds touch the view's frustum, and all that move.

        What ends nearest comes first: walls and ground, which lie around everything and are mostly hidden, come last.
        """
        to_clip = clip_from_cam @ np.linalg.inv(world_from_cam)
        clip = self.corners @ to_clip[:, :3].T + to_clip[:, 3]
        w = clip[..., 3]
        out = (w < NEAR).all(axis=1)
        for axis in (0, 1):
            out |= (clip[..., axis] > w).all(axis=1) | (clip[..., axis] < -w).all(axis=1)
        eye = world_from_cam[:3, 3]
        ends = np.linalg.norm(np.maximum(np.abs(self.low - eye), np.abs(self.high - eye)), axis=1)
        order = np.argsort(ends, kind="stable")
        return order[(~out | self.moving)[order]]
