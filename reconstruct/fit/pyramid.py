"""Training views at several sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from ..cameras import Cameras
from .result import Images, Views


@dataclass(frozen=True)
class View:
    """One view at one size."""

    camera: Cameras
    image: Float[Tensor, "h w 3"]
    weights: Float[Tensor, "h w"] | None
    depth: Float[Tensor, "h w"] | None


class Pyramid:
    """Views, made smaller when first asked for and kept."""

    def __init__(self, views: Views) -> None:
        self.levels = {1: views}

    def view(self, index: int, divisor: int) -> View:
        """One view, ``divisor`` times smaller; its camera is a batch of one."""
        if divisor not in self.levels:
            self.levels[divisor] = shrink_views(self.levels[1], divisor)
        level = self.levels[divisor]
        return View(
            level.cameras[index],
            as_float(level.images[index]),
            None if level.weights is None else level.weights[index],
            None if level.depths is None else level.depths[index],
        )


def as_float(images: Images) -> Float[Tensor, "*c h w 3"]:
    """Bytes as numbers in [0, 1]."""
    return images if images.is_floating_point() else images.float() / 255


def shrink_views(views: Views, divisor: int) -> Views:
    """Views ``divisor`` times smaller: colours and weights averaged over areas, depth taken from one pixel of each."""
    width, height = max(1, views.cameras.width // divisor), max(1, views.cameras.height // divisor)
    images = torch.stack([_area(as_float(image).permute(2, 0, 1), height, width) for image in views.images])
    images = images.permute(0, 2, 3, 1)
    if not views.images.is_floating_point():
        images = as_bytes(images)
    weights = depths = None
    if views.weights is not None:
        weights = torch.stack([_area(w[None], height, width)[0] for w in views.weights])
    if views.depths is not None:
        depths = F.interpolate(views.depths[:, None], (height, width), mode="nearest-exact")[:, 0]
    return Views(views.cameras.resized(width, height), images.contiguous(), weights, depths)


def as_bytes(images: Float[Tensor, "*c h w 3"]) -> UInt8[Tensor, "*c h w 3"]:
    """The inverse of ``as_float``, rounded."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def _area(channels: Float[Tensor, "k h w"], height: int, width: int) -> Float[Tensor, "k height width"]:
    return F.interpolate(channels[None], (height, width), mode="area")[0]
