"""The trained part: from frozen DINOv2 features and the photo to canonical log-depth, its uncertainty and a sky logit.

Notation: a photo is resized to [14 hp, 14 wp], so the features are [hp, wp]; the answer is [8 hp, 8 wp].
Canonical depth is depth divided by the focal length in units of the photo's size, sqrt(width * height): a photo alone
does not tell a near thing through a wide lens from a far thing through a long one, so the network is not asked
(Yin et al., Metric3D, 2023, sec. 3.1; Bochkovskii et al., Depth Pro, 2024, sec. 3.2). The coarse-to-fine fusion follows
Ranftl et al., DPT, 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

OUTPUT_PER_TOKEN = 8
"""Output pixels per feature along each axis."""
LOG_DEPTH_INIT = math.log(3.0)
MIN_LOG_SCALE, MAX_LOG_SCALE = -5.0, 1.0


@dataclass(frozen=True)
class HeadConfig:
    """The shape of the head; written into the header of its weights."""

    layers: tuple[int, ...] = (3, 6, 9, 12)
    """DINOv2 layers, shallow to deep."""
    channels: tuple[int, ...] = (160, 64, 32, 16)
    """At 1, 2, 4 and 8 pixels per token."""
    image_channels: tuple[int, ...] = (32, 16, 8)
    """Of the photo's own branch at 2, 4 and 8 pixels per token."""
    blocks: int = 2
    """Residual blocks at the coarsest size."""
    dilations: tuple[int, ...] = ()
    """Of further residual blocks there, which see wider: what a wall is depends on the whole room."""
    feature_dropout: float = 0.2
    """Share of feature channels dropped per image in training."""
    steady_share: float = 0.5
    """How much the closed-form probe of the scale counts beside what training made of it."""


def head_config(stored: dict[str, Any]) -> HeadConfig:
    """The configuration out of a weights file's header, where tuples have become lists."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    return HeadConfig(**values)


class HeadOutput(NamedTuple):
    """What the head says; sizes are 8 per token."""

    log_depth: Float[Tensor, "b h w"]
    """log of canonical depth."""
    log_scale: Float[Tensor, "b h w"]
    """log of the Laplace scale of the error of ``log_depth``."""
    far_logit: Float[Tensor, "b h w"]


class ResidualBlock(nn.Module):
    """Two convolutions, pre-activated; starts as the identity."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Same shape."""
        return x + self.second(F.relu(self.first(F.relu(x))))


class DepthHead(nn.Module):
    """Fuses features coarse to fine; edges come from a few convolutions on the photo.

    The answer is a linear probe of the whitened features (shape from each token, scale from their mean) plus what the
    convolutions add. Both probes are set by regression before training, see ``initialise.py``. Training improves the
    scale of synthetic frames, but not of real ones, so that a copy of its first probe is kept (``steady``) and has its
    say when the head is used.
    """

    def __init__(self, config: HeadConfig = HeadConfig(), feature_channels: int = 384) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        # The two deepest layers enter at the coarsest size, each shallower one a size later.
        entry = [min(len(c) - 1, max(0, len(config.layers) - 2 - i)) for i in range(len(config.layers))]
        self.entry = tuple(entry)
        count, width = len(config.layers), feature_channels
        self.register_buffer("feature_mean", torch.zeros(count, width))
        self.register_buffer("whitening", torch.eye(width).repeat(count, 1, 1))
        self.shape_probe = nn.Linear(count * width, 1)
        self.scale_probe = nn.Linear(count * width, 1)
        self.steady = nn.Linear(count * width, 1).requires_grad_(False)
        self.from_pooled = nn.Linear(count * width, c[0])
        for probe in (self.shape_probe, self.scale_probe, self.steady, self.from_pooled):
            for parameter in probe.parameters():
                nn.init.zeros_(parameter)
        nn.init.constant_(self.scale_probe.bias, LOG_DEPTH_INIT)
        nn.init.constant_(self.steady.bias, LOG_DEPTH_INIT)
        self.project = nn.ModuleList(nn.Conv2d(feature_channels, c[level], 1) for level in entry)
        dilations = (1,) * config.blocks + config.dilations
        self.coarse = nn.Sequential(*(ResidualBlock(c[0], dilation) for dilation in dilations))
        self.narrow = nn.ModuleList(nn.Conv2d(c[i], c[i + 1], 1) for i in range(3))
        i2, i4, i8 = config.image_channels
        self.image8 = nn.Sequential(
            nn.Conv2d(3, i8, 3, padding=1), nn.ReLU(), nn.Conv2d(i8, i8, 3, padding=1)
        )
        self.image4 = nn.Sequential(
            nn.ReLU(), nn.Conv2d(i8, i4, 3, 2, 1), nn.ReLU(), nn.Conv2d(i4, i4, 3, padding=1)
        )
        self.image2 = nn.Sequential(
            nn.ReLU(), nn.Conv2d(i4, i2, 3, 2, 1), nn.ReLU(), nn.Conv2d(i2, i2, 3, padding=1)
        )
        self.from_image = nn.ModuleList(nn.Conv2d(i, k, 1) for i, k in zip((i2, i4, i8), c[1:], strict=True))
        self.refine = nn.ModuleList(ResidualBlock(k) for k in c[1:])
        self.out = nn.Sequential(
            nn.ReLU(), nn.Conv2d(c[3], c[3], 3, padding=1), nn.ReLU(), nn.Conv2d(c[3], 3, 1)
        )
        with torch.no_grad():
            final = self.out[-1]
            assert isinstance(final, nn.Conv2d)
            assert final.bias is not None
            final.weight.mul_(0.1)
            final.bias.copy_(torch.tensor([0.0, -1.0, -2.0]))

    def forward(
        self, features: list[Float[Tensor, "b hp wp c"]], image: Float[Tensor, "b h w 3"]
    ) -> HeadOutput:
        """Depth from features and the photo at [8 hp, 8 wp], sRGB in [0, 1]."""
        white = [self._dropped(f) for f in self.whitened(features)]
        tokens = torch.cat(white, dim=-1)
        pooled = tokens.mean(dim=(1, 2))
        linear = self.shape_probe(tokens)[..., 0] + self.scale_probe(pooled)[:, None]
        maps = [f.permute(0, 3, 1, 2) for f in white]
        pixels = (image.permute(0, 3, 1, 2) - 0.45).contiguous(memory_format=torch.channels_last) / 0.25
        at8 = self.image8(pixels)
        at4 = self.image4(at8)
        from_image = [self.image2(at4), at4, at8]
        entering: list[list[Tensor]] = [[] for _ in self.config.channels]
        for level, project, feature in zip(self.entry, self.project, maps, strict=True):
            entering[level].append(project(feature))
        x = self.coarse(sum(entering[0][1:], entering[0][0]) + self.from_pooled(pooled)[..., None, None])
        for level in (1, 2, 3):
            x = _twice(self.narrow[level - 1](x))
            for extra in entering[level]:
                x = x + F.interpolate(extra, x.shape[-2:], mode="bilinear", align_corners=False)
            x = self.refine[level - 1](x + self.from_image[level - 1](from_image[level - 1]))
        correction, log_scale, far_logit = self.out(x).float().unbind(1)
        coarse = F.interpolate(linear[:, None].float(), x.shape[-2:], mode="bilinear", align_corners=False)[
            :, 0
        ]
        log_depth = coarse + correction
        if not self.training:
            log_depth = log_depth + self._steadied(log_depth, far_logit, pooled)
        return HeadOutput(log_depth, log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE), far_logit)

    def _steadied(self, log_depth: Tensor, far_logit: Tensor, pooled: Tensor) -> Float[Tensor, "b 1 1"]:
        """What brings the median of what is not sky nearer to the steady probe's."""
        solid = torch.where(far_logit > 0, torch.nan, log_depth).flatten(1)
        off = self.steady(pooled)[:, 0].float() - solid.nanmedian(dim=1).values
        return self.config.steady_share * off.nan_to_num(0.0)[:, None, None]

    def whitened(self, features: list[Float[Tensor, "b hp wp c"]]) -> list[Float[Tensor, "b hp wp c"]]:
        """Features of zero mean and about unit covariance, by the statistics in the buffers."""
        mean, whitening = self.get_buffer("feature_mean"), self.get_buffer("whitening")
        return [(f - m) @ w for f, m, w in zip(features, mean, whitening, strict=True)]

    def pooled(self, features: list[Float[Tensor, "b hp wp c"]]) -> Float[Tensor, "b lc"]:
        """Mean of the whitened features over the photo, layer by layer."""
        return torch.cat(self.whitened(features), dim=-1).mean(dim=(1, 2))

    def _dropped(self, feature: Float[Tensor, "b hp wp c"]) -> Float[Tensor, "b hp wp c"]:
        p = self.config.feature_dropout
        if not self.training or p == 0:
            return feature
        keep = torch.rand(feature.shape[0], 1, 1, feature.shape[-1], device=feature.device) >= p
        return feature * keep / (1 - p)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def normalised_focal(focal_px: float, width: int, height: int) -> float:
    """Focal length in units of the photo's size, sqrt(width * height)."""
    return focal_px / math.sqrt(width * height)
