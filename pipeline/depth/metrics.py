"""How good a depth map is: AbsRel, RMSE, delta1 (Eigen et al. 2014), correlation and sharpness of its boundaries.

Boundaries follow Bochkovskii et al., Depth Pro, 2024, sec. 3.3: two neighbouring pixels are a boundary where the ratio
of their depths exceeds a threshold, which does not depend on scale; here with a tolerance of a few pixels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import fmean

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

THRESHOLDS = (1.05, 1.1, 1.15, 1.2, 1.25)


@dataclass(frozen=True)
class DepthMetrics:
    """Of one image, or means over images."""

    absrel: float
    """mean |d - d*| / d*."""
    delta1: float
    """Share of pixels with max(d/d*, d*/d) < 1.25."""
    rmse: float
    """Metres."""
    log_rmse: float
    boundary_f1: float
    """0 to 1; mean over depth ratios 1.05 to 1.25, weighted by the ratio."""
    inverse_correlation: float
    """Pearson's, of inverse depths; 0 where one of them is constant."""


def depth_metrics(
    predicted: Float[Tensor, "h w"],
    true: Float[Tensor, "h w"],
    valid: Bool[Tensor, "h w"],
    *,
    median_scaling: bool = False,
    tolerance_px: int = 2,
) -> DepthMetrics:
    """Compare two depth maps where ``valid``.

    Raises:
        ValueError: no valid pixels.
    """
    if not valid.any():
        raise ValueError("no pixel has a true depth")
    if median_scaling:
        predicted = predicted * (true[valid].median() / predicted[valid].median())
    d, t = predicted[valid].double(), true[valid].double()
    ratio = torch.maximum(d / t, t / d)
    return DepthMetrics(
        absrel=((d - t).abs() / t).mean().item(),
        delta1=(ratio < 1.25).double().mean().item(),
        rmse=(d - t).square().mean().sqrt().item(),
        log_rmse=(d.log() - t.log()).square().mean().sqrt().item(),
        boundary_f1=boundary_f1(predicted, true, valid, tolerance_px=tolerance_px),
        inverse_correlation=_correlation(1 / d, 1 / t),
    )


def _correlation(a: Float[Tensor, "n"], b: Float[Tensor, "n"]) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = a.norm() * b.norm()
    return (a @ b / size).item() if size > 1e-12 else 0.0


def boundary_f1(
    predicted: Float[Tensor, "h w"],
    true: Float[Tensor, "h w"],
    valid: Bool[Tensor, "h w"],
    *,
    tolerance_px: int = 2,
) -> float:
    """F1 score of depth boundaries, weighted mean over ``THRESHOLDS``; 1 where neither has any."""
    scores = []
    for threshold in THRESHOLDS:
        found, there = boundaries(predicted, valid, threshold), boundaries(true, valid, threshold)
        precision = _share(found & _dilated(there, tolerance_px), found)
        recall = _share(there & _dilated(found, tolerance_px), there)
        scores.append(2 * precision * recall / max(precision + recall, 1e-12))
    return sum(s * t for s, t in zip(scores, THRESHOLDS, strict=True)) / sum(THRESHOLDS)


def boundaries(
    depth: Float[Tensor, "h w"], valid: Bool[Tensor, "h w"], threshold: float
) -> Bool[Tensor, "h w"]:
    """The nearer pixel of every valid pair of neighbours whose depths differ by more than the ratio."""
    log_depth = torch.where(valid, depth, 1.0).log()
    limit = torch.log(torch.tensor(threshold)).item()
    mask = torch.zeros_like(valid)
    for dim in (0, 1):
        size = depth.shape[dim] - 1
        both = valid.narrow(dim, 0, size) & valid.narrow(dim, 1, size)
        step = log_depth.diff(dim=dim)
        mask.narrow(dim, 0, size).logical_or_(both & (step > limit))
        mask.narrow(dim, 1, size).logical_or_(both & (step < -limit))
    return mask


def mean_metrics(metrics: list[DepthMetrics]) -> DepthMetrics:
    """Mean over images."""
    rows = [asdict(m) for m in metrics]
    return DepthMetrics(**{name: fmean(row[name] for row in rows) for name in rows[0]})


def _dilated(mask: Tensor, radius: int) -> Tensor:
    return F.max_pool2d(mask[None, None].float(), 2 * radius + 1, 1, radius)[0, 0] > 0


def _share(part: Tensor, whole: Tensor) -> float:
    total = int(whole.sum())
    return int(part.sum()) / total if total else 1.0
