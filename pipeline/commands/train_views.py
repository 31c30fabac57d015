"""``cosmorama train views``: train the multi-view diffusion model on prepared samples."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...reconstruct.errors import InputError
from .given import with_given

if TYPE_CHECKING:
    from ..diffusion.training import ViewTrainingConfig
    from ..latents.codec import Codec


@dataclass(frozen=True)
class TrainViews:
    """Train the multi-view diffusion model; killed and started again, it goes on where it was.

    With several processes: `torchrun --nproc-per-node 2 -- .venv/bin/cosmorama train views ...`. OUT gets
    checkpoint.safetensors, metrics.jsonl, views.safetensors (the averaged weights) and, of held-out samples,
    curve.jsonl (errors, see `eval denoiser`) and sheet-STEP.png (truth, memory, sample).
    """

    data: Path
    """Folder of `cosmorama train views-data`."""
    out: Path
    """Folder of the run."""
    start: Path | None = None
    """views.safetensors of a run on other data to begin with; its last layer is set to zero, as before any training."""
    initial: Path | None = None
    """views.safetensors to go on from as it is, with its last layer and its prior."""
    preset: Literal["cpu", "gpu", "cluster"] = "cpu"
    """Size of the network, of the batches and of the run."""
    codec: Path | None = None
    """codec.safetensors that the data was prepared with; default the shipped one."""
    architecture: Literal["transformer", "unet"] | None = None
    """Default by preset."""
    width: int | None = None
    """Of a transformer; default by preset."""
    depth: int | None = None
    """Of a transformer; default by preset."""
    joint_blocks: int | None = None
    """Transformer blocks over all views at a U-Net's lowest resolution; default by preset. With --initial or --start
    they may be new."""
    objective: Literal["epsilon", "x0", "v", "flow", "edm"] = "v"
    weighting: Literal["unit", "elbo", "min_snr", "edm", "sigmoid"] = "unit"
    noise: tuple[float, float] | None = None
    """Mean and standard deviation of log sigma for a single view; default by preset. Samples of one step are drawn from
    the top, log(40)."""
    repa: bool = False
    """Align inner features with DINOv2's (the data must have been prepared with them)."""
    steps: int | None = None
    """Optimiser steps in all; default by preset."""
    scenes: int | None = None
    """Scenes per micro-batch and process; default by preset."""
    views: tuple[int, int] | None = None
    """Fewest and most views per scene; default by preset."""
    accumulate: int = 1
    """Micro-batches per step."""
    photo_share: float | None = None
    """Share of micro-batches that are single photos to fill; default by preset."""
    text_share: float = 0.0
    """Share of micro-batches that are single views from their sentence alone."""
    learning_rate: float | None = None
    """Default by preset."""
    stop_after: int | None = None
    """End this leg after so many steps, for going on later."""
    minutes: float | None = None
    """End this leg after so many minutes, for going on later."""
    checkpoint_every: int | None = None
    """Steps between checkpoints and sheets; default by preset."""
    bf16: bool | None = None
    """Autocast; default where the device is faster for it."""
    compile: bool = False
    """Compile the network: minutes for every shape of batch; not on every machine are steps faster then. A CPU needs a
    C++ compiler for it."""
    device: str = "cpu"
    threads: int | None = None
    """CPU threads; default all."""
    seed: int = 0

    def run(self) -> None:
        """Train."""
        import torch

        from ..diffusion.held_out import held_out_errors
        from ..diffusion.model import ViewModel
        from ..diffusion.shards import Shards
        from ..diffusion.sheets import write_sheet
        from ..diffusion.sources import HELD_OUT, TRAIN
        from ..diffusion.training import train_views
        from ..latents.codec import codec_from_file, load_codec
        from ..training.curve import add_to_curve
        from ..training.processes import join_processes

        if self.start and self.initial:
            raise InputError("either --start or --initial")
        if self.threads:
            torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        codec: Codec = codec_from_file(self.codec) if self.codec else load_codec()
        held_out = Shards(self.data / HELD_OUT) if (self.data / HELD_OUT).exists() else None

        def on_checkpoint(step: int, model: ViewModel) -> None:
            if held_out:
                add_to_curve(self.out, step, held_out_errors(model, held_out))
                write_sheet(self.out / f"sheet-{step:07d}.png", model, held_out, codec)

        with join_processes(self.device) as processes:
            train_views(
                self.data / TRAIN, self.out, self.config(), processes,
                start=self.start, initial=self.initial, on_progress=_print if processes.is_main else None,
                on_checkpoint=on_checkpoint,
            )  # fmt: skip

    def config(self) -> ViewTrainingConfig:
        """The preset with what was given on the command line."""
        from ..diffusion.repa import RepaConfig
        from ..diffusion.schedules import NoiseDistribution
        from ..diffusion.training import preset
        from ..diffusion.transformer import TransformerConfig
        from ..diffusion.unet import UNetConfig

        base = preset(self.preset)
        network = base.network
        if self.architecture == "unet" and not isinstance(network, UNetConfig):
            network = UNetConfig()
        if self.architecture == "transformer" and not isinstance(network, TransformerConfig):
            network = TransformerConfig(width=160, depth=4, head_channels=32)
        if isinstance(network, TransformerConfig):
            if self.joint_blocks is not None:
                raise InputError("--joint-blocks is of a U-Net; this is a transformer")
            network = with_given(network, width=self.width, depth=self.depth)
        else:
            if self.width is not None or self.depth is not None:
                raise InputError("--width and --depth are of a transformer; this is a U-Net")
            network = with_given(network, joint_blocks=self.joint_blocks)
        fewest, most = self.views or (None, None)
        batch = with_given(
            base.batch, scenes=self.scenes, min_views=fewest, max_views=most, photo_share=self.photo_share,
            text_share=self.text_share,
        )  # fmt: skip
        loop = with_given(
            base.loop, steps=self.steps, learning_rate=self.learning_rate, accumulate=self.accumulate,
            checkpoint_every=self.checkpoint_every, stop_after=self.stop_after, minutes=self.minutes, bf16=self.bf16,
            seed=self.seed,
        )  # fmt: skip
        noise = NoiseDistribution(*self.noise) if self.noise else base.noise
        return replace(
            base, network=network, objective=self.objective, weighting=self.weighting, noise=noise, batch=batch,
            loop=loop, repa=RepaConfig() if self.repa else None, compile=self.compile,
        )  # fmt: skip


def _print(done: int, total: int, **scalars: object) -> None:
    print(json.dumps({"step": done, "of": total, **scalars}), file=sys.stderr, flush=True)
