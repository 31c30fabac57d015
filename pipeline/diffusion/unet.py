"""A factorised space-time U-Net behind the same interface as the transformer.

After Ho et al. (2022), Video Diffusion Models: convolutions and attention within each view, then attention
across the views at every place of the picture, at every resolution. At the lowest resolution, where tokens are
few, a transformer may join the places of all views and the text's tokens (after Hoogeboom et al. 2023, simple
diffusion). No position along the view axis is given, so the order of the views does not matter here either.
Elsewhere text enters as its mean token, added to the embedding of the noise level.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .conditions import Conditions
from .embedding import NoiseEmbedding, TextEmbedding, ViewEmbedding
from .layers import Attention, rotary_angles, zero_init
from .transformer import Block, NetworkOutput, TransformerConfig


@dataclass(frozen=True)
class UNetConfig:
    """Size of the U-Net."""

    channels: int = 16
    """Latent channels."""
    widths: tuple[int, ...] = (48, 96, 144)
    """Channels at each resolution, each half the one before; multiples of ``head_channels``."""
    blocks: int = 1
    """Residual blocks per resolution on the way down and on the way up."""
    head_channels: int = 24
    joint_blocks: int = 0
    """Transformer blocks over all places of all views at the lowest resolution."""
    joint_width: int = 384
    """Channels of those, a multiple of ``joint_head_channels``."""
    joint_head_channels: int = 64


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions within each view, modulated by the embedding."""

    def __init__(self, inputs: int, width: int, embedding: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(1, inputs)
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * width)
        self.norm = nn.GroupNorm(1, width, affine=False)
        self.second = zero_init(nn.Conv2d(width, width, 3, padding=1))
        self.skip = nn.Conv2d(inputs, width, 1) if inputs != width else nn.Identity()

    def forward(self, x: Float[Tensor, "bv c h w"], embedding: Float[Tensor, "bv e"]) -> Tensor:
        """Residual update."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.norm(self.first(F.silu(self.norm_in(x)))) * (1 + scale) + shift
        return self.skip(x) + self.second(F.silu(h))


class SpaceViewAttention(nn.Module):
    """Attention within each view, then across the views at each place."""

    def __init__(self, width: int, head_channels: int) -> None:
        super().__init__()
        self.space, self.across = Attention(width, head_channels), Attention(width, head_channels)
        self.head_channels = head_channels
        self.gates = nn.Parameter(torch.zeros(2, width))

    def forward(self, x: Float[Tensor, "bv c h w"], views: int) -> Tensor:
        """Residual updates, zero before training."""
        height, width = x.shape[-2:]
        tokens = x.flatten(2).transpose(1, 2)
        angles = rotary_angles(height, width, self.head_channels, device=x.device)
        tokens = tokens + self.gates[0] * self.space(F.layer_norm(tokens, tokens.shape[-1:]), angles)
        across = tokens.unflatten(0, (-1, views)).transpose(1, 2)
        flat = across.flatten(0, 1)
        flat = flat + self.gates[1] * self.across(F.layer_norm(flat, flat.shape[-1:]))
        tokens = flat.reshape(across.shape).transpose(1, 2).flatten(0, 1)
        return tokens.transpose(1, 2).unflatten(2, (height, width))


class Stage(nn.Module):
    """A residual block and attention at one resolution."""

    def __init__(self, inputs: int, width: int, embedding: int, head_channels: int) -> None:
        super().__init__()
        self.residual = ResidualBlock(inputs, width, embedding)
        self.attention = SpaceViewAttention(width, head_channels)

    def forward(self, x: Tensor, embedding: Tensor, views: int) -> Tensor:
        """Same resolution in and out."""
        return self.attention(self.residual(x, embedding), views)


class JointTransformer(nn.Module):
    """A residual update by a transformer over all places of all views, and the text; zero before training."""

    def __init__(self, width: int, embedding: int, config: UNetConfig) -> None:
        super().__init__()
        inner = config.joint_width
        block = TransformerConfig(width=inner, head_channels=config.joint_head_channels)
        self.head_channels = block.head_channels
        self.enter, self.text = nn.Linear(width, inner), TextEmbedding(inner)
        self.modulation = zero_init(nn.Linear(embedding, 6 * inner))
        self.blocks = nn.ModuleList(Block(block) for _ in range(config.joint_blocks))
        self.leave = zero_init(nn.Linear(inner, width))

    def forward(
        self, x: Float[Tensor, "bv c h w"], embedding: Float[Tensor, "b e"], conditions: Conditions
    ) -> Tensor:
        """Same shape in and out."""
        rows, columns = x.shape[-2:]
        views = len(x) // len(embedding)
        places = x.movedim(1, -1).unflatten(0, (-1, views)).flatten(1, 3)
        text = self.text(conditions)
        tokens = torch.cat([self.enter(places), text], dim=1)
        angles = rotary_angles(rows, columns, self.head_channels, device=x.device).repeat(views, 1)
        angles = torch.cat([angles, angles.new_zeros(text.shape[1], angles.shape[1])])
        modulation = self.modulation(embedding).unflatten(-1, (6, -1))
        for block in self.blocks:
            tokens = block(tokens, modulation, angles)
        update = self.leave(F.layer_norm(tokens, tokens.shape[-1:])[:, : places.shape[1]])
        return x + update.unflatten(1, (views, rows, columns)).flatten(0, 1).movedim(-1, 1)


class SpaceTimeUNet(nn.Module):
    """See the module."""

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        widths, blocks, head = config.widths, config.blocks, config.head_channels
        embedding = 2 * widths[0]
        self.views = ViewEmbedding(config.channels, widths[0], 1)
        self.text, self.noise = TextEmbedding(embedding), NoiseEmbedding(embedding)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        inputs, skips = widths[0], [widths[0]]
        for width in [w for w in widths for _ in range(blocks)]:
            self.down.append(Stage(inputs, width, embedding, head))
            inputs = width
            skips.append(width)
        self.middle = Stage(inputs, inputs, embedding, head)
        self.joint = JointTransformer(inputs, embedding, config) if config.joint_blocks else None
        for width in [w for w in reversed(widths) for _ in range(blocks)]:
            self.up.append(Stage(inputs + skips.pop(), width, embedding, head))
            inputs = width
        self.norm = nn.GroupNorm(1, inputs + skips.pop())
        self.final = zero_init(nn.Conv2d(self.norm.num_channels, config.channels, 3, padding=1))
        # In bf16 on the CPU training is 1.5 times as fast so.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it

    @property
    def feature_channels(self) -> int:
        """Channels of ``NetworkOutput.features``."""
        return self.config.widths[-1]

    def forward(
        self,
        x: Float[Tensor, "b v c h w"],
        level: Float[Tensor, "b"],
        conditions: Conditions,
        *,
        features_after: int | None = None,
    ) -> NetworkOutput:
        """The network's F; ``features_after`` of any value asks for the features at the lowest resolution."""
        b, views = x.shape[:2]
        of_sample = self.noise(level) + self.text(conditions).mean(1)
        embedding = of_sample.repeat_interleave(views, dim=0)
        h = self.views(x, conditions).flatten(0, 1).movedim(-1, 1)
        skips = [h]
        for i, stage in enumerate(self.down):
            if i and i % self.config.blocks == 0:
                h = F.avg_pool2d(h, 2, ceil_mode=True)
            h = stage(h, embedding, views)
            skips.append(h)
        h = self.middle(h, embedding, views)
        if self.joint is not None:
            h = self.joint(h, of_sample, conditions)
        features = h.movedim(1, -1).unflatten(0, (b, views)) if features_after is not None else None
        for stage in self.up:
            skip = skips.pop()
            if h.shape[-2:] != skip.shape[-2:]:
                h = F.interpolate(h, skip.shape[-2:], mode="nearest")
            h = stage(torch.cat([h, skip], dim=1), embedding, views)
        prediction = self.final(F.silu(self.norm(torch.cat([h, skips.pop()], dim=1))))
        return NetworkOutput(prediction.unflatten(0, (b, views)), features)
