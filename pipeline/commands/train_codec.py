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
    world: Path | None = None
    """A synthetic world; every fourth of its frames is trained on as well."""
    decoder_of: Path | None = None
    """A codec.safetensors: only its decoder is trained further, its latents stay what they are."""
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

        from ..latents.codec import CodecConfig, codec_from_file
        from ..latents.photos import load_photos, photo_paths, world_frames
        from ..latents.training import train_codec
        from ..training.loop import LoopConfig
        from ..training.processes import join_processes
        from ..world.shards import WorldDataset

        if self.threads:
            torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        photos = load_photos(photo_paths(self.data, held_out=False), min_side=self.crop)
        held_out = load_photos(photo_paths(self.data, held_out=True), min_side=128)
        if self.world:
            photos += world_frames(WorldDataset(self.world))
        start = codec_from_file(self.decoder_of) if self.decoder_of else None
        config = start.config if start else CodecConfig(channels=self.channels, width=self.width)
        loop = LoopConfig(
            steps=self.steps,
            learning_rate=self.learning_rate,
            weight_decay=0.0,
            checkpoint_every=self.checkpoint_every,
            seed=self.seed,
        )
        with join_processes(self.device) as processes:
            train_codec(
                photos, held_out, config, loop,
                batch_size=self.batch_size, crop=self.crop, out=self.out, processes=processes, decoder_of=start,
                on_progress=_print if processes.is_main else None,
            )  # fmt: skip


def _print(done: int, total: int, **scalars: object) -> None:
    print(json.dumps({"step": done, "of": total, **scalars}), file=sys.stderr, flush=True)
