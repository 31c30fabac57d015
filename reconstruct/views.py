"""Posed images of one size: what splats are fitted to and measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from .cameras import Cameras

Images = Float[Tensor, "c h w 3"] | UInt8[Tensor, "c h w 3"]


@dataclass(frozen=True)
class Views:
    """Posed images of one size."""

    cameras: Cameras
    images: Images
    """In [0, 1], or bytes."""
    weights: Float[Tensor, "c h w"] | None = None
    """How much each pixel counts; 0 where the image shows nothing (masks, borders of undistortion)."""
    depths: Float[Tensor, "c h w"] | None = None
    """z depth; 0 where it is not known."""

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, index: Sequence[int]) -> Views:
        """Some of the views."""
        index = list(index)
        weights = None if self.weights is None else self.weights[index]
        depths = None if self.depths is None else self.depths[index]
        return Views(self.cameras[index], self.images[index], weights, depths)

    def to(self, device: torch.device | str) -> Views:
        """The same views on another device."""
        weights = None if self.weights is None else self.weights.to(device)
        depths = None if self.depths is None else self.depths.to(device)
        return Views(self.cameras.to(device), self.images.to(device), weights, depths)


def as_float(images: Tensor) -> Float[Tensor, "*c h w 3"]:
    """Bytes as numbers in [0, 1]."""
    return images if images.is_floating_point() else images.float() / 255


def as_bytes(images: Float[Tensor, "*c h w 3"]) -> UInt8[Tensor, "*c h w 3"]:
    """The inverse of ``as_float``, rounded."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def shrink_views(views: Views, divisor: int) -> Views:
    """Views ``divisor`` times smaller: colours and weights averaged over areas, depth from one pixel of each."""
    width, height = max(1, views.cameras.width // divisor), max(1, views.cameras.height // divisor)
    images = torch.stack([shrink_image(as_float(image), width, height) for image in views.images])
    weights = depths = None
    if views.weights is not None:
        weights = torch.stack([shrink_image(w[..., None], width, height)[..., 0] for w in views.weights])
    if views.depths is not None:
        depths = F.interpolate(views.depths[:, None], (height, width), mode="nearest-exact")[:, 0]
    images = images if views.images.is_floating_point() else as_bytes(images)
    return Views(views.cameras.resized(width, height), images, weights, depths)


def shrink_image(image: Float[Tensor, "h w k"], width: int, height: int) -> Float[Tensor, "height width k"]:
    """Averages over areas."""
    small = F.interpolate(image.permute(2, 0, 1)[None], (height, width), mode="area")
    return small[0].permute(1, 2, 0).contiguous()
