"""From latents and conditions to one vector per patch and per view; shared by both denoisers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .conditions import SUBCELLS, TEXT_CHANNELS, Conditions
from .layers import fourier_features, keep_or_null, sinusoidal_embedding

RAY_OCTAVES = 3
TIME_OCTAVES = 4


class ViewEmbedding(nn.Module):
    """Sums a linear embedding of every condition, or its learned null, into a map of ``width`` channels per view."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        area = patch * patch
        self.latents = nn.Linear(channels * area, width)
        self.rays = nn.Linear(6 * (2 * RAY_OCTAVES + 1) * area, width)
        self.memory = nn.Linear((channels + 2 * SUBCELLS**2) * area, width)
        self.time = nn.Linear(2 * TIME_OCTAVES + 1, width)
        self.given = nn.Parameter(torch.zeros(width))
        self.null_rays = nn.Parameter(torch.zeros(width))
        self.null_memory = nn.Parameter(torch.zeros(width))
        self.null_time = nn.Parameter(torch.zeros(width))

    def forward(
        self, x: Float[Tensor, "b v c h w"], conditions: Conditions
    ) -> Float[Tensor, "b v hp wp width"]:
        """One vector per patch; in given views clean latents take the place of ``x`` and of the memory."""
        given = conditions.given & conditions.has("given")[:, None]
        x = torch.where(given[:, :, None, None, None], conditions.given_latents, x)
        tokens = self.latents(self._patches(x)) + given[:, :, None, None, None] * self.given
        rays = fourier_features(conditions.rays, RAY_OCTAVES).movedim(-1, 3).flatten(2, 3)
        tokens = tokens + keep_or_null(self.rays(self._patches(rays)), self.null_rays, conditions.has("rays"))
        known = (conditions.memory_latents, conditions.memory_depth, conditions.memory_coverage * 2 - 1)
        memory = self.memory(self._patches(torch.cat(known, dim=2)))
        remembered = conditions.has("memory")[:, None] & ~given
        tokens = tokens + keep_or_null(memory, self.null_memory, remembered)
        time = self.time(fourier_features(conditions.times, TIME_OCTAVES))[:, :, None, None]
        return tokens + keep_or_null(time, self.null_time, conditions.has("time"))

    def _patches(self, maps: Float[Tensor, "b v c h w"]) -> Float[Tensor, "b v hp wp cpp"]:
        """Flattened patches; the last row and column are repeated where the size is no multiple of the patch."""
        b, v, _, h, w = maps.shape
        maps = F.pad(maps.flatten(0, 1), (0, -w % self.patch, 0, -h % self.patch), mode="replicate")
        return F.pixel_unshuffle(maps, self.patch).unflatten(0, (b, v)).movedim(2, -1)


class TextEmbedding(nn.Module):
    """Text tokens in the network's width; a learned token where there is no text."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(TEXT_CHANNELS, width)
        self.null = nn.Parameter(torch.zeros(width))

    def forward(self, conditions: Conditions) -> Float[Tensor, "b t width"]:
        """One vector per text token."""
        return keep_or_null(self.linear(conditions.text), self.null, conditions.has("text"))


class NoiseEmbedding(nn.Module):
    """The noise level as a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(128, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, level: Float[Tensor, "b"]) -> Float[Tensor, "b width"]:
        """See ``objectives.noise_level``."""
        return self.layers(sinusoidal_embedding(level, 128))
