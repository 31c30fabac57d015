"""REPA: inner features of the denoiser are drawn towards those of DINOv2 (Yu et al. 2024).

A denoiser spends much of its training on finding out what is in the picture, which a self-supervised encoder of clean
pictures knows already. The loss is minus the cosine between a small projection of the denoiser's tokens after an early
block and the encoder's patches at the same place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..dinov2 import CHANNELS, PATCH, dinov2_features
from .groups import resize_images


@dataclass(frozen=True)
class RepaConfig:
    """Where and how strongly features are aligned."""

    after_block: int = 3
    weight: float = 0.5
    hidden: int = 512
    """Width of the projection's hidden layer."""


class RepaHead(nn.Module):
    """Projects the denoiser's features to DINOv2's; thrown away after training."""

    def __init__(self, width: int, config: RepaConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, CHANNELS),
        )

    def forward(self, features: Float[Tensor, "b v hp wp c"]) -> Float[Tensor, "b v hp wp 384"]:
        """Features to compare with ``dino_targets``."""
        return self.layers(features)


@torch.no_grad()
def dino_targets(
    images: Float[Tensor, "v h w 3"], *, rows: int, columns: int
) -> Float[Tensor, "v rows columns 384"]:
    """DINOv2's patches, one for each of the denoiser's tokens."""
    return dinov2_features(resize_images(images, columns * PATCH, rows * PATCH), layers=(12,))[0]


def alignment_loss(
    features: Float[Tensor, "b v hp wp 384"], targets: Float[Tensor, "b v ht wt 384"]
) -> Float[Tensor, ""]:
    """1 minus the mean cosine; targets are averaged or repeated to the features' grid."""
    if features.shape[2:4] != targets.shape[2:4]:
        flat = targets.flatten(0, 1).movedim(-1, 1)
        flat = F.interpolate(flat, features.shape[2:4], mode="area")
        targets = flat.movedim(1, -1).unflatten(0, targets.shape[:2])
    return 1 - F.cosine_similarity(features.float(), targets.float(), dim=-1).mean()
