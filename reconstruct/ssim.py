"""Structural similarity of images, as a loss that is cheap enough for every step on a CPU."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .ssim_window import C1, C2, RADIUS, window


def ssim(
    image: Float[Tensor, "b h w c"],
    target: Float[Tensor, "b h w c"],
    *,
    weights: Float[Tensor, "*b h w"] | None = None,
) -> Float[Tensor, ""]:
    """Mean structural similarity; 1 for equal images.

    Gaussian window of 11 x 11 with sigma 1.5, zeros beyond the border, as 3D Gaussian Splatting measures it.
    With weights, 1 - mean(weights * (1 - similarity)): what is not weighted counts as equal.

    Args:
        image, target: in [0, 1].
        weights: of pixels, for all images or for each.

    Source: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity (2004).
    """
    b, h, w, c = image.shape
    weights = None if weights is None else weights.expand(b, h, w)
    tensors = (image, target) if weights is None else (image, target, weights)
    if w * c >= 16 and c <= 6 and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors):
        from .ssim_cpu import dissimilarity

        return 1 - dissimilarity(image, target, weights)
    dissimilar = 1 - ssim_map(image, target)
    return 1 - (dissimilar if weights is None else dissimilar * weights[..., None]).mean()


def ssim_map(image: Float[Tensor, "b h w c"], target: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
    """Structural similarity at every pixel, in plain torch, for any device and precision."""
    mean_x, mean_y = _blur(image), _blur(target)
    var_x = _blur(image * image) - mean_x * mean_x
    var_y = _blur(target * target) - mean_y * mean_y
    covariance = _blur(image * target) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    return likeness / ((mean_x * mean_x + mean_y * mean_y + C1) * (var_x + var_y + C2))


def _blur(image: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
    b, h, w, c = image.shape
    taps = window(image)
    planes = image.permute(0, 3, 1, 2).reshape(b * c, 1, h, w)
    planes = torch.nn.functional.conv2d(planes, taps[None, None, :, None], padding=(RADIUS, 0))
    planes = torch.nn.functional.conv2d(planes, taps[None, None, None, :], padding=(0, RADIUS))
    return planes.view(b, c, h, w).permute(0, 2, 3, 1)
