"""Noise levels: those a sampler walks down, those training draws, their shift with the number of views."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

Schedule = Literal["karras", "exponential", "flow"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

SIGMA_MIN = 0.02
SIGMA_MAX = 80.0


def sampling_sigmas(
    schedule: Schedule, steps: int, *, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX
) -> Float[Tensor, "steps+1"]:
    """Decreasing noise levels for ``steps`` steps; the last one is 0.

    Args:
        schedule: ``karras``: even in sigma^(1/7) (Karras et al. 2022, eq. 5). ``exponential``: even in log
        sigma.
            ``flow``: even in t = sigma / (1 + sigma), the time of flow matching.
        steps: number of steps, >= 1.
        sigma_min: the last level before 0.
        sigma_max: the first level.

    Raises:
        ValueError: no such schedule, or no steps.
    """
    if steps < 1:
        raise ValueError(f"a sampler needs at least one step, got {steps}")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    match schedule:
        case "karras":
            rho = 7.0
            sigmas = (
                sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))
            ) ** rho
        case "exponential":
            sigmas = torch.exp(math.log(sigma_max) + ramp * (math.log(sigma_min) - math.log(sigma_max)))
        case "flow":
            first, last = (s / (1 + s) for s in (sigma_max, sigma_min))
            t = first + ramp * (last - first)
            sigmas = t / (1 - t)
        case _:
            raise ValueError(f"unknown schedule {schedule!r}; there are {', '.join(SCHEDULES)}")
    return torch.cat([sigmas, sigmas.new_zeros(1)]).float()


def shift_for_views(sigmas: Float[Tensor, "*n"], views: int, *, base_views: int = 1) -> Float[Tensor, "*n"]:
    """Noise levels for more views than the schedule was made for.

    Views of one scene are redundant: averaging n of them removes noise of standard deviation sigma as well as
    one view does at sigma / sqrt(n). Multiplying by sqrt(n) keeps the task as hard (the argument of Hoogeboom
    et al. 2023 for resolution, which CAT3D applies to the number of views).
    """
    return sigmas * math.sqrt(views / base_views)


@dataclass(frozen=True)
class NoiseDistribution:
    """log sigma drawn from a normal distribution.

    This is EDM's log-normal sigma and, because t = sigma / (1 + sigma) has logit(t) = log(sigma), also the
    logit-normal time of flow matching (Esser et al. 2024).
    """

    mean: float = 0.0
    """Of log sigma."""
    std: float = 1.6
    """Of log sigma."""

    def sample(
        self, count: int, *, generator: torch.Generator, stratified: bool = True
    ) -> Float[Tensor, "count"]:
        """Noise levels; ``stratified`` takes one from each of ``count`` equal slices of the distribution."""
        u = torch.rand(count, generator=generator, dtype=torch.float64)
        if stratified:
            u = (torch.randperm(count, generator=generator) + u) / count
        return torch.exp(self.mean + self.std * torch.special.ndtri(u.clamp(1e-7, 1 - 1e-7))).float()

    def density(self, log_snr: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Probability density of lambda = log SNR = -2 log sigma."""
        z = (-log_snr / 2 - self.mean) / self.std
        return torch.exp(-z.square() / 2) / (2 * self.std * math.sqrt(2 * math.pi))

    def shifted(self, views: int, *, base_views: int = 1) -> NoiseDistribution:
        """The distribution of ``shift_for_views(sigma, views)``."""
        return NoiseDistribution(self.mean + 0.5 * math.log(views / base_views), self.std)
