"""Where training batches come from: a folder of rendered frames or of cached features."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from .features import Batch, FeatureCache, Frames, cache_features
from .frames import DepthFrame, open_frames
from .training import DepthTraining, batch_to, cached_batches, live_batches

PROBE_BATCHES = 200
"""At most, for the regression that a run starts from."""


class Source(NamedTuple):
    """What ``train_depth_head`` takes."""

    batch_at: Callable[[torch.Generator], Batch]
    """Draws a training batch."""
    validation: list[Callable[[], Batch]]
    probe_batches: list[Callable[[], Batch]]


VALIDATION_SEED = 1
TRAIN, VALIDATION = "train", "validation"


class Subset:
    """A run of consecutive frames."""

    def __init__(self, frames: Frames, start: int, stop: int) -> None:
        self.frames, self.start, self.stop = frames, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> DepthFrame:
        return self.frames[self.start + index]


def is_feature_cache(folder: Path) -> bool:
    """Whether the folder holds features made by ``cached_source`` or ``cache_features``."""
    return (folder / TRAIN).is_dir() and (folder / VALIDATION).is_dir()


def cached_source(
    data: Path,
    features: Path,
    config: DepthTraining,
    *,
    variants: int = 1,
    validation_share: float = 0.05,
    seed: int = 0,
    on_progress: Callable[..., None] | None = None,
) -> Source:
    """Features from ``data`` if it holds some, else computed once from its frames into ``features``."""
    if not is_feature_cache(data):
        train, validation = split(open_frames(data), validation_share)
        layers = config.head.layers
        cache_features(
            validation, features / VALIDATION, layers=layers, augment=False, seed=VALIDATION_SEED,
            on_progress=on_progress,
        )  # fmt: skip
        cache_features(
            train, features / TRAIN, layers=layers, variants=variants, seed=seed, on_progress=on_progress
        )
        data = features
    held_out = FeatureCache(data / VALIDATION).batches(config.batch_size)
    train_cache = FeatureCache(data / TRAIN)
    once = train_cache.batches(16)
    return Source(
        cached_batches(train_cache, config.batch_size), held_out, once[:: 1 + len(once) // PROBE_BATCHES]
    )


def live_source(
    data: Path, config: DepthTraining, *, validation_share: float, device: torch.device
) -> Source:
    """Fresh crops, degradations and features in every step."""
    train, validation = split(open_frames(data), validation_share)
    size, layers = config.batch_size, config.head.layers
    threads = os.cpu_count() or 1
    plain = live_batches(
        validation, batch_size=size, layers=layers, device=device, augment=False, threads=threads
    )

    def read(index: int) -> Batch:
        return plain(torch.Generator().manual_seed(index))

    held_out = [lambda i=i: read(i) for i in range(config.validation_batches)]
    batch_at = live_batches(train, batch_size=size, layers=layers, device=device, threads=threads)

    def probe(index: int) -> Batch:
        return batch_to(batch_at(torch.Generator().manual_seed(1_000_000 + index)), torch.device("cpu"))

    return Source(batch_at, held_out, [lambda i=i: probe(i) for i in range(PROBE_BATCHES // 4)])


def split(frames: Frames, validation_share: float) -> tuple[Subset, Subset]:
    """First part to train on, last part to validate on (frames of a scene are neighbours)."""
    count = len(frames)
    held_out = min(count - 1, max(1, round(validation_share * count)))
    return Subset(frames, 0, count - held_out), Subset(frames, count - held_out, count)
