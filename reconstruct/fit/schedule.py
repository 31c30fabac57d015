"""What changes over a run: which view comes when, image sizes, bands of harmonics, step sizes. Pure functions.

``progress`` is the fraction of the run that is done, in [0, 1).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .config import FitConfig, LearningRates


def step_generator(seed: int, *key: int) -> torch.Generator:
    """A CPU generator that depends on the seed and the key only, so that a resumed run draws the same numbers."""
    state = np.random.SeedSequence([seed, *key]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


def view_order(
    sampling: Float[Tensor, "c"], iterations: int, generator: torch.Generator
) -> Int[Tensor, "iterations"]:
    """Which view each step shows.

    Blocks of c steps are drawn by systematic sampling and shuffled: with equal frequencies every block is a
    permutation, and otherwise every view comes as often as it should, to within one per block.

    Args:
        sampling: relative frequencies, >= 0, not all 0.
        iterations: length of the run.
        generator: source of the randomness.
    """
    c = len(sampling)
    edges = sampling.double().cumsum(0) / sampling.double().sum()
    blocks = []
    for _ in range(-(-iterations // c)):
        offset = torch.rand(1, generator=generator, dtype=torch.float64)
        positions = (torch.arange(c, dtype=torch.float64) + offset) / c
        drawn = torch.searchsorted(edges, positions, right=True).clamp_max(c - 1)
        blocks.append(drawn[torch.randperm(c, generator=generator)])
    return torch.cat(blocks)[:iterations]


def divisor_at(progress: float, resolutions: tuple[tuple[float, int], ...]) -> int:
    """By how much images are smaller now."""
    return next((divisor for until, divisor in resolutions if progress < until), 1)


def sh_degree_at(progress: float, config: FitConfig) -> int:
    """Highest band of harmonics that is fitted now."""
    if config.sh_warmup <= 0:
        return config.sh_degree
    return min(config.sh_degree, int(progress / config.sh_warmup))


def splat_rates(
    progress: float, rates: LearningRates, *, extent: float, sh_coefficients: int
) -> dict[str, Float[Tensor, "columns"]]:
    """Step size per column of each splat parameter; frozen parameters are left out."""
    decay = rates.final_factor**progress
    sh = torch.tensor([rates.sh0] * 3 + [rates.sh_rest] * 3 * (sh_coefficients - 1))
    columns = {
        "means": torch.full((3,), rates.means * extent * decay),
        "quats": torch.full((4,), rates.quats),
        "log_scales": torch.full((3,), rates.log_scales),
        "opacity_logits": torch.full((1,), rates.opacity_logits),
        "sh": sh,
    }
    falling = 1 + (rates.last - 1) * progress
    return {name: falling * rate for name, rate in columns.items() if rate.any()}


def view_rates(
    progress: float, rates: LearningRates, *, extent: float
) -> dict[str, Float[Tensor, "columns"]]:
    """Step size per column of what is refined per view."""
    decay = rates.final_factor**progress
    turn, move = rates.poses * decay, rates.poses * extent * decay
    columns = {
        "poses": torch.tensor([turn] * 3 + [move] * 3),
        "exposures": torch.full((12,), rates.exposures * decay),
    }
    return {name: rate for name, rate in columns.items() if rate.any()}
