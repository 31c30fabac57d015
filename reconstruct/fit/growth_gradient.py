"""Growth by gradient: clone and split the splats whose image positions are pulled hardest, drop the transparent.

Written here rather than taken from gsplat, which a CPU installation does not have and whose strategy owns a torch
optimiser per parameter. Sources: Kerbl et al. (2023), section 5; the budget of Mallick et al., Taming 3DGS (2024);
the opacity of copies of Rota Bulò et al., Revising Densification (2024), equation 9.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..gaussians import rotation_from_wxyz
from .adam import RowAdam
from .config import GradientGrowth

SHRINK = 1.6
"""The halves of a split splat are this much smaller."""


def accumulate_pull(
    pull: Float[Tensor, "n 2"], means2d: Tensor, radii: Tensor, size: tuple[int, int], absolute: bool
) -> None:
    """Add one step's image gradients: column 0 sums their lengths (in units of half the image), column 1 counts.

    Args:
        pull: changed in place.
        means2d: the rasterizer's, after ``backward``; [1, n, 2].
        radii: the rasterizer's, [1, n, 2].
        size: width and height of the image.
        absolute: use ``absgrad`` in place of ``grad``.
    """
    gradient = means2d.absgrad if absolute else means2d.grad  # type: ignore[attr-defined]
    assert gradient is not None
    half = gradient.new_tensor(size) / 2
    seen = (radii[0] > 0).all(-1)
    pull[:, 0] += torch.where(seen, (gradient[0] * half).norm(dim=-1), 0.0)
    pull[:, 1] += seen


def grow_by_gradient(
    splats: RowAdam,
    pull: Float[Tensor, "n 2"],
    config: GradientGrowth,
    *,
    budget: int,
    extent: float,
    generator: torch.Generator,
) -> None:
    """One round: drop, then clone and split, in place.

    Args:
        splats: parameters and moments.
        pull: from ``accumulate_pull``.
        config: thresholds.
        budget: how many splats there may be after the round.
        extent: the scene's.
        generator: source of the randomness.
    """
    scale = splats.tensors["log_scales"].detach().exp().amax(-1)
    opacity = splats.tensors["opacity_logits"].detach().sigmoid()
    kept = (opacity >= config.min_opacity) & (scale <= config.max_scale * extent)
    splats.keep(kept)
    mean_pull, scale = (pull[:, 0] / pull[:, 1].clamp_min(1))[kept], scale[kept]
    room = max(0, budget - len(splats))
    chosen = mean_pull.argsort(descending=True, stable=True)[:room]
    chosen = chosen[mean_pull[chosen] > config.threshold]
    large = scale[chosen] > config.split_scale * extent
    _share_opacity(splats, chosen)
    _clone(splats, chosen[~large])
    _split(splats, chosen[large], generator)


def reset_opacities(splats: RowAdam, step: int, config: GradientGrowth) -> None:
    """Now and then lower all opacities to twice the least, and forget where they were going."""
    if (step + 1) % config.reset_opacity_every:
        return
    ceiling = torch.logit(torch.tensor(2 * config.min_opacity)).item()
    splats.tensors["opacity_logits"] = splats.tensors["opacity_logits"].detach().clamp_max(ceiling)
    splats.forget(torch.ones(len(splats), dtype=torch.bool, device=splats.steps.device), ("opacity_logits",))


def _share_opacity(splats: RowAdam, chosen: Tensor) -> None:
    """Two copies of opacity 1 - sqrt(1 - o) hide as much as one of opacity o."""
    logits = splats.tensors["opacity_logits"].detach()
    shared = 1 - (1 - logits[chosen].sigmoid()).sqrt()
    logits[chosen] = torch.logit(shared.clamp(1e-6, 1 - 1e-6))


def _clone(splats: RowAdam, chosen: Tensor) -> None:
    splats.append({name: t.detach()[chosen] for name, t in splats.tensors.items()})


def _split(splats: RowAdam, chosen: Tensor, generator: torch.Generator) -> None:
    """Each becomes two smaller ones at places drawn from it; the first takes its row."""
    old = {name: t.detach()[chosen] for name, t in splats.tensors.items()}
    scales = old["log_scales"].exp()
    rotation = rotation_from_wxyz(old["quats"])
    normal = torch.randn(2, len(chosen), 3, generator=generator).to(scales)
    offsets = (rotation @ (scales * normal)[..., None])[..., 0]
    smaller = old["log_scales"] - torch.log(torch.tensor(SHRINK)).item()
    for name, value in (("means", old["means"] + offsets[0]), ("log_scales", smaller)):
        splats.tensors[name].detach()[chosen] = value
    splats.forget(chosen)
    splats.append({**old, "means": old["means"] + offsets[1], "log_scales": smaller})
