"""Images as bands of spatial frequency, weighted as the eye is sensitive to them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

PIXELS_PER_DEGREE = 32.0
"""A 512-pixel picture seen 16 degrees wide: a window on a desk."""
_YCC_FROM_RGB = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def ycc_from_rgb(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Luma and two colour differences (BT.601, as JPEG does it), linear in the input."""
    return torch.einsum("ij,bjhw->bihw", images.new_tensor(_YCC_FROM_RGB), images)


def laplacian_pyramid(images: Float[Tensor, "b c h w"], levels: int) -> list[Float[Tensor, "b c hl wl"]]:
    """Band-pass images from fine to coarse and the low-pass rest last (Burt and Adelson 1983).

    Args:
        images: height and width multiples of 2^levels.
        levels: number of band-pass images; each spans about one octave.
    """
    bands = []
    for _ in range(levels):
        low = _blur(images)[..., ::2, ::2]
        bands.append(images - F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False))
        images = low
    return [*bands, images]


def contrast_sensitivity(cycles_per_degree: float) -> float:
    """Sensitivity to luminance gratings relative to its peak (Mannos and Sakrison 1974, eq. 4)."""
    f = 0.114 * cycles_per_degree
    return 2.6 * (0.0192 + f) * math.exp(-(f**1.1))


def band_weights(levels: int) -> tuple[list[float], list[float]]:
    """Weights of luma and of colour for ``laplacian_pyramid``'s bands, fine to coarse, the rest last.

    Luma follows the contrast sensitivity at each band's centre, and full weight is kept below its peak
    because an error there is a wrong colour of a whole region. Colour vision is a low-pass at about 4 cycles
    per degree (Mullen 1985): its weight halves with every octave above.
    """
    centres = [PIXELS_PER_DEGREE * 0.375 / 2**i for i in range(levels)]
    peak = 8.0
    luma = [contrast_sensitivity(max(f, peak)) for f in centres]
    color = [min(1.0, 4.0 / f) for f in centres]
    return [*luma, 1.0], [*color, 1.0]


def band_loss(
    images: Float[Tensor, "b 3 h w"], targets: Float[Tensor, "b 3 h w"], *, levels: int = 3
) -> Float[Tensor, ""]:
    """Mean absolute error over bands of luma and colour, weighted, plus plain squared error.

    The square keeps the largest errors in check, which the mean absolute error of a band hardly sees.
    """
    error = images - targets
    luma, color = band_weights(levels)
    loss = 4 * error.square().mean()
    for band, w_luma, w_color in zip(
        laplacian_pyramid(ycc_from_rgb(error), levels), luma, color, strict=True
    ):
        loss = loss + w_luma * band[:, 0].abs().mean() + 0.5 * w_color * band[:, 1:].abs().mean()
    return loss


@torch.no_grad()
def band_psnr(
    images: Float[Tensor, "b 3 h w"], targets: Float[Tensor, "b 3 h w"], *, levels: int = 3
) -> list[float]:
    """Signal-to-error ratio in dB of the luma in every band, fine to coarse, the low-pass rest last.

    Unlike PSNR it is relative to what the band holds: 0 dB means that nothing of the band came through.
    """
    signal = laplacian_pyramid(ycc_from_rgb(targets)[:, :1], levels)
    error = laplacian_pyramid(ycc_from_rgb(images - targets)[:, :1], levels)
    signal[-1] = signal[-1] - signal[-1].mean((-1, -2), keepdim=True)
    return [
        10 * math.log10(float(s.square().mean() / e.square().mean()))
        for s, e in zip(signal, error, strict=True)
    ]


def psnr(images: Float[Tensor, "*b"], targets: Float[Tensor, "*b"], *, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB over all values."""
    return 10 * math.log10(peak**2 / max(1e-12, float((images - targets).square().mean())))


def _blur(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    channels = images.shape[1]
    taps = images.new_tensor(_BINOMIAL)
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
    rows = F.conv2d(padded, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)
    return F.conv2d(rows, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
