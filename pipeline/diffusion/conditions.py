"""What a denoiser may know about each view besides its noisy latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...reconstruct.cameras import Cameras

ConditionName = Literal["rays", "given", "memory", "time", "text"]
CONDITION_NAMES: tuple[ConditionName, ...] = get_args(ConditionName)

SUBCELLS = 2
"""Depth and coverage of the memory are kept for 2x2 parts of every latent cell."""
TEXT_CHANNELS = 384


@dataclass(frozen=True)
class Conditions:
    """A batch of samples of V views; latents have C channels and H x W cells.

    A condition that a sample does without is *dropped*: the network puts a learned null in its place and what
    the tensors hold there does not matter.
    """

    rays: Float[Tensor, "b v 6 h w"]
    """Pluecker coordinates of the rays through the cells' centres, see ``plucker_maps``."""
    given_latents: Float[Tensor, "b v c h w"]
    """Clean latents of the views that are given; anything elsewhere."""
    given: Bool[Tensor, "b v"]
    """Which views are given."""
    memory_latents: Float[Tensor, "b v c h w"]
    """Latents of the present scene as each camera sees it, holes filled smoothly; not read for given views."""
    memory_depth: Float[Tensor, "b v 4 h w"]
    """Inverse depth (in units of the scene's scale) of 2x2 parts of each cell, 0 where nothing is known."""
    memory_coverage: Float[Tensor, "b v 4 h w"]
    """How much of each part is known, 0..1."""
    times: Float[Tensor, "b v"]
    """Time of each view, 0..1 over the clip."""
    text: Float[Tensor, "b t 384"]
    """Token features of the sentence encoder, see ``text.py``."""
    kept: Bool[Tensor, "b 5"]
    """Which conditions each sample has, in the order of ``CONDITION_NAMES``."""

    def __len__(self) -> int:
        return len(self.rays)

    @property
    def views(self) -> int:
        """Number of views V."""
        return self.rays.shape[1]

    def has(self, name: ConditionName) -> Bool[Tensor, "b"]:
        """Which samples have the condition."""
        return self.kept[:, CONDITION_NAMES.index(name)]

    def without(self, *names: ConditionName) -> Conditions:
        """The same with some conditions dropped everywhere."""
        kept = self.kept.clone()
        kept[:, [CONDITION_NAMES.index(name) for name in names]] = False
        return replace(self, kept=kept)

    def select_views(self, index: Int[Tensor, "v"] | Sequence[int]) -> Conditions:
        """The conditions of some of the views, in the given order."""
        per_view = {
            name: value[:, index] for name, value in self.tensors().items() if name not in ("text", "kept")
        }
        return replace(self, **per_view)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def to(self, device: torch.device | str) -> Conditions:
        """The same on another device."""
        return Conditions(**{name: value.to(device) for name, value in self.tensors().items()})


def cat_conditions(parts: Sequence[Conditions]) -> Conditions:
    """Join batches; all must have the same number of views, cells and text tokens."""
    tensors = [part.tensors() for part in parts]
    return Conditions(**{f.name: torch.cat([t[f.name] for t in tensors]) for f in fields(Conditions)})


def empty_conditions(
    batch: int, views: int, channels: int, height: int, width: int, *, tokens: int = 1
) -> Conditions:
    """Nothing known: every condition dropped."""
    shape = (batch, views)
    return Conditions(
        rays=torch.zeros(*shape, 6, height, width),
        given_latents=torch.zeros(*shape, channels, height, width),
        given=torch.zeros(shape, dtype=torch.bool),
        memory_latents=torch.zeros(*shape, channels, height, width),
        memory_depth=torch.zeros(*shape, SUBCELLS**2, height, width),
        memory_coverage=torch.zeros(*shape, SUBCELLS**2, height, width),
        times=torch.zeros(shape),
        text=torch.zeros(batch, tokens, TEXT_CHANNELS),
        kept=torch.zeros(batch, len(CONDITION_NAMES), dtype=torch.bool),
    )


def plucker_maps(
    cameras: Cameras,
    *,
    height: int,
    width: int,
    world_from_reference: Float[Tensor, "4 4"],
    scale: float | Tensor,
) -> Float[Tensor, "*v 6 h w"]:
    """Rays as (unit direction d, moment o x d), in a reference camera's frame and in units of the scene's scale.

    Because directions and moments are relative to one of the cameras and to the scene's own scale, moving,
    turning or rescaling the whole world changes nothing.

    Args:
        cameras: the views.
        height: rows of the map; the rays pass through the centres of its cells.
        width: columns of the map.
        world_from_reference: OpenCV pose of the reference camera, usually the first given view.
        scale: length of one unit in scene units: the median depth of what is known from the reference camera.
    """
    reference_from_world = torch.linalg.inv(world_from_reference)
    poses = reference_from_world @ cameras.world_from_cam
    relative = replace(cameras.resized(width, height), world_from_cam=poses)
    origins, directions = relative.rays()
    directions = F.normalize(directions, dim=-1)
    moments = torch.linalg.cross(origins / scale, directions)
    return torch.cat([directions, moments], dim=-1).movedim(-1, -3)


def subcells(
    maps: Float[Tensor, "*v hp wp"], known: Float[Tensor, "*v hp wp"], cell: int
) -> Float[Tensor, "*v 4 h w"]:
    """Means over the known pixels of 2x2 parts of every ``cell`` x ``cell`` pixels; 0 where none is known."""
    size = cell // SUBCELLS
    *batch, height, width = maps.shape
    pooled = F.avg_pool2d(torch.stack([maps * known, known], dim=-3).reshape(-1, 2, height, width), size)
    means = pooled[:, :1] / pooled[:, 1:].clamp(min=1e-6) * (pooled[:, 1:] > 0)
    parts = F.pixel_unshuffle(means, SUBCELLS)
    return parts.reshape(*batch, *parts.shape[1:])
