"""Training losses on canonical log-depth.

Everything is on log-depth, where a metre matters as much at one metre as ten do at ten. Scale-invariant part: Eigen
et al. 2014, with the median in place of the mean; multi-scale gradients: Li & Snavely, MegaDepth, 2018, eq. 5;
Laplace likelihood: Kendall & Gal 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from .head import HeadOutput

SKY_LOG_DEPTH = math.log(40.0)
"""Canonical; the least that sky may get."""
WITHIN, WITHIN_SOFTNESS = math.log(1.25), 0.06
"""Where delta1 draws its line, and how far around it an error still counts as partly on the other side."""
AROUND = 0.03
"""Share of the pixels on either side of a median whose mean stands for it: a single one has a rough gradient."""
LARGEST_ERROR = 1.2
"""Of log-depth; what is further off counts no more in the relative error, or a few pixels would rule it."""


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts."""

    shape: float = 1.0
    """Log-depth up to a constant per image."""
    scale: float = 0.5
    """Log-depth as it is."""
    gradient: float = 1.0
    """Differences between neighbours, at four scales."""
    likelihood: float = 0.1
    """Of the confidence; does not touch depth."""
    far: float = 0.2
    """Sky against not sky."""
    relative: float = 0.0
    """What AbsRel measures once the medians are the same: the error as a share of the true depth, which counts too
    far for more than too near."""
    within: float = 0.0
    """What delta1 measures, made smooth: the share of pixels further than a quarter from the truth."""
    whole: float = 0.0
    """Of each thing, log-depth up to a constant: things do not lean back into what is behind them. A thing
    counts as the square root of its area."""
    sky_depth: float = 0.1
    """How much nearer than ``SKY_LOG_DEPTH`` the sky is put: white walls are told from it by being near."""


FINISHING = LossWeights(scale=0.8, far=0.4, relative=2.0, within=2.0, whole=8.0)
"""For a last run, from a trained head."""


def depth_loss(
    output: HeadOutput,
    log_depth: Float[Tensor, "b h w"],
    valid: Bool[Tensor, "b h w"],
    far: Bool[Tensor, "b h w"],
    weights: LossWeights = LossWeights(),
    *,
    instances: Int[Tensor, "b h w"] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum and its parts.

    Args:
        output: of the head.
        log_depth: truth, canonical; anything finite where not valid.
        valid: where the truth is known and not far.
        far: where the truth is sky; pixels neither valid nor far count for nothing.
        weights: of the parts.
        instances: which thing is where, from 1; 0 and None where unknown.
    """
    residual = output.log_depth - log_depth
    count = valid.sum().clamp_min(1)
    centred = residual - _masked_median(residual.detach(), valid)[:, None, None]
    scaled = residual - medians_apart(output.log_depth, log_depth, valid)[:, None, None]
    log_scale = output.log_scale
    parts = {
        "shape": (centred.abs() * valid).sum() / count,
        "scale": (residual.abs() * valid).sum() / count,
        "gradient": gradient_loss(residual, valid),
        "likelihood": ((residual.detach().abs() * (-log_scale).exp() + log_scale) * valid).sum() / count,
        "relative": (scaled.clamp(max=LARGEST_ERROR).expm1().abs() * valid).sum() / count,
        "within": (((scaled.abs() - WITHIN) / WITHIN_SOFTNESS).sigmoid() * valid).sum() / count,
        "whole": instance_loss(residual, valid, instances),
        "far": _far_loss(output.far_logit, valid, far),
        "sky_depth": ((SKY_LOG_DEPTH - output.log_depth).clamp_min(0) * far).sum()
        / (valid | far).sum().clamp_min(1),
    }
    total = sum((getattr(weights, name) * value for name, value in parts.items()), residual.new_zeros(()))
    return total, parts


def medians_apart(
    predicted: Float[Tensor, "b h w"], true: Float[Tensor, "b h w"], valid: Bool[Tensor, "b h w"]
) -> Float[Tensor, "b"]:
    """Median of the prediction above that of the truth, where valid; 0 where nothing is.

    What median scaling takes away. It is not the median of the differences, and unlike that it moves what the median
    falls on; its gradient goes to the pixels around it.
    """
    p, t = (
        torch.where(valid, values, torch.inf).flatten(1).sort(dim=1).values for values in (predicted, true)
    )
    count = valid.flatten(1).sum(1, keepdim=True)
    rank = torch.arange(p.shape[1], device=p.device)
    around = (rank >= ((0.5 - AROUND) * count).long()) & (rank <= ((0.5 + AROUND) * count).long())
    around &= rank < count
    middle = torch.where(around, p, 0.0).sum(1) / around.sum(1).clamp_min(1)
    median = t.gather(1, (count - 1).clamp_min(0) // 2)[:, 0]
    return torch.where(count[:, 0] > 0, middle - median, 0.0)


def gradient_loss(
    residual: Float[Tensor, "b h w"], valid: Bool[Tensor, "b h w"], *, scales: int = 4
) -> Float[Tensor, ""]:
    """Mean absolute difference of neighbouring residuals, summed over ``scales`` strides 1, 2, 4, ..."""
    total = residual.new_zeros(())
    for level in range(scales):
        step = 2**level
        r, v = residual[:, ::step, ::step], valid[:, ::step, ::step]
        for dim in (1, 2):
            size = r.shape[dim] - 1
            both = v.narrow(dim, 0, size) & v.narrow(dim, 1, size)
            total = total + (r.diff(dim=dim).abs() * both).sum() / both.sum().clamp_min(1)
    return total


def instance_loss(
    residual: Float[Tensor, "b h w"], valid: Bool[Tensor, "b h w"], instances: Int[Tensor, "b h w"] | None
) -> Float[Tensor, ""]:
    """Mean absolute deviation of the residual from its mean over each thing; 0 where no thing is known."""
    known = valid if instances is None else valid & (instances > 0)
    if instances is None or not known.any():
        return residual.sum() * 0
    first = torch.arange(len(instances), device=instances.device)[:, None, None] * (instances.max() + 1)
    _, thing, area = torch.unique((first + instances)[known], return_inverse=True, return_counts=True)
    values = residual[known]
    mean = values.new_zeros(len(area)).index_add(0, thing, values) / area
    deviation = values.new_zeros(len(area)).index_add(0, thing, (values - mean[thing]).abs()) / area
    return (deviation * area.sqrt()).sum() / area.sqrt().sum()


def _masked_median(values: Float[Tensor, "b h w"], valid: Bool[Tensor, "b h w"]) -> Float[Tensor, "b"]:
    """Median of the valid values per image; 0 where there are none."""
    masked = torch.where(valid, values, torch.nan)[:, ::2, ::2].flatten(1)
    return masked.nanmedian(dim=1).values.nan_to_num(0.0)


def _far_loss(logit: Tensor, valid: Tensor, far: Tensor) -> Tensor:
    known = valid | far
    loss = F.binary_cross_entropy_with_logits(logit, far.to(logit.dtype), reduction="none")
    return (loss * known).sum() / known.sum().clamp_min(1)
