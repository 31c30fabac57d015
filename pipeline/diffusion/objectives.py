"""What the network predicts, as wrappers to one denoiser.

All the usual targets are linear: x0 = c_skip(sigma) x + c_out(sigma) F(c_in(sigma) x). The data's standard
deviation is 1.

    epsilon  F = noise                            Ho et al. 2020
    x0       F = x0
    v        F = cos(phi) noise - sin(phi) x0, tan(phi) = sigma     Salimans and Ho 2022
    flow     F = noise - x0, x_t = (1 - t) x0 + t noise, sigma = t / (1 - t)     Lipman et al. 2023
    edm      c_skip x + c_out F with the least amplified error      Karras et al. 2022, table 1

With data of standard deviation 1 ``edm`` is ``v`` with the sign of F turned. For all of them the network sees
c_in x = x / (1 + sigma^2), the best linear estimate of x0: where noise drowns everything it is shown next to
nothing, instead of pure noise of variance 1, and learns the mean given the conditions undisturbed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from .prior import Prior

Objective = Literal["epsilon", "x0", "v", "flow", "edm"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x, sigma) -> x0; sigma is a scalar or one value per sample."""


@dataclass(frozen=True)
class Scalings:
    """Coefficients of x0 = c_skip x + c_out F(c_in x), each shaped as sigma."""

    c_in: Tensor
    c_skip: Tensor
    c_out: Tensor


def scalings(objective: Objective, sigma: Float[Tensor, "*b"]) -> Scalings:
    """The coefficients that turn a network's output into x0 for an objective."""
    norm = (1 + sigma.square()).sqrt()
    c_in = norm**-2
    one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
    match objective:
        case "epsilon":
            return Scalings(c_in, one, -sigma)
        case "x0":
            return Scalings(c_in, zero, one)
        case "v":
            return Scalings(c_in, 1 / norm.square(), -sigma / norm)
        case "flow":
            return Scalings(c_in, 1 / (1 + sigma), -sigma / (1 + sigma))
        case "edm":
            return Scalings(c_in, 1 / norm.square(), sigma / norm)
    raise ValueError(f"unknown objective {objective!r}; there are {', '.join(OBJECTIVES)}")


def noise_level(sigma: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """What the network is told about sigma, for every objective: log(sigma) / 4 (Karras et al. 2022)."""
    return sigma.clamp(min=1e-6).log() / 4


def per_sample(values: Float[Tensor, "*b"], like: Tensor) -> Tensor:
    """A scalar, or one value per sample, shaped to broadcast against ``like``."""
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim)) if values.ndim else values


def wrap_network(
    network: Callable[[Tensor, Tensor], Tensor], objective: Objective, prior: Prior | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """A denoiser from a network that predicts the objective's target.

    Args:
        network: (scaled x, noise level [b]) -> F.
        objective: what F is.
        prior: of x0; the objective is about (x - centre) / spread. None is mean 0, standard deviation 1.
    """

    def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
        center, spread = (prior.center, prior.spread) if prior else (0.0, torch.ones_like(x[..., :1]))
        z = (x - center) / spread
        c = scalings(objective, per_sample(sigma, x) / spread)
        prediction = network(c.c_in * z, noise_level(sigma).expand(len(x)))
        return center + spread * (c.c_skip * z + c.c_out * prediction)

    return denoiser


def network_target(
    objective: Objective, x0: Float[Tensor, "b *s"], noise: Float[Tensor, "b *s"], sigma: Float[Tensor, "b"]
) -> Float[Tensor, "b *s"]:
    """The F that would make the denoiser exact for this sample and noise, without a prior."""
    c = scalings(objective, per_sample(sigma, x0))
    x = x0 + per_sample(sigma, x0) * noise
    return (x0 - c.c_skip * x) / c.c_out
