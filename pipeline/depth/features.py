"""Frozen features of many frames on disk, so that a CPU pays for the backbone once and for the head every epoch.

A shard holds frames in int8 with a scale per frame, layer and channel, the photo and the truth at 8 pixels per token;
its tensors are named by token grid (``16x21.features``), because only frames of one grid can share a batch. 5,000
frames at 16x21 tokens take 3 GB. A shard that exists is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.errors import InputError
from ...reconstruct.files.atomic import atomic_write
from ..dinov2 import dinov2_features
from ..training.loop import step_generator
from .augment import Sample, make_sample
from .frames import DepthFrame
from .head import OUTPUT_PER_TOKEN

GRIDS = ((12, 16), (14, 19), (16, 21), (15, 15), (12, 21))
"""Token grids (rows, columns) that are trained on: 4:3 at three sizes, square, 16:9; turned for upright frames."""
UNKNOWN, VALID, FAR = 0, 1, 2
INSTANCES = 253
"""So many things are told apart in the rest of a byte: a valid pixel of thing i is 2 + i."""
FIELDS = ("features", "scale", "photo", "log_depth", "state")


class Frames(Protocol):
    """Any random-access collection of frames."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> DepthFrame: ...


@dataclass(frozen=True)
class Batch:
    """What the head is trained on; h, w = 8 per token."""

    features: list[Float[Tensor, "b hp wp c"]]
    photo: Float[Tensor, "b h w 3"]
    log_depth: Float[Tensor, "b h w"]
    valid: Bool[Tensor, "b h w"]
    far: Bool[Tensor, "b h w"]
    instances: Int[Tensor, "b h w"]
    """Which thing it shows, from 1; 0 where unknown, and where not valid."""


def photo_for_head(photo: Float[Tensor, "*b h14 w14 3"]) -> Float[Tensor, "*b h w 3"]:
    """The backbone's input (14 pixels per token) as the head takes it (8 per token)."""
    batched = photo.reshape(-1, *photo.shape[-3:]).permute(0, 3, 1, 2)
    size = [n // 14 * OUTPUT_PER_TOKEN for n in photo.shape[-3:-1]]
    small = F.interpolate(batched, size, mode="bilinear", antialias=True, align_corners=False)
    return small.permute(0, 2, 3, 1).reshape(*photo.shape[:-3], *size, 3)


def cache_features(
    frames: Frames,
    out: Path,
    *,
    layers: tuple[int, ...] = (3, 6, 9, 12),
    grids: Sequence[tuple[int, int]] = GRIDS,
    variants: int = 1,
    shard_size: int = 64,
    augment: bool = True,
    seed: int = 0,
    on_progress: Callable[..., None] | None = None,
) -> None:
    """Write shards of features for all frames; run again after a kill, it goes on with the next shard.

    Args:
        frames: the source.
        out: folder of the shards.
        layers: DINOv2 layers to keep.
        grids: token grids, dealt to the shards in turn.
        variants: how often each frame is used, each time cropped and degraded differently.
        shard_size: frames per file.
        augment: False for validation.
        seed: of crops and degradations.
        on_progress: called as (frames done, frames in all).
    """
    out.mkdir(parents=True, exist_ok=True)
    total = len(frames) * variants
    for shard, start in enumerate(range(0, total, shard_size)):
        path = out / f"shard-{shard:05d}.safetensors"
        stop = min(start + shard_size, total)
        if not path.exists():
            tensors: dict[str, Tensor] = {}
            grouped: dict[tuple[int, int], list[dict[str, Tensor]]] = {}
            for i in range(start, stop):
                frame = frames[i % len(frames)]
                grid = grid_for(frame, grids[shard % len(grids)])
                sample = make_sample(frame, grid, step_generator(seed, i), augment=augment)
                grouped.setdefault(grid, []).append(encode_sample(sample, layers))
            for (rows, columns), encoded in grouped.items():
                tensors |= {f"{rows}x{columns}.{name}": value for name, value in _stack(encoded).items()}
            with atomic_write(path) as temporary:
                save_file(tensors, temporary, {"layers": json.dumps(layers)})
        if on_progress:
            on_progress(stop, total)


def grid_for(frame: DepthFrame, grid: tuple[int, int]) -> tuple[int, int]:
    """The grid, turned if the frame stands upright and the grid does not."""
    height, width = frame.depth_m.shape
    return (max(grid), min(grid)) if height > width else (min(grid), max(grid))


@torch.inference_mode()
def encode_sample(sample: Sample, layers: tuple[int, ...]) -> dict[str, Tensor]:
    """Features in 8 bits and everything else as small as it goes."""
    features = torch.cat(dinov2_features(sample.photo[None], layers=layers))
    scale = features.abs().amax(dim=(1, 2), keepdim=True).clamp_min(1e-6) / 127
    state = torch.full(sample.valid.shape, UNKNOWN, dtype=torch.uint8)
    thing = torch.where(sample.instances > 0, FAR + 1 + (sample.instances - 1) % INSTANCES, VALID)
    state[sample.valid], state[sample.far] = thing[sample.valid].byte(), FAR
    return {
        "features": (features / scale).round().to(torch.int8),
        "scale": scale[:, 0, 0].half(),
        "photo": (photo_for_head(sample.photo) * 255).round().byte(),
        "log_depth": sample.log_depth.half(),
        "state": state,
    }


def decode_batch(rows: list[dict[str, Tensor]]) -> Batch:
    """The inverse of ``encode_sample`` on frames of one grid."""
    stacked = _stack(rows)
    features = stacked["features"].float() * stacked["scale"].float()[:, :, None, None]
    state = stacked["state"].long()
    valid, far = (state != UNKNOWN) & (state != FAR), state == FAR
    return Batch(
        list(features.unbind(1)), stacked["photo"].float() / 255,
        stacked["log_depth"].float(), valid, far, (state - FAR).clamp_min(0),
    )  # fmt: skip


class FeatureCache:
    """Random batches from a folder of shards; files are memory-mapped."""

    def __init__(self, folder: Path) -> None:
        """Open the shards that are there now.

        Raises:
            InputError: there are none, or they hold different layers.
        """
        paths = sorted(Path(folder).rglob("shard-*.safetensors"))
        if not paths:
            raise InputError(f"{folder} holds no shards of features")
        self._files = [safe_open(path, framework="pt") for path in paths]
        layers = {file.metadata()["layers"] for file in self._files}
        if len(layers) != 1:
            raise InputError(f"{folder} holds features of different layers: {sorted(layers)}")
        self.layers: tuple[int, ...] = tuple(json.loads(layers.pop()))
        by_grid: dict[str, list[tuple[int, str, int]]] = {}
        for i, file in enumerate(self._files):
            for grid in sorted(name.split(".")[0] for name in file.keys() if name.endswith(".state")):  # noqa: SIM118
                count = file.get_slice(f"{grid}.state").get_shape()[0]
                by_grid.setdefault(grid, []).extend((i, grid, row) for row in range(count))
        self._groups = list(by_grid.values())

    def __len__(self) -> int:
        """Frames in all."""
        return sum(len(group) for group in self._groups)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Random frames of one grid; grids are drawn by how many frames they have."""
        weights = torch.tensor([len(group) for group in self._groups], dtype=torch.float)
        group = self._groups[int(torch.multinomial(weights, 1, generator=generator))]
        picks = torch.randint(len(group), (batch_size,), generator=generator).tolist()
        return decode_batch([self._row(*group[i]) for i in picks])

    def batches(self, batch_size: int) -> list[Callable[[], Batch]]:
        """Everything once, in order, as functions that read one batch each."""
        chunks = [g[i : i + batch_size] for g in self._groups for i in range(0, len(g), batch_size)]
        return [lambda chunk=chunk: decode_batch([self._row(*place) for place in chunk]) for chunk in chunks]

    def _row(self, file: int, grid: str, row: int) -> dict[str, Tensor]:
        opened = self._files[file]
        return {name: opened.get_slice(f"{grid}.{name}")[row : row + 1][0] for name in FIELDS}


def _stack(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
