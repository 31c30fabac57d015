"""View generators: known cameras in, what those cameras would see out.

Every generator gets the same ``ViewRequest``. The *memory*, the present scene rendered into each camera, is what keeps
views consistent with each other and with the photo however many of them there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...reconstruct.cameras import Cameras
from ...reconstruct.hidden import hidden_from, support_behind
from ...reconstruct.windows import window_max

COVERED = 0.5
"""Pixels whose neighbourhood is covered at least this much on average show a surface; others are holes to fill."""
RIM_PX = 2
"""Width of the rim of a hole."""


@dataclass(frozen=True)
class Memory:
    """What the present scene shows from V cameras."""

    color: Float[Tensor, "v h w 3"]
    """sRGB in [0, 1], not weighted with coverage; black where nothing is known."""
    depth: Float[Tensor, "v h w"]
    """z depth in scene units, 0 where nothing is known."""
    coverage: Float[Tensor, "v h w"]
    """How much of the pixel the scene covers, 0..1."""

    @property
    def known(self) -> Bool[Tensor, "v h w"]:
        """Where the memory can be trusted; the rest is holes."""
        return (self.coverage > COVERED) & (self.depth > 0)


@dataclass(frozen=True)
class ViewRequest:
    """One group of views to generate together."""

    cameras: Cameras
    """V cameras to generate for."""
    memory: Memory
    photos: Float[Tensor, "g h w 3"]
    """Given views, clean; g may be 0 (text only)."""
    photo_cameras: Cameras
    """Cameras of the given views, in the same world."""
    seed: int
    text: str | None = None
    times: Float[Tensor, "v"] | None = None
    """In 0..1 over a clip; None for a static scene."""
    photo_depths: Float[Tensor, "g h w"] | None = None
    """z depth of the given views, where it is known."""
    outside: bool = False
    """Whether holes lie outside a photo's frame, where nothing hides them and all that is known goes on."""

    @cached_property
    def support(self) -> list[Bool[Tensor, "h w"]]:
        """Of each view, known pixels that its holes may be continued from; see ``support_behind``."""
        if self.outside:
            return list(self.memory.known)
        return [
            support_behind(depth, known, camera, self.photo_cameras, self.photo_depths)
            for depth, known, camera in zip(self.memory.depth, self.memory.known, self.cameras, strict=True)
        ]

    def background(self, view: int) -> Bool[Tensor, "h w"]:
        """Of a view, what holes may be filled with: the support less the last pixels before a hole.

        At silhouettes those mix foreground colour into the background.
        """
        if self.outside:
            return self.support[view]
        rim = window_max((~self.memory.known[view]).float(), RIM_PX) > 0
        inner = self.support[view] & ~rim
        return inner if inner.any() else self.support[view]

    def first_hand(self, view: int) -> Bool[Tensor, "h w"]:
        """Of a view, pixels that show what a photo shows; all, if its depth is unknown."""
        shown = self.memory.known[view]
        if self.photo_depths is None:
            return shown
        points = self.cameras[view].unproject(self.memory.depth[[view]])[0]
        hidden = [
            hidden_from(*photo, points) for photo in zip(self.photo_cameras, self.photo_depths, strict=True)
        ]
        return shown & ~torch.stack(hidden).all(0)


class ViewGenerator(Protocol):
    """Turns a request into pictures of the same size as its cameras."""

    name: str
    """As printed and recorded; a baseline says that it is one."""
    licences: tuple[str, ...]
    """Of the weights, empty where there are none."""
    group_size: int
    """How many views it wants to generate at a time."""
    soft: bool
    """Whether what it fills is a blur, which wants texture; see ``pipeline.growth.patches``."""

    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """Generate; covered pixels should agree with the memory, the caller decides which pixels to take."""
        ...
