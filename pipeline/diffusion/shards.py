"""Encoded samples on disk: safetensors files of scenes of one shape, read a few at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...reconstruct.errors import InputError
from ...reconstruct.files.atomic import atomic_write
from ..training.checkpoints import read_metadata
from .prepare import Sample

SCENES_PER_SHARD = 32


@dataclass
class ShardWriter:
    """Collects samples of one shape and writes them ``SCENES_PER_SHARD`` at a time."""

    folder: Path
    prefix: str
    """Of the file names; samples of different shapes need different prefixes."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Kept with every shard."""
    written: int = 0
    """Shards written so far."""
    _waiting: list[tuple[str, Sample]] = field(default_factory=list)

    def add(self, name: str, sample: Sample) -> None:
        """Take a sample; writes a shard when enough have come."""
        self._waiting.append((name, sample))
        if len(self._waiting) == SCENES_PER_SHARD:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if not self._waiting:
            return
        names, samples = zip(*self._waiting, strict=True)
        stacked = {key: torch.stack([s[key] for s in samples]).contiguous() for key in samples[0]}
        with atomic_write(self.folder / f"{self.prefix}-{self.written:05d}.safetensors") as temporary:
            save_file(stacked, temporary, {**self.metadata, "names": json.dumps(names)})
        self.written += 1
        self._waiting.clear()


class Shards:
    """All shards of a folder, grouped by the shape of their scenes."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob("*.safetensors"))
        if not paths:
            raise InputError(
                f"{folder} holds no prepared samples (*.safetensors); see `cosmorama train views-data`"
            )
        self._files = [safe_open(path, framework="pt") for path in paths]
        self.names: list[list[str]] = [json.loads(read_metadata(path)["names"]) for path in paths]
        shapes = [tuple(file.get_slice("latents").get_shape()[1:]) for file in self._files]
        self.groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for number, (shape, names) in enumerate(zip(shapes, self.names, strict=True)):
            self.groups.setdefault(shape, []).extend((number, row) for row in range(len(names)))

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.groups.values())

    @property
    def has_features(self) -> bool:
        """Whether all samples have DINOv2's features, for REPA."""
        return all("features" in file.keys() for file in self._files)  # noqa: SIM118  # not a dict

    def rows(self, shape: tuple[int, ...], index: Sequence[int]) -> list[Sample]:
        """Samples of one shape, by their numbers in ``groups[shape]``."""
        return [self._row(*self.groups[shape][i]) for i in index]

    def _row(self, number: int, row: int) -> dict[str, Tensor]:
        file = self._files[number]
        return {name: file.get_slice(name)[row] for name in file.keys()}  # noqa: SIM118  # not a dict
