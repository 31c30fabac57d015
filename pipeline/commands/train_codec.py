"""``cosmorama train codec``: train the latent codec on a folder of photos."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainCodec:
    """Train the latent codec on a folder of photos; killed and started again, it goes on where it was."""

    data: Path
    """Folder of photos; a tenth of them is held out for the numbers."""
    out: Path
    """Folder for the checkpoint, the log and codec.safetensors."""
    steps: int = 6000
    """Optimiser steps in all."""
    batch_size: int = 8
    """Crops per step and process."""
    crop: int = 64
    """Side of the crops in pixels, a multiple of 8."""
    learning_rate: float = 1e-3
    width: int = 128
    """Channels at an eighth of the resolution."""
    channels: int = 16
    """Latent channels."""
    device: str = "cpu"
    threads: int | None = None
    """CPU threads; default all."""
    checkpoint_every: int = 250
    seed: int = 0

    def run(self) -> None:
        """Train."""
        import torch

        from ..latents.codec import CodecConfig
        from ..latents.photos import load_photos, photo_paths
        from ..latents.training import train_codec
        from ..training.loop import LoopConfig
        from ..training.processes import join_processes

        if self.threads:
            torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        photos = load_photos(photo_paths(self.data, held_out=False), min_side=self.crop)
        held_out = load_photos(photo_paths(self.data, held_out=True), min_side=128)
        loop = LoopConfig(
            steps=self.steps,
            learning_rate=self.learning_rate,
            weight_decay=0.0,
            checkpoint_every=self.checkpoint_every,
            seed=self.seed,
        )
        with join_processes(self.device) as processes:
            train_codec(
                photos, held_out, CodecConfig(channels=self.channels, width=self.width), loop,
                batch_size=self.batch_size, crop=self.crop, out=self.out, processes=processes,
                on_progress=_print if processes.is_main else None,
            )  # fmt: skip


def _print(done: int, total: int, **scalars: object) -> None:
    print(json.dumps({"step": done, "of": total, **scalars}), file=sys.stderr, flush=True)
