"""How well splats show views that they were not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..gaussians import Gaussians
from ..rasterize import rasterize
from ..ssim import ssim
from ..views import Views, as_float
from .config import FitConfig
from .learned_distance import find_lpips


@dataclass(frozen=True)
class Scores:
    """Means over views."""

    psnr: float
    """dB."""
    ssim: float
    psnr_per_view: list[float]
    lpips: float | None = None
    """None where the lpips package is not installed."""


def evaluate(gaussians: Gaussians, views: Views, config: FitConfig, *, thorough: bool = True) -> Scores:
    """Render every view and compare; pixels count as ``views.weights`` says.

    Args:
        gaussians, views, config: what was fitted, what it shall show, and how.
        thorough: not only PSNR, but SSIM too, and LPIPS (of whole pictures) if it is installed.
    """
    psnrs, ssims, distances = [], [], []
    lpips = find_lpips() if thorough else None
    for i in range(len(views)):
        rendered = render_view(gaussians, views, i, config)
        image = as_float(views.images[i])
        weights = None if views.weights is None else views.weights[i]
        psnrs.append(psnr(rendered, image, weights))
        if thorough:
            total = 1.0 if weights is None else float(weights.mean())
            ssims.append(1 - float(1 - ssim(rendered[None], image[None], weights=weights)) / total)
        if lpips:
            distances.append(lpips(rendered, image))
    return Scores(
        psnr=sum(psnrs) / len(psnrs),
        ssim=sum(ssims) / len(ssims) if ssims else float("nan"),
        psnr_per_view=psnrs,
        lpips=sum(distances) / len(distances) if distances else None,
    )


def render_view(gaussians: Gaussians, views: Views, index: int, config: FitConfig) -> Float[Tensor, "h w 3"]:
    """One view as the splats show it, in [0, 1]."""
    background = torch.tensor(config.background, device=gaussians.means.device)
    with torch.no_grad():
        rendering = rasterize(
            gaussians,
            views.cameras[index],
            background=background,
            antialiased=config.antialiased,
            backend=config.backend,
        )
    return rendering.color[0].clamp(0, 1)


def psnr(
    a: Float[Tensor, "h w 3"], b: Float[Tensor, "h w 3"], weights: Float[Tensor, "h w"] | None = None
) -> float:
    """Peak signal-to-noise ratio in dB over the weighted pixels, for a peak of 1."""
    squared = (a - b).square().mean(-1)
    mean = squared.mean() if weights is None else (squared * weights).sum() / weights.sum()
    return float(-10 * mean.clamp_min(1e-10).log10())
