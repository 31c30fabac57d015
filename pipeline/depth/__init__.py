"""Metric depth from one photo: ``load_depth_estimator(name)(image, focal_px) -> DepthMap``.

``cosmorama`` is our own head on frozen DINOv2 features, trained on the synthetic world and shipped in ``assets``;
any other name is a depth model of the transformers hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FAR_DEPTH_M = 100.0
"""What sky gets: finite, and as far as the farthest that the estimator calls solid."""
SKY_DEPTH_M = 0.9 * FAR_DEPTH_M
"""What is farther away is sky."""


@dataclass(frozen=True)
class DepthMap:
    """What an estimator says about one photo, at the photo's own size."""

    depth_m: Float[Tensor, "h w"]
    """z along the camera's axis in metres, positive and finite; ``FAR_DEPTH_M`` where ``far``."""
    confidence: Float[Tensor, "h w"]
    """0 (a guess) to 1 (sure); all ones from models that give none."""
    far: Bool[Tensor, "h w"]
    """Sky and what is as far as the sky."""

    def to(self, device: torch.device | str) -> DepthMap:
        """The same map on another device."""
        return DepthMap(self.depth_m.to(device), self.confidence.to(device), self.far.to(device))


class DepthEstimator(Protocol):
    """Depth from one photo."""

    name: str
    licences: tuple[str, ...]
    """Of the code and weights that made the answer, for the record of the scene."""

    def __call__(self, image: Float[Tensor, "h w 3"], focal_px: float) -> DepthMap:
        """Depth at the image's own size (any size); ``focal_px`` in pixels of that image."""
        ...


def load_depth_estimator(name: str = "cosmorama", device: torch.device | str = "cpu") -> DepthEstimator:
    """An estimator by name, ready to be called.

    Args:
        name: ``cosmorama``, or a depth model on the transformers hub (``depth-anything/Depth-Anything-V2-Small-hf``),
            or a folder holding one.
        device: where it runs.

    Raises:
        InputError: the weights are not here and cannot be fetched.
    """
    if name == "cosmorama":
        from .estimator import load_cosmorama_estimator

        return load_cosmorama_estimator(device)
    from .hub_models import load_hub_estimator

    return load_hub_estimator(name, device)
