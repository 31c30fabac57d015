"""Setting what needs no gradient descent: the whitening of the features and the linear part of the answer.

Features of a transformer are badly conditioned, so gradient descent takes thousands of steps to find what a linear
probe finds in closed form. Ridge regression gives each token's log-depth against its frame's median (shape) and the
median itself from the mean token (scale); the convolutions then only learn the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .features import Batch
from .head import OUTPUT_PER_TOKEN, DepthHead

SHRINKAGE = 0.05
"""Share of the mean variance added to every direction before whitening."""
MIN_TOKENS = 8
"""Frames with fewer known tokens are left out."""
SHAPE_RIDGE, SCALE_RIDGE = 0.01, 0.3
"""Penalties in units of the mean variance of a regressor."""


@torch.no_grad()
def initialise_head(head: DepthHead, batches: Sequence[Callable[[], Batch]]) -> None:
    """Set the whitening and the probes of ``head`` from some batches, in place.

    Args:
        head: fresh; on the CPU.
        batches: functions that read one each; a few thousand frames are enough.
    """
    _set_whitening(head, batches)
    width = head.shape_probe.in_features
    gram, moment = torch.zeros(width, width), torch.zeros(width)
    pooled, medians = [], []
    count = 0
    for read in batches:
        batch = read()
        tokens = torch.cat(head.whitened(batch.features), dim=-1)
        log_depth, known = _per_token(batch)
        for frame, depth, use in zip(tokens, log_depth, known, strict=True):
            if int(use.sum()) < MIN_TOKENS:
                continue
            median = depth[use].median()
            x = frame[use] - frame.mean(dim=(0, 1))
            gram.addmm_(x.T, x)
            moment.addmv_(x.T, depth[use] - median)
            count += len(x)
            pooled.append(frame.mean(dim=(0, 1)))
            medians.append(median)
    shape = _ridge(gram / count, moment / count, SHAPE_RIDGE)
    p, m = torch.stack(pooled), torch.stack(medians)
    centred = p - p.mean(0)
    scale = _ridge(centred.T @ centred / len(p), centred.T @ (m - m.mean()) / len(p), SCALE_RIDGE)
    # The shape probe acts on tokens as they are: what it says of the mean token is taken out of the scale probe.
    head.shape_probe.weight.copy_(shape[None])
    head.scale_probe.weight.copy_((scale - shape)[None])
    head.shape_probe.bias.zero_()
    head.scale_probe.bias.copy_((m.mean() - p.mean(0) @ scale)[None])
    head.steady.weight.copy_(scale[None])
    head.steady.bias.copy_(head.scale_probe.bias)


def _set_whitening(head: DepthHead, batches: Sequence[Callable[[], Batch]]) -> None:
    mean, covariance = head.get_buffer("feature_mean"), head.get_buffer("whitening")
    layers, width = mean.shape
    total, square = torch.zeros(layers, width), torch.zeros(layers, width, width)
    count = 0
    for read in batches:
        stacked = torch.stack(read().features).reshape(layers, -1, width)
        count += stacked.shape[1]
        total += stacked.sum(1)
        square.baddbmm_(stacked.transpose(1, 2), stacked)
    mean.copy_(total / count)
    for i in range(layers):
        values, vectors = torch.linalg.eigh((square[i] / count - torch.outer(mean[i], mean[i])).double())
        scale = (values.clamp_min(0) + SHRINKAGE * values.mean()).rsqrt()
        covariance[i] = ((vectors * scale) @ vectors.T).float()  # symmetric: the channels keep their meaning


def _per_token(batch: Batch) -> tuple[Float[Tensor, "b hp wp"], Tensor]:
    """Mean log-depth of every token and whether at least half of it is known."""
    weight = F.avg_pool2d(batch.valid[:, None].float(), OUTPUT_PER_TOKEN)[:, 0]
    total = F.avg_pool2d((batch.log_depth * batch.valid)[:, None], OUTPUT_PER_TOKEN)[:, 0]
    return total / weight.clamp_min(1e-6), weight > 0.5


def _ridge(gram: Tensor, moment: Tensor, penalty: float) -> Tensor:
    damped = gram.double() + penalty * gram.diagonal().mean().double() * torch.eye(
        len(gram), dtype=torch.double
    )
    return torch.linalg.solve(damped, moment.double()).float()
