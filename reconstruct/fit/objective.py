"""The loss of one view: colour, depth, perception, and restraint on the splats."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..gaussians import Gaussians
from ..ssim import ssim
from .config import Losses

Perceptual = Callable[[Tensor, Tensor, int], Tensor]
"""(rendering [h, w, 3], image [h, w, 3], view) -> scalar; both within [0, 1] and of the step's size."""


def view_loss(
    color: Float[Tensor, "h w 3"],
    image: Float[Tensor, "h w 3"],
    losses: Losses,
    *,
    weights: Float[Tensor, "h w"] | None = None,
) -> Float[Tensor, ""]:
    """L1 and structural dissimilarity, averaged over pixels after weighting them."""
    loss = color.new_zeros(())
    if losses.l1:
        difference = (color - image).abs()
        difference = difference if weights is None else difference * weights[..., None]
        loss = loss + losses.l1 * difference.mean()
    if losses.ssim:
        loss = loss + losses.ssim * (1 - ssim(color[None], image[None], weights=weights))
    return loss


def depth_loss(
    rendered: Float[Tensor, "h w"], alpha: Float[Tensor, "h w"], depth: Float[Tensor, "h w"], extent: float
) -> Float[Tensor, ""]:
    """Mean difference of extent / depth over all pixels; only those that are covered and known contribute."""
    known = (depth > 0) & (alpha > 0.5)
    inverse = extent / torch.where(known, rendered, 1.0) - extent / torch.where(known, depth, 1.0)
    return torch.where(known, inverse.abs(), 0.0).mean()


def restraint(gaussians: Gaussians, losses: Losses, extent: float) -> Float[Tensor, ""]:
    """Opacities and scales that are not needed cost something (3DGS-MCMC, section 3.4)."""
    total = gaussians.means.new_zeros(())
    if losses.opacity:
        total = total + losses.opacity * gaussians.opacities.mean()
    if losses.scale:
        total = total + losses.scale * gaussians.scales.mean() / extent
    return total
