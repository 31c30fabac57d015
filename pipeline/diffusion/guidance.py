"""Classifier-free guidance, per condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .conditions import ConditionName, Conditions, cat_conditions
from .objectives import Denoiser

ConditionalDenoiser = Callable[[Tensor, Tensor, Conditions], Tensor]
"""(x, sigma, conditions) -> x0."""


def guided(
    denoiser: ConditionalDenoiser,
    conditions: Conditions,
    scales: Mapping[ConditionName, float] | None = None,
    *,
    sigma_range: tuple[float, float] = (0.0, float("inf")),
) -> Denoiser:
    """A denoiser that pushes away from what it would say without a condition.

    x0 = D(all) + sum over conditions of scale * (D(all) - D(all but this one)). A scale of 0 is no guidance;
    Ho and Salimans (2022) with one condition, the sum over several follows Brooks et al. (2023,
    InstructPix2Pix). All the evaluations of a step run as one batch.

    Args:
        denoiser: the conditional denoiser. conditions: what is known. scales: strength per condition; missing
        means 0. sigma_range: noise levels at which to guide (Kynkäänniemi et al. 2024: guiding at the
        extremes costs diversity
            and time and helps nothing).
    """
    active: dict[ConditionName, float] = {name: s for name, s in (scales or {}).items() if s != 0}
    together = cat_conditions([conditions, *(conditions.without(name) for name in active)])

    def guided_denoiser(x: Tensor, sigma: Tensor) -> Tensor:
        if not active or not sigma_range[0] <= float(sigma.max()) <= sigma_range[1]:
            return denoiser(x, sigma, conditions)
        copies = 1 + len(active)
        sigmas = sigma.repeat(copies) if sigma.ndim else sigma
        full, *others = denoiser(torch.cat([x] * copies), sigmas, together).chunk(copies)
        return full + sum(
            (scale * (full - other) for scale, other in zip(active.values(), others, strict=True)),
            start=torch.zeros_like(full),
        )

    return guided_denoiser
