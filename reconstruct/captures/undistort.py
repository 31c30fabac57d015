"""Photos with lens distortion as pinhole photos.

Every pixel of the pinhole photo is looked up where the lens drew it. Source: OpenCV's models with two tangential and
up to four radial coefficients, as nerfstudio reads them (1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8), and its fisheye model.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def distort(
    points: Float[Tensor, "*n 2"], coefficients: tuple[float, ...], *, fisheye: bool = False
) -> tuple[Float[Tensor, "*n 2"], Bool[Tensor, "*n"]]:
    """Where a lens draws points that a pinhole draws at ``points`` (x/z, y/z).

    Args:
        points: normalised image coordinates.
        coefficients: k1, k2, k3, k4, p1, p2.
        fisheye: OpenCV's fisheye model, which has k1 to k4 only.

    Returns:
        The distorted normalised coordinates, and where the model holds: polynomials fold back far outside the image.
    """
    k1, k2, k3, k4, p1, p2 = coefficients
    x, y = points.unbind(-1)
    squared = x * x + y * y
    radius = squared.sqrt()
    angle = torch.atan(radius) if fisheye else radius
    a = angle * angle
    polynomial = 1 + a * (k1 + a * (k2 + a * (k3 + a * k4)))
    slope = 1 + a * (3 * k1 + a * (5 * k2 + a * (7 * k3 + a * 9 * k4)))
    factor = polynomial
    if fisheye:
        factor = torch.where(radius > 1e-8, polynomial * angle / radius.clamp_min(1e-8), polynomial)
        p1 = p2 = 0.0
    moved_x = x * factor + 2 * p1 * x * y + p2 * (squared + 2 * x * x)
    moved_y = y * factor + 2 * p2 * x * y + p1 * (squared + 2 * y * y)
    return torch.stack([moved_x, moved_y], dim=-1), slope > 0


def undistortion_map(
    intrinsics: Float[Tensor, "3 3"],
    width: int,
    height: int,
    coefficients: tuple[float, ...],
    *,
    fisheye: bool = False,
) -> tuple[Float[Tensor, "h w 2"], Bool[Tensor, "h w"]]:
    """For every pixel of the pinhole photo with the same intrinsics, the pixel of the photo that shows it.

    Returns:
        Pixel coordinates (centres at +0.5), and which of them lie inside the photo.
    """
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    focal = intrinsics.diagonal()[:2]
    centre = intrinsics[:2, 2]
    moved, valid = distort((torch.stack([x, y], dim=-1) - centre) / focal, coefficients, fisheye=fisheye)
    pixels = moved * focal + centre
    inside = ((pixels >= 0) & (pixels <= pixels.new_tensor([width, height]))).all(-1)
    return pixels, valid & inside


def sample_pixels(
    image: Float[Tensor, "h w k"], pixels: Float[Tensor, "height width 2"], *, mode: str = "bilinear"
) -> Float[Tensor, "height width k"]:
    """Look an image up at pixel coordinates (centres at +0.5); outside, the border goes on."""
    size = pixels.new_tensor([image.shape[1], image.shape[0]])
    grid = 2 * pixels / size - 1
    channels = image.permute(2, 0, 1)[None]
    sampled = F.grid_sample(channels, grid[None], mode=mode, padding_mode="border", align_corners=False)
    return sampled[0].permute(1, 2, 0)
