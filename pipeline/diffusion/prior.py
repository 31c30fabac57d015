"""What is believed about the latents before the denoiser looks: the memory, give or take.

The memory with its holes filled smoothly is already a fair guess, a good one where the scene covers the cell. The
denoiser works in units of the deviation from that guess: z = (x - centre) / spread, cell by cell. An untrained network,
whose output is zero, then answers like the best linear denoiser for N(centre, spread^2), so that sampling from it gives
back about what the best hand-made filling gives, and everything it learns is gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .conditions import Conditions

SEEN_SPREAD = 0.4
"""Standard deviation of true latents around the memory's where it covers the cell; measured on the training data."""
UNSEEN_SPREAD = 0.8
"""The same where it covers nothing."""


@dataclass(frozen=True)
class Prior:
    """A normal distribution of each latent."""

    center: Float[Tensor, "b v c h w"]
    spread: Float[Tensor, "b v 1 h w"]


def prior_of(conditions: Conditions) -> Prior:
    """Around the memory where there is one; around 0 with standard deviation 1 elsewhere, as the latents are."""
    given = conditions.given & conditions.has("given")[:, None]
    remembered = (conditions.has("memory")[:, None] & ~given)[:, :, None, None, None]
    covered = conditions.memory_coverage.mean(2, keepdim=True)
    spread = UNSEEN_SPREAD + (SEEN_SPREAD - UNSEEN_SPREAD) * covered
    return Prior(
        torch.where(remembered, conditions.memory_latents, 0.0), torch.where(remembered, spread, 1.0)
    )
