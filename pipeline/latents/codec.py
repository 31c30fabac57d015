"""The latent codec: 8x8 pixels to one latent cell of 16 channels and back, convolutions only.

Both directions are a linear map plus a learned residual. The linear map starts as the principal components of
8x8 colour patches (a block transform, as in JPEG), the residual starts at zero: training spends its time on
what a block transform cannot do. In training fixed noise is added to the latents while their power is held at
1, so every channel grows to the size that its share of the loss deserves (water-filling), and an error of a
given size in the latents costs about the same wherever it falls. That makes the plain squared error of a
diffusion model in these latents a perceptual one, weighted as the codec's own loss is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...reconstruct.errors import InputError
from ..training.checkpoints import load_weights

CELL = 8
"""Pixels along one side of a latent cell."""


@dataclass(frozen=True)
class CodecConfig:
    """Size of the codec; the default has 2.2 M parameters."""

    channels: int = 16
    """Latent channels."""
    fine_width: int = 64
    """Channels of the layers at a quarter of the resolution."""
    width: int = 128
    """Channels of the layers at an eighth of the resolution."""
    encoder_blocks: tuple[int, int] = (1, 2)
    """Residual blocks of the encoder at a quarter and at an eighth of the resolution."""
    decoder_blocks: tuple[int, int] = (2, 4)
    """The same for the decoder."""


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))), the second convolution zero at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")
        self.second = _zero(nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"))

    def forward(self, x: Tensor) -> Tensor:
        """Residual convolutions at constant resolution."""
        return x + self.second(F.silu(self.first(F.silu(x))))


class Codec(nn.Module):
    """Encoder and decoder; see the module for the idea."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: CodecConfig | None = None) -> None:
        super().__init__()
        self.config = config or CodecConfig()
        fine, width, channels = self.config.fine_width, self.config.width, self.config.channels
        self.analysis = nn.Conv2d(3 * CELL * CELL, channels, 1)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, fine, 3, padding=1, padding_mode="replicate"),
            *(ResidualBlock(fine) for _ in range(self.config.encoder_blocks[0])),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * fine, width, 1),
            *(ResidualBlock(width) for _ in range(self.config.encoder_blocks[1])),
            nn.SiLU(),
            _zero(nn.Conv2d(width, channels, 3, padding=1, padding_mode="replicate")),
        )
        self.synthesis = nn.Conv2d(channels, 3 * CELL * CELL, 1)
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, padding_mode="replicate"),
            *(ResidualBlock(width) for _ in range(self.config.decoder_blocks[1])),
            nn.Conv2d(width, 4 * fine, 1),
            nn.PixelShuffle(2),
            *(ResidualBlock(fine) for _ in range(self.config.decoder_blocks[0])),
            nn.SiLU(),
            _zero(nn.Conv2d(fine, 48, 3, padding=1, padding_mode="replicate")),
            nn.PixelShuffle(4),
        )
        self.register_buffer("latent_mean", torch.zeros(channels))
        self.register_buffer("latent_std", torch.ones(()))

    def raw_latents(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c hl wl"]:
        """Latents as training sees them; pixels in [-1, 1]."""
        return self.analysis(F.pixel_unshuffle(pixels, CELL)) + self.encoder(pixels)

    def pixels(self, raw: Float[Tensor, "b c hl wl"]) -> Float[Tensor, "b 3 h w"]:
        """Pixels in about [-1, 1] of raw latents; not clamped, so that gradients pass."""
        return F.pixel_shuffle(self.synthesis(raw), CELL) + self.decoder(raw)

    def encode(self, images: Float[Tensor, "*v h w 3"]) -> Float[Tensor, "*v c hl wl"]:
        """Latents of mean 0 and standard deviation 1 over the training photos.

        Args:
            images: sRGB in [0, 1]; height and width must be multiples of 8.

        Raises:
            InputError: the size is not a multiple of 8.
        """
        *batch, height, width, _ = images.shape
        if height % CELL or width % CELL:
            raise InputError(f"image size {width}x{height} is not a multiple of {CELL}")
        pixels = images.reshape(-1, height, width, 3).permute(0, 3, 1, 2) * 2 - 1
        latents = (self.raw_latents(pixels) - self.latent_mean[:, None, None]) / self.latent_std
        return latents.reshape(*batch, *latents.shape[1:])

    def decode(self, latents: Float[Tensor, "*v c hl wl"]) -> Float[Tensor, "*v h w 3"]:
        """Images, sRGB in [0, 1], of normalised latents."""
        *batch, channels, height, width = latents.shape
        raw = latents.reshape(-1, channels, height, width) * self.latent_std + self.latent_mean[:, None, None]
        images = (self.pixels(raw) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
        return images.reshape(*batch, height * CELL, width * CELL, 3)

    @torch.no_grad()
    def start_from_patches(self, patches: Float[Tensor, "n 192"]) -> None:
        """Set the linear maps to the principal components of 8x8 patches, the latents' rms to 1.

        Args:
            patches: as ``pixel_unshuffle`` orders them, values in [-1, 1].
        """
        mean = patches.mean(0)
        _, _, components = torch.linalg.svd((patches - mean).double(), full_matrices=False)
        basis = components[: self.config.channels].float()
        rms = ((patches - mean) @ basis.T).square().mean().sqrt()
        assert self.analysis.bias is not None
        assert self.synthesis.bias is not None
        self.analysis.weight.copy_(basis[:, :, None, None] / rms)
        self.analysis.bias.copy_(-(basis @ mean) / rms)
        self.synthesis.weight.copy_(basis.T[:, :, None, None] * rms)
        self.synthesis.bias.copy_(mean)

    @torch.no_grad()
    def set_statistics(self, raw: Float[Tensor, "b c hl wl"]) -> None:
        """Take the normalisation (a mean per channel, one standard deviation for all) from raw latents."""
        self.latent_mean.copy_(raw.mean((0, 2, 3)))
        self.latent_std.copy_((raw - self.latent_mean[:, None, None]).square().mean().sqrt())


def codec_from_file(path: Path) -> Codec:
    """A codec for use, in evaluation mode, from a file that ``train codec`` wrote.

    Raises:
        InputError: the file is missing or is not a codec.
    """
    config, tensors = load_weights(path)
    try:
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        codec = Codec(CodecConfig(**settings))
        codec.load_state_dict(tensors)
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{path} holds no codec: {str(error).splitlines()[0]}") from error
    return codec.eval().requires_grad_(False)


def codec_config_dict(codec: Codec) -> dict[str, object]:
    """What ``codec_from_file`` needs besides the tensors."""
    return asdict(codec.config)


@lru_cache(maxsize=1)
def load_codec() -> Codec:
    """The shipped codec on the CPU, frozen."""
    from ... import assets

    return codec_from_file(Path(assets.__file__).parent / "codec" / "codec.safetensors")


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
