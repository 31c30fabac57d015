"""How well a denoiser knows samples that it was not trained on, noise level by noise level."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..training.loop import step_generator
from .batches import random_batch
from .model import ViewModel
from .prior import prior_of
from .shards import Shards
from .sheets import NO_DROPS

NOISE_LEVELS = (113.0, 10.0, 3.0, 0.8, 0.2)
"""From where samples of one step are drawn (40, shifted for eight views) down to fine texture."""


@torch.no_grad()
def held_out_errors(
    model: ViewModel, shards: Shards, *, views: int = 8, groups: int = 48, batch: int = 4
) -> dict[str, list[float]]:
    """Mean squared error of denoised latents, per cell and channel, with all conditions kept.

    Args:
        model: on any device.
        shards: held-out samples; the same groups of views and the same noise every time.
        views: per group, the given one included.
        groups: of views.
        batch: groups at once.

    Returns:
        ``noise_levels``; ``unseen`` and ``seen``, of cells that the memory does not know and that it knows, given
        views left out; ``prior_unseen``, of the model's prior, which is what an untrained network answers at the top.
    """
    device = next(model.network.parameters()).device
    config = replace(NO_DROPS, scenes=batch, min_views=views, max_views=views, photo_share=0.0)
    sums = torch.zeros(3, len(NOISE_LEVELS), dtype=torch.float64)
    cells = torch.zeros(2, 1, dtype=torch.float64)
    for number in range(0, groups, batch):
        generator = step_generator(0, number)
        held = random_batch(shards, config, generator)
        noise = torch.randn(held.latents.shape, generator=generator).to(device)
        held = held.to(device)
        seen = held.conditions.memory_coverage.mean(2, keepdim=True)
        wanted = (~held.conditions.given)[:, :, None, None, None]
        weights = torch.stack([(1 - seen) * wanted, seen * wanted])
        cells += weights.sum((1, 2, 3, 4, 5), dtype=torch.float64).cpu()[:, None] * held.latents.shape[2]
        prior = (prior_of(held.conditions, model.spread).center - held.latents).square()
        sums[2] += (weights[0] * prior).sum(dtype=torch.float64).cpu()
        for i, level in enumerate(NOISE_LEVELS):
            sigma = torch.full((len(held.latents),), level, device=device)
            x0 = model(held.latents + level * noise, sigma, held.conditions)
            error = (weights * (x0 - held.latents).square()).sum((1, 2, 3, 4, 5), dtype=torch.float64)
            sums[:2, i] += error.cpu()
    means = sums / torch.cat([cells, cells[:1]])
    names = ("unseen", "seen", "prior_unseen")
    scores = {name: [round(v, 4) for v in row] for name, row in zip(names, means.tolist(), strict=True)}
    return {"noise_levels": list(NOISE_LEVELS), **scores}
