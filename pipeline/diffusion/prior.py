"""What is believed about the latents before the denoiser looks: the memory, give or take.

The memory with its holes filled smoothly is already a fair guess, a good one where the scene covers the cell. The
denoiser works in units of the deviation from that guess: z = (x - centre) / spread, cell by cell. An untrained network,
whose output is zero, then answers like the best linear denoiser for N(centre, spread^2), so that sampling from it gives
back about what the best hand-made filling gives, and everything it learns is gain.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .conditions import Conditions
from .shards import Shards


@dataclass(frozen=True)
class Spread:
    """Standard deviations per latent channel (or one for all), measured on the training data by ``measure_spread``.

    Channels differ by a factor of ten: brightness is what is least known, fine texture is small everywhere. With one
    number for all of them every sample starts from far too much texture, and what the denoiser does not take away of
    that is seen as coloured noise.
    """

    seen: tuple[float, ...] = (0.4,)
    """Around the memory where it covers the cell."""
    unseen: tuple[float, ...] = (0.8,)
    """Around the memory's filling where it covers nothing."""
    nothing: tuple[float, ...] = (1.0,)
    """Around 0 where there is no memory at all."""


@dataclass(frozen=True)
class Prior:
    """A normal distribution of each latent."""

    center: Float[Tensor, "b v c h w"]
    spread: Float[Tensor, "b v c h w"]
    """Or one for all channels [b v 1 h w]."""


def prior_of(conditions: Conditions, spread: Spread | None = None) -> Prior:
    """Around the memory where there is one, around 0 elsewhere.

    Args:
        conditions: what is known.
        spread: of the model; default that of latents with unit variance.
    """
    given = conditions.given & conditions.has("given")[:, None]
    remembered = (conditions.has("memory")[:, None] & ~given)[:, :, None, None, None]
    covered = conditions.memory_coverage.mean(2, keepdim=True)
    seen, unseen, nothing = (_per_channel(value, covered) for value in astuple(spread or Spread()))
    return Prior(
        torch.where(remembered, conditions.memory_latents, 0.0),
        torch.where(remembered, unseen + (seen - unseen) * covered, nothing),
    )


def measure_spread(shards: Shards, *, samples: int = 200) -> Spread:
    """The standard deviations in prepared samples, from ``samples`` of them, evenly spaced."""
    squares: dict[str, list[Tensor]] = {"seen": [], "unseen": [], "nothing": []}
    for shape, rows in shards.groups.items():
        share = max(1, round(samples * len(rows) / len(shards)))
        for sample in shards.rows(shape, range(0, len(rows), max(1, len(rows) // share))):
            latents = sample["latents"].float()
            away = (latents - sample["memory_latents"].float()).square().movedim(2, -1)
            covered = sample["memory_coverage"].float().mean(2)
            generated = ~sample["given"][:, :, None, None]
            squares["seen"].append(away[(covered > 0.95) & generated])
            squares["unseen"].append(away[(covered < 0.05) & generated])
            squares["nothing"].append(latents.square().movedim(1, -1).flatten(0, 2))
    joined = {name: torch.cat(parts) for name, parts in squares.items()}
    return Spread(
        **{
            name: tuple(value.mean(0).sqrt().clamp(min=0.03).tolist())
            for name, value in joined.items()
            if len(value)
        }
    )


def _per_channel(values: tuple[float, ...], like: Tensor) -> Float[Tensor, "1 1 c 1 1"]:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[None, None, :, None, None]
