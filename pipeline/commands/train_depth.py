"""``cosmorama train depth``: train the depth head on a synthetic world."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .given import with_given

if TYPE_CHECKING:
    from ..depth.training import DepthTraining


@dataclass(frozen=True)
class TrainDepth:
    """Train the depth head; killed and started again, it goes on where it was.

    The CPU preset computes the frozen features of every frame once, keeps them in OUT/features and trains on them. The
    GPU preset crops, degrades and encodes frames afresh in every step. OUT gets config.json, curve.jsonl (validation),
    metrics.jsonl (training), checkpoint.safetensors and head.safetensors.
    """

    data: Path
    """Folder of `cosmorama train world`, or of features cached before."""
    out: Path
    """Folder of the run."""
    preset: Literal["cpu", "gpu"] = "cpu"
    """cpu: 6,000 steps of 16 cached frames. gpu: 40,000 steps of 64 fresh frames."""
    steps: int | None = None
    """Optimiser steps in all; default by preset."""
    batch_size: int | None = None
    """Frames per step; default by preset."""
    learning_rate: float | None = None
    """Default by preset."""
    variants: Annotated[int, tyro.conf.arg(help="Crops per frame in the feature cache.")] = 1
    validation_share: float = 0.05
    """The last part of the frames, never trained on."""
    initial: Path | None = None
    """A head.safetensors to start from; its shape is taken too."""
    dilations: tuple[int, ...] | None = None
    """Of further residual blocks, which see wider; those that --initial lacks begin as the identity."""
    only: tuple[str, ...] = ()
    """Beginnings of the names of the parts that are trained, and alone written (coarse.2 refine out): the rest is
    --initial's."""
    finish: bool = False
    """For a last, short run from a trained head: the loss also counts what `eval depth` measures."""
    stop_after: int | None = None
    """End this leg after so many steps, for going on later."""
    device: str | None = None
    """cpu, cuda; default by preset."""
    threads: int | None = None
    """CPU threads; default all."""
    seed: int = 0

    def run(self) -> None:
        """Train."""
        import torch

        from ...reconstruct.errors import InputError
        from ..depth.sources import cached_source, is_feature_cache, live_source
        from ..depth.training import train_depth_head
        from ..training.checkpoints import load_weights
        from ..training.processes import join_processes

        if self.threads:
            torch.set_num_threads(self.threads)
        stored, initial = load_weights(self.initial) if self.initial else (None, None)
        config = self._config(stored)
        if self.only and not self.initial:
            raise InputError("--only trains parts of the head that --initial names")
        with join_processes(self.device or ("cuda" if self.preset == "gpu" else "cpu")) as processes:
            if self.preset == "gpu" and not is_feature_cache(self.data):
                source = live_source(
                    self.data, config, validation_share=self.validation_share, device=processes.device
                )
            else:
                source = cached_source(
                    self.data, self.out / "features", config, variants=self.variants,
                    validation_share=self.validation_share, seed=self.seed, on_progress=_print_features,
                )  # fmt: skip
            train_depth_head(
                source.batch_at, source.validation, config, out=self.out, processes=processes,
                probe_batches=source.probe_batches, initial=initial, only=self.only,
                on_progress=_print if processes.is_main else None,
            )  # fmt: skip

    def _config(self, initial: dict[str, Any] | None) -> DepthTraining:
        from ..depth.head import head_config
        from ..depth.losses import FINISHING
        from ..depth.training import PRESETS

        base = PRESETS[self.preset]
        loop = with_given(
            base.loop, steps=self.steps, learning_rate=self.learning_rate, stop_after=self.stop_after, seed=self.seed
        )  # fmt: skip
        loss = FINISHING if self.finish else base.loss
        head = base.head if initial is None else head_config(initial["head"])
        head = with_given(head, dilations=self.dilations)
        return with_given(base, head=head, loop=loop, loss=loss, batch_size=self.batch_size)


def _print(done: int, total: int, **scalars: object) -> None:
    print(json.dumps({"step": done, "of": total, **scalars}), file=sys.stderr, flush=True)


def _print_features(done: int, total: int) -> None:
    print(json.dumps({"features": done, "of": total}), file=sys.stderr, flush=True)
