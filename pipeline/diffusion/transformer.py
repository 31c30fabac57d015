"""The multi-view diffusion transformer.

All views' latent patches are tokens of one sequence and attend to each other; text tokens join them. A token
knows where in its picture it is by rotary positions, and which picture it belongs to only by its rays, time
and memory: the network is equivariant to the order of the views and takes any number of them, of any aspect
ratio. Blocks are those of DiT (Peebles and Xie 2023) with the modulation computed once for all blocks
(PixArt-alpha, Chen et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .conditions import Conditions
from .embedding import NoiseEmbedding, TextEmbedding, ViewEmbedding
from .layers import Attention, rotary_angles, zero_init


@dataclass(frozen=True)
class TransformerConfig:
    """Size of the transformer; about 12 * depth * width^2 parameters."""

    channels: int = 16
    """Latent channels."""
    width: int = 256
    depth: int = 8
    head_channels: int = 64
    """A multiple of 4; divides the width."""
    patch: int = 2
    """Latent cells along one side of a token."""
    mlp_ratio: int = 4


class NetworkOutput(NamedTuple):
    """What a denoiser network answers."""

    prediction: Float[Tensor, "b v c h w"]
    """F, see ``objectives``."""
    features: Float[Tensor, "b v hp wp width"] | None
    """Hidden features after the block that was asked for."""


class Block(nn.Module):
    """Attention and MLP, each modulated by the noise level (adaLN-zero)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.attention = Attention(width, config.head_channels)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.mlp_ratio * width),
            nn.GELU("tanh"),
            nn.Linear(config.mlp_ratio * width, width),
        )
        self.modulation = nn.Parameter(torch.zeros(6, width))

    def forward(
        self, x: Float[Tensor, "b n c"], modulation: Float[Tensor, "b 6 c"], angles: Float[Tensor, "n half"]
    ) -> Float[Tensor, "b n c"]:
        """Residual updates; both are zero before training."""
        terms = (modulation + self.modulation)[:, :, None].unbind(1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = terms
        x = x + gate_a * self.attention(_normalise(x) * (1 + scale_a) + shift_a, angles)
        return x + gate_m * self.mlp(_normalise(x) * (1 + scale_m) + shift_m)


class MultiViewTransformer(nn.Module):
    """See the module."""

    def __init__(self, config: TransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TransformerConfig()
        self.views = ViewEmbedding(config.channels, config.width, config.patch)
        self.text = TextEmbedding(config.width)
        self.noise = NoiseEmbedding(config.width)
        self.modulation = zero_init(nn.Linear(config.width, 6 * config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_modulation = zero_init(nn.Linear(config.width, 2 * config.width))
        self.final = zero_init(nn.Linear(config.width, config.channels * config.patch**2))

    @property
    def feature_channels(self) -> int:
        """Channels of ``NetworkOutput.features``."""
        return self.config.width

    def forward(
        self,
        x: Float[Tensor, "b v c h w"],
        level: Float[Tensor, "b"],
        conditions: Conditions,
        *,
        features_after: int | None = None,
    ) -> NetworkOutput:
        """The network's F for scaled noisy latents.

        Args:
            x: latents scaled by c_in.
            level: from ``noise_level``.
            conditions: of the same views.
            features_after: also return the view tokens after so many blocks.
        """
        height, width = x.shape[-2:]
        grid = self.views(x, conditions)
        b, v, rows, columns, _ = grid.shape
        text = self.text(conditions)
        tokens = torch.cat([grid.flatten(1, 3), text], dim=1)
        angles = rotary_angles(rows, columns, self.config.head_channels, device=x.device)
        angles = torch.cat([angles.repeat(v, 1), angles.new_zeros(text.shape[1], angles.shape[1])])
        noise, features = self.noise(level), None
        modulation = self.modulation(noise).unflatten(-1, (6, -1))
        for i, block in enumerate(self.blocks, start=1):
            tokens = block(tokens, modulation, angles)
            if i == features_after:
                features = tokens[:, : v * rows * columns].unflatten(1, (v, rows, columns))
        shift, scale = self.final_modulation(noise)[:, None].chunk(2, dim=-1)
        tokens = self.final(_normalise(tokens[:, : v * rows * columns]) * (1 + scale) + shift)
        patches = tokens.reshape(b * v, rows, columns, -1).movedim(-1, 1)
        prediction = F.pixel_shuffle(patches, self.config.patch)[..., :height, :width]
        return NetworkOutput(prediction.unflatten(0, (b, v)), features)


def _normalise(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])
