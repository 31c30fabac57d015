"""Growth as sampling: dead splats are moved onto live ones, more are added up to a limit, all are shaken.

Source: Kheradmand et al., 3D Gaussian Splatting as Markov Chain Monte Carlo (2024); equation numbers are theirs.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..gaussians import rotation_from_wxyz
from .adam import RowAdam
from .config import McmcGrowth

MAX_COPIES = 51
"""More copies than this are treated as this many."""


def shared_opacity_and_scale(
    opacities: Float[Tensor, "m"], copies: Int[Tensor, "m"]
) -> tuple[Float[Tensor, "m"], Float[Tensor, "m"]]:
    """Equation 9: opacity and factor on the scale with which ``copies`` splats in one place look like one.

    Args:
        opacities: of the splat that is replaced, in (0, 1).
        copies: how many take its place, >= 1.
    """
    n = copies.clamp(1, MAX_COPIES)
    opacities = opacities.double()
    shared = 1 - (1 - opacities) ** (1 / n)
    # The double sum over i <= n and k < i of binom(i-1, k) is one sum over j = k + 1 of binom(n, j).
    j = torch.arange(1, MAX_COPIES + 1, dtype=torch.float64, device=n.device)
    binomials = torch.tensor(
        [[math.comb(i, k) for k in range(1, MAX_COPIES + 1)] for i in range(MAX_COPIES + 1)],
        dtype=torch.float64,
    ).to(n.device)
    terms = binomials[n] * (-1) ** (j - 1) * shared[:, None] ** j / j.sqrt()
    return shared.float(), (opacities / terms.sum(-1)).float()


def relocate(splats: RowAdam, config: McmcGrowth, generator: torch.Generator) -> int:
    """Move dead splats onto live ones, which share their opacity with them; returns how many moved."""
    opacity = splats.tensors["opacity_logits"].detach().sigmoid()
    dead, live = (
        (opacity <= config.min_opacity).nonzero()[:, 0],
        (opacity > config.min_opacity).nonzero()[:, 0],
    )
    if not len(dead) or not len(live):
        return 0
    sources = live[_draw(opacity[live], len(dead), generator)]
    _share(splats, sources, config.min_opacity)
    for tensor in splats.tensors.values():
        tensor.detach()[dead] = tensor.detach()[sources]
    splats.forget(dead)
    return len(dead)


def add_splats(splats: RowAdam, config: McmcGrowth, generator: torch.Generator) -> int:
    """Copy live splats, in proportion to their opacity; returns how many were added."""
    count = min(config.max_splats, math.ceil(config.rate * len(splats))) - len(splats)
    if count <= 0:
        return 0
    sources = _draw(splats.tensors["opacity_logits"].detach().sigmoid(), count, generator)
    _share(splats, sources, config.min_opacity)
    splats.append({name: t.detach()[sources] for name, t in splats.tensors.items()})
    return count


def shake(splats: RowAdam, amount: float, generator: torch.Generator) -> None:
    """Add noise to the means, in place: along the splat's own shape, and only if it is nearly transparent (eq. 8)."""
    means = splats.tensors["means"].detach()
    opacity = splats.tensors["opacity_logits"].detach().sigmoid()
    loose = torch.sigmoid(-100 * (opacity - 0.005))
    moved = (loose > 1e-4).nonzero()[:, 0]
    noise = torch.randn(len(means), 3, generator=generator)[moved.cpu()].to(means)
    rotation = rotation_from_wxyz(splats.tensors["quats"].detach()[moved])
    variances = (2 * splats.tensors["log_scales"].detach()[moved]).exp()
    local = variances * (rotation.transpose(-1, -2) @ noise[..., None])[..., 0]
    means[moved] += amount * loose[moved, None] * (rotation @ local[..., None])[..., 0]


def _draw(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices drawn with replacement by systematic sampling: in proportion, and with the least variance."""
    edges = weights.double().cpu().cumsum(0)
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    positions = (torch.arange(count, dtype=torch.float64) + offset) / count * edges[-1]
    return torch.searchsorted(edges, positions, right=True).clamp_max(len(edges) - 1).to(weights.device)


def _share(splats: RowAdam, sources: Tensor, min_opacity: float) -> None:
    """Let every source become one of (times it was drawn + 1) copies; they forget their past."""
    unique, drawn = sources.unique(return_counts=True)
    logits, log_scales = splats.tensors["opacity_logits"].detach(), splats.tensors["log_scales"].detach()
    opacity, factor = shared_opacity_and_scale(logits[unique].sigmoid(), drawn + 1)
    logits[unique] = torch.logit(opacity.clamp(min_opacity, 1 - 1e-6))
    log_scales[unique] += factor.log()[:, None]
    splats.forget(unique)
