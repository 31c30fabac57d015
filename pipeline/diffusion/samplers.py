"""Samplers: functions ``(denoiser, x, sigmas, *, generator, callback)`` that work with any denoiser.

They solve the probability flow ODE  dx/dsigma = (x - denoiser(x, sigma)) / sigma  (Karras et al. 2022, eq. 1)
from the first to the last of ``sigmas``. The step to sigma = 0, where the ODE's right side is 0/0, goes
straight to the denoiser's answer. ``callback`` is called as (step, steps, x0) after each step and may raise
to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from .objectives import Denoiser

SamplerName = Literal["euler", "heun", "rk4", "lms", "dpmpp_2m", "ancestral"]
SAMPLER_NAMES: tuple[SamplerName, ...] = get_args(SamplerName)
Callback = Callable[[int, int, Tensor], None]


class Sampler(Protocol):
    """What all samplers are."""

    def __call__(
        self,
        denoiser: Denoiser,
        x: Tensor,
        sigmas: Tensor,
        *,
        generator: torch.Generator | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """From noise of standard deviation ``sigmas[0]`` to a sample."""
        ...


def euler(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """First order, one evaluation a step; the same as DDIM (Song et al. 2021)."""
    for i in range(len(sigmas) - 1):
        x0 = denoiser(x, sigmas[i])
        x = x + (sigmas[i + 1] - sigmas[i]) * _slope(x, x0, sigmas[i])
        _report(callback, i, sigmas, x0)
    return x


def heun(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Second order, two evaluations a step (Karras et al. 2022, algorithm 1)."""
    for i in range(len(sigmas) - 1):
        h = sigmas[i + 1] - sigmas[i]
        x0 = denoiser(x, sigmas[i])
        slope = _slope(x, x0, sigmas[i])
        if sigmas[i + 1] > 0:
            ahead = x + h * slope
            slope = (slope + _slope(ahead, denoiser(ahead, sigmas[i + 1]), sigmas[i + 1])) / 2
        x = x + h * slope
        _report(callback, i, sigmas, x0)
    return x


def rk4(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """The classical Runge-Kutta method: fourth order, four evaluations a step."""
    for i in range(len(sigmas) - 1):
        x, x0, _ = _rk4_step(denoiser, x, sigmas[i], sigmas[i + 1])
        _report(callback, i, sigmas, x0)
    return x


def lms(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
    order: int = 3,
) -> Tensor:
    """Linear multistep (Adams-Bashforth on uneven steps), one evaluation a step.

    The first ``order - 1`` steps are Runge-Kutta steps: started with lower orders, as is usual, the method
    would keep the first step's error and be of second order only.

    Args:
        denoiser: (x, sigma) -> x0.
        x: noise of standard deviation ``sigmas[0]``.
        sigmas: decreasing.
        generator: not used.
        callback: see the module.
        order: slopes that each step looks at, 1 to 4.
    """
    slopes: list[Tensor] = []
    for i in range(len(sigmas) - 1):
        if len(slopes) < order - 1:
            x, x0, slope = _rk4_step(denoiser, x, sigmas[i], sigmas[i + 1])
            slopes.append(slope)
        else:
            x0 = denoiser(x, sigmas[i])
            slopes = [*slopes, _slope(x, x0, sigmas[i])][-order:]
            if sigmas[i + 1] > 0:
                weights = _adams_bashforth(sigmas[: i + 1], sigmas[i + 1], len(slopes))
                x = x + sum((w * s for w, s in zip(weights, slopes, strict=True)), start=torch.zeros_like(x))
            else:
                x = x0
        _report(callback, i, sigmas, x0)
    return x


def dpmpp_2m(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): second order in log sigma, one evaluation a step."""
    before: Tensor | None = None
    h_before = sigmas.new_zeros(())
    for i in range(len(sigmas) - 1):
        x0 = denoiser(x, sigmas[i])
        estimate = x0
        if sigmas[i + 1] > 0:
            h = (sigmas[i] / sigmas[i + 1]).log()
            if before is not None:
                r = h_before / h
                estimate = x0 + (x0 - before) / (2 * r)
            x = (sigmas[i + 1] / sigmas[i]) * x - torch.expm1(-h) * estimate
            h_before = h
        else:
            x = x0
        before = x0
        _report(callback, i, sigmas, x0)
    return x


def ancestral(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
    eta: float = 1.0,
) -> Tensor:
    """Euler steps to a lower level and fresh noise back up: DDPM's ancestral sampling (Ho et al. 2020) for eta = 1.

    Args:
        denoiser: (x, sigma) -> x0.
        x: noise of standard deviation ``sigmas[0]``.
        sigmas: decreasing.
        generator: of the fresh noise, on any device; needed unless eta is 0.
        callback: see the module.
        eta: share of the fresh noise; 0 is Euler.
    """
    for i in range(len(sigmas) - 1):
        now, then = sigmas[i], sigmas[i + 1]
        x0 = denoiser(x, now)
        up = torch.minimum(then, eta * (then.square() * (now.square() - then.square())).sqrt() / now)
        down = (then.square() - up.square()).sqrt()
        x = x + (down - now) * _slope(x, x0, now)
        if up > 0:
            device = generator.device if generator is not None else x.device
            noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=device)
            x = x + up * noise.to(x.device)
        _report(callback, i, sigmas, x0)
    return x


def sampler_by_name(name: SamplerName) -> Sampler:
    """The sampler of that name.

    Raises:
        ValueError: there is none.
    """
    match name:
        case "euler":
            return euler
        case "heun":
            return heun
        case "rk4":
            return rk4
        case "lms":
            return lms
        case "dpmpp_2m":
            return dpmpp_2m
        case "ancestral":
            return ancestral
    raise ValueError(f"unknown sampler {name!r}; there are {', '.join(SAMPLER_NAMES)}")


def _slope(x: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
    return (x - x0) / sigma


def _rk4_step(denoiser: Denoiser, x: Tensor, now: Tensor, then: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One classical Runge-Kutta step; also x0 and the slope at its start."""
    x0 = denoiser(x, now)
    k1 = _slope(x, x0, now)
    if then == 0:
        return x0, x0, k1
    h, middle = then - now, (now + then) / 2
    a = x + h / 2 * k1
    k2 = _slope(a, denoiser(a, middle), middle)
    b = x + h / 2 * k2
    k3 = _slope(b, denoiser(b, middle), middle)
    c = x + h * k3
    k4 = _slope(c, denoiser(c, then), then)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), x0, k1


def _adams_bashforth(past: Tensor, then: Tensor, count: int) -> list[float]:
    """Integrals from the last of ``past`` to ``then`` of the Lagrange polynomials on its last ``count`` values."""
    nodes = past[-count:].double()
    points = nodes.new_tensor([-(0.6**0.5), 0.0, 0.6**0.5])  # Gauss-Legendre, exact to degree 5
    quadrature = nodes.new_tensor([5 / 9, 8 / 9, 5 / 9])
    half = (then.double() - nodes[-1]) / 2
    t = nodes[-1] + half * (1 + points)
    weights = []
    for j in range(count):
        others = torch.cat([nodes[:j], nodes[j + 1 :]])
        basis = ((t[:, None] - others) / (nodes[j] - others)).prod(-1)
        weights.append(float(half * (quadrature * basis).sum()))
    return weights


def _report(callback: Callback | None, i: int, sigmas: Tensor, x0: Tensor) -> None:
    if callback is not None:
        callback(i + 1, len(sigmas) - 1, x0)
