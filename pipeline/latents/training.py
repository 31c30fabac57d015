"""Training and judging the codec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..training.checkpoints import save_weights
from ..training.loop import CHECKPOINT, LoopConfig, step_generator, train
from ..training.processes import Processes
from .bands import band_loss, band_psnr, psnr
from .codec import Codec, CodecConfig, codec_config_dict
from .photos import Photos

LATENT_NOISE = 0.05
"""Standard deviation of the noise added in training to latents of power 1."""
DECODER_NOISE = 0.02
"""The same where only the decoder is trained: the encoder's channels have their sizes already."""


class _RoundTrip(nn.Module):
    """What is trained: pixels to noisy latents to pixels in one forward pass, for data parallelism."""

    def __init__(self, codec: Codec, noise: float) -> None:
        super().__init__()
        self.codec, self.noise = codec, noise

    def forward(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.codec.raw_latents(pixels)
        return self.codec.pixels(raw + self.noise * noise), raw


def train_codec(
    photos: Photos,
    held_out: Photos,
    config: CodecConfig,
    loop: LoopConfig,
    *,
    batch_size: int,
    crop: int,
    out: Path,
    processes: Processes,
    decoder_of: Codec | None = None,
    on_progress: Callable[..., None] | None = None,
) -> Codec:
    """Train a codec on crops of photos; leaves ``codec.safetensors`` (the averaged weights) in ``out``.

    Args:
        photos: trained on.
        held_out: for the normalisation and the numbers that ``on_progress`` gets at every checkpoint.
        config: size of the network.
        loop: the optimisation.
        batch_size: crops per micro-batch and process.
        crop: side of the crops in pixels, a multiple of 8.
        out: folder for everything that is written; a checkpoint there is resumed.
        processes: from ``join_processes``.
        decoder_of: go on with this codec's decoder and leave its latents as they are, for the sake of the networks that
            were trained on them; default a new codec.
        on_progress: called as (done, total, **scalars).
    """
    codec = Codec(config)
    if decoder_of is not None:
        codec.load_state_dict(decoder_of.state_dict())
        for part in (codec.analysis, codec.encoder):
            part.requires_grad_(False)
    elif not (out / CHECKPOINT).exists():
        _initialise(codec, photos, loop.seed)
    round_trip = _RoundTrip(codec, DECODER_NOISE if decoder_of else LATENT_NOISE)

    def batch_at(generator: torch.Generator) -> Tensor:
        return photos.crops(batch_size, crop, generator).to(processes.device)

    def loss_fn(
        network: nn.Module, pixels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        shape = (len(pixels), config.channels, crop // 8, crop // 8)
        noise = torch.randn(shape, generator=generator).to(pixels.device)
        decoded, raw = network(pixels, noise)
        power = raw.square().mean()
        reconstruction = band_loss(decoded, pixels)
        return reconstruction + 0.1 * (power - 1).square(), {"reconstruction": reconstruction, "power": power}

    def on_checkpoint(step: int, averaged: nn.Module) -> None:
        assert isinstance(averaged, _RoundTrip)
        if decoder_of is None:
            normalise_latents(averaged.codec, held_out)
        scores = judge_codec(averaged.codec, held_out)
        save_weights(out / "codec.safetensors", averaged.codec, config=codec_config_dict(averaged.codec))
        if on_progress:
            on_progress(step, loop.steps, **scores)

    ema = train(
        round_trip, batch_at, loss_fn, loop, out=out, processes=processes, on_progress=on_progress,
        on_checkpoint=on_checkpoint,
    )  # fmt: skip
    assert isinstance(ema.model, _RoundTrip)
    return ema.model.codec


@torch.no_grad()
def normalise_latents(codec: Codec, photos: Photos, *, crop: int = 128, count: int = 48) -> None:
    """Set the mean and the size of the codec's latents to those of some crops."""
    pixels = photos.crops(count, crop, step_generator(0, 1)).to(codec.latent_mean.device)
    codec.eval().set_statistics(torch.cat([codec.raw_latents(part) for part in pixels.split(16)]))


@torch.no_grad()
def judge_codec(codec: Codec, photos: Photos, *, crop: int = 128) -> dict[str, Any]:
    """How well the middle of every photo comes back.

    Returns:
        ``psnr`` in dB, the mean of the photos; ``psnr_of_mean_error``, which rough texture rules; the luma's signal to
        error per band in dB; the standard deviation of each latent channel.
    """
    pixels = photos.centres(crop).to(codec.latent_mean.device)
    raw = torch.cat([codec.eval().raw_latents(part) for part in pixels.split(16)])
    decoded = torch.cat([codec.pixels(part) for part in raw.split(16)]).clamp(-1, 1)
    each = [psnr(*pair, peak=2.0) for pair in zip(decoded, pixels, strict=True)]
    return {
        "psnr": round(sum(each) / len(each), 2),
        "psnr_of_mean_error": round(psnr(decoded, pixels, peak=2.0), 2),
        "band_snr_fine_to_coarse": [round(v, 1) for v in band_psnr(decoded, pixels)],
        "channel_std": [round(v, 2) for v in raw.std((0, 2, 3)).tolist()],
    }


def _initialise(codec: Codec, photos: Photos, seed: int) -> None:
    crops = photos.crops(2000, 8 * 4, step_generator(seed, 0))
    patches = nn.functional.pixel_unshuffle(crops, 8).permute(0, 2, 3, 1).reshape(-1, 192)
    codec.start_from_patches(patches)
