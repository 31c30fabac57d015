"""Distance between pictures as DINOv2 sees them: forgives what is a little out of place, as pixel losses do not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .dinov2 import PATCH, dinov2_features


def dinov2_distance(
    *, side_px: int = 224, layers: tuple[int, ...] = (3, 6, 9)
) -> Callable[[Tensor, Tensor, int], Tensor]:
    """A loss for ``fit_gaussians``: mean cosine distance of patch features.

    Args:
        side_px: the pictures' longer side is brought to about this many pixels.
        layers: which layers' features to compare.

    Returns:
        (rendering [h, w, 3], image [h, w, 3], view) -> scalar; the images' features are computed once per view and
        size and kept.
    """
    known: dict[tuple[int, int, int], list[Tensor]] = {}

    def features(picture: Float[Tensor, "h w 3"]) -> list[Tensor]:
        h, w = picture.shape[:2]
        scale = side_px / max(h, w)
        size = [max(1, round(length * scale / PATCH)) * PATCH for length in (h, w)]
        resized = F.interpolate(picture.permute(2, 0, 1)[None], size, mode="bilinear", antialias=True)
        return dinov2_features(resized.permute(0, 2, 3, 1), layers=layers)

    def distance(
        rendering: Float[Tensor, "h w 3"], image: Float[Tensor, "h w 3"], view: int
    ) -> Float[Tensor, ""]:
        key = (view, image.shape[0], image.shape[1])
        if key not in known:
            with torch.no_grad():
                known[key] = features(image)
        pairs = zip(features(rendering.clamp(0, 1)), known[key])
        return torch.stack([1 - F.cosine_similarity(a, b, dim=-1).mean() for a, b in pairs]).mean()

    return distance
