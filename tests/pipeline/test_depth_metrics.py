"""Metrics against slow loops, and the laws they obey."""

import math

import numpy as np
import pytest
import torch

from cosmorama.pipeline.depth.metrics import THRESHOLDS, boundaries, boundary_f1, depth_metrics


def _maps(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    true = torch.rand(9, 13, generator=generator) * 4 + 0.5
    predicted = true * (0.4 * torch.randn(9, 13, generator=generator)).exp()
    return predicted, true, torch.rand(9, 13, generator=generator) > 0.3


def test_against_loops() -> None:
    predicted, true, valid = _maps(0)
    n, absrel, close, square = 0, 0.0, 0, 0.0
    for y in range(9):
        for x in range(13):
            if valid[y, x]:
                d, t = predicted[y, x].item(), true[y, x].item()
                n += 1
                absrel += abs(d - t) / t
                close += max(d / t, t / d) < 1.25
                square += (d - t) ** 2
    found = depth_metrics(predicted, true, valid)
    assert found.absrel == pytest.approx(absrel / n, rel=1e-6)
    assert found.delta1 == pytest.approx(close / n, rel=1e-6)
    assert found.rmse == pytest.approx(math.sqrt(square / n), rel=1e-6)


def test_median_scaling_forgets_scale_and_nothing_else() -> None:
    predicted, true, valid = _maps(1)
    one = depth_metrics(predicted, true, valid, median_scaling=True)
    other = depth_metrics(predicted * 7.3, true, valid, median_scaling=True)
    assert one.absrel == pytest.approx(other.absrel, rel=1e-5)
    assert depth_metrics(predicted * 7.3, true, valid).absrel > 2 * one.absrel


def test_perfect_is_perfect() -> None:
    _, true, valid = _maps(2)
    perfect = depth_metrics(true, true, valid)
    assert (perfect.absrel, perfect.delta1, perfect.rmse, perfect.boundary_f1) == (0, 1, 0, pytest.approx(1))


def test_correlation_of_inverse_depth_forgets_affine_maps_of_it() -> None:
    predicted, true, valid = _maps(4)
    a, b = (1 / predicted[valid]).numpy(), (1 / true[valid]).numpy()
    found = depth_metrics(predicted, true, valid).inverse_correlation
    assert found == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-6)
    affine = 1 / (0.3 / true + 0.1)
    assert depth_metrics(affine, true, valid).inverse_correlation == pytest.approx(1, abs=1e-5)
    assert depth_metrics(torch.full_like(true, 2.0), true, valid).inverse_correlation == 0


def test_boundaries_against_loop() -> None:
    _, depth, valid = _maps(3)
    for threshold in THRESHOLDS:
        expected = torch.zeros_like(valid)
        for y in range(9):
            for x in range(13):
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                    v, u = y + dy, x + dx
                    if 0 <= v < 9 and 0 <= u < 13 and valid[y, x] and valid[v, u]:
                        expected[y, x] |= bool(depth[v, u] / depth[y, x] > threshold)
        assert torch.equal(boundaries(depth, valid, threshold), expected)


def test_a_blurred_step_is_no_boundary() -> None:
    depth = torch.full((20, 40), 2.0)
    depth[:, 20:] = 4.0
    valid = torch.ones_like(depth, dtype=torch.bool)
    ramp = torch.cat(
        [torch.full((20, 10), 2.0), torch.linspace(2, 4, 20).expand(20, 20), torch.full((20, 10), 4.0)], 1
    )
    assert boundary_f1(depth.roll(1, 1).clamp(2, 4), depth, valid) > 0.6
    assert boundary_f1(ramp, depth, valid) < 0.4
    assert boundary_f1(torch.full_like(depth, 3.0), depth, valid) == 0


def test_no_truth_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pixel"):
        depth_metrics(torch.ones(3, 3), torch.ones(3, 3), torch.zeros(3, 3, dtype=torch.bool))
