"""How much each noise level counts in training: weights of the squared error of x0.

With lambda = log SNR = -2 log sigma, Kingma and Gao (2023) write every loss as an expectation over lambda of
weight(lambda) times the squared error of the noise; the squared error of the noise is SNR times that of x0.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from .objectives import Objective, scalings
from .schedules import NoiseDistribution

Weighting = Literal["unit", "elbo", "min_snr", "edm", "sigmoid"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)

MIN_SNR_GAMMA = 5.0
SIGMOID_BIAS = -1.0


def loss_weights(
    weighting: Weighting,
    sigma: Float[Tensor, "*b"],
    *,
    objective: Objective,
    distribution: NoiseDistribution,
    spread: Float[Tensor, "*b"] | float = 1.0,
) -> Float[Tensor, "*b"]:
    """Weights of ``(denoiser(x, sigma) - x0)^2`` for noise levels drawn from ``distribution``.

    Args:
        weighting: ``unit``: the plain error of the network's output, whatever the objective. ``elbo``: the
            variational bound, SNR over the density from which lambda was drawn. ``min_snr``: min(SNR, 5) (Hang et
            al. 2023). ``edm``: (sigma^2 + 1) / sigma^2 (Karras et al. 2022). ``sigmoid``: sigmoid(b - lambda) on
            the noise's error, over the density (Kingma and Gao 2023; Hoogeboom et al. 2024), which ignores
            the finest noise.
        sigma: noise levels.
        objective: only used by ``unit``.
        distribution: only used by ``elbo`` and ``sigmoid``, whose meaning does not depend on how lambda was drawn.
        spread: standard deviation of the data, see ``prior``; broadcasts against ``sigma``.
    """
    relative = sigma / spread
    snr, noise_share = relative**-2, sigma**-2
    match weighting:
        case "unit":
            return (spread * scalings(objective, relative).c_out) ** -2
        case "elbo":
            return noise_share / distribution.density(noise_share.log())
        case "min_snr":
            return snr.clamp(max=MIN_SNR_GAMMA) / spread**2
        case "edm":
            return (snr + 1) / spread**2
        case "sigmoid":
            density = distribution.density(noise_share.log())
            return noise_share * torch.sigmoid(SIGMOID_BIAS - snr.log()) / density
    raise ValueError(f"unknown weighting {weighting!r}; there are {', '.join(WEIGHTINGS)}")
