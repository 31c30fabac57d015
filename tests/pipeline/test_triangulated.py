import math

import pytest
import torch

from cosmorama.pipeline.depth import FAR_DEPTH_M
from cosmorama.pipeline.depth.triangulated import bring_to_points, scale_to_points


@pytest.fixture
def bent():
    """True depth of a wall with a thing before it, and an estimate that is off by a factor that drifts."""
    true = torch.full((90, 120), 4.0)
    true[30:60, 40:70] = 2.0
    x = torch.linspace(-1, 1, 120)
    factor = (0.2 * x).exp()[None].expand(90, 120) * torch.where(true < 3, 1.15, 1.0)
    return true, true * factor


def points(true, count=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 2, generator=generator) * torch.tensor([120.0, 90.0])
    return pixels, true[pixels[:, 1].long(), pixels[:, 0].long()]


def error(depth, true):
    return float((depth.log() - true.log()).abs().mean())


def test_depth_follows_the_points(bent):
    true, estimate = bent
    pixels, z = points(true)
    depth = bring_to_points(estimate, pixels, z, torch.full_like(z, 0.01))
    assert error(depth, true) < 0.25 * error(estimate, true)
    edge = depth[45, 35:45]
    assert edge.max() / edge.min() > 1.8  # no ramp from the thing to the wall
    finer = bring_to_points(
        depth, *points(true, 4000, 1), torch.full((4000,), 0.01), cells=48, doubtful=False
    )
    assert error(finer, true) < error(depth, true)


def test_mistaken_points_do_no_harm(bent):
    true, estimate = bent
    pixels, z = points(true)
    mistaken = z.clone()
    mistaken[::10] *= 3
    good = bring_to_points(estimate, pixels, z, torch.full_like(z, 0.01))
    depth = bring_to_points(estimate, pixels, mistaken, torch.full_like(z, 0.01))
    assert error(depth, true) < error(good, true) + 0.01


def test_uncertain_points_only_tell_the_scale(bent):
    true, estimate = bent
    pixels, z = points(true)
    depth = bring_to_points(estimate, pixels, 3 * z, torch.full_like(z, 10.0))
    factor = (depth / estimate).log()
    assert float(factor.std()) < 0.01
    assert float(factor.mean()) == pytest.approx(math.log(3), abs=0.1)


def test_the_sky_stays(bent):
    true, estimate = bent
    estimate = estimate.clone()
    estimate[:20] = FAR_DEPTH_M
    pixels, z = points(true)
    depth = bring_to_points(estimate, pixels, 2 * z, torch.full_like(z, 0.01))
    assert (depth[:20] == FAR_DEPTH_M).all()
    assert (depth[20:] < 12).all()


def test_points_on_what_is_taken_for_sky_tell_nothing(bent):
    true, estimate = bent
    pixels, z = points(true)
    sky = estimate.clone()
    sky[:60] = FAR_DEPTH_M  # most of the points
    on_ground = pixels[:, 1] > 60
    assert scale_to_points(sky, pixels, 5 * z) == pytest.approx(
        scale_to_points(estimate, pixels[on_ground], 5 * z[on_ground])
    )
    depth = bring_to_points(sky, pixels, z, torch.full_like(z, 0.01))
    assert error(depth[61:], true[61:]) < 0.5 * error(estimate[61:], true[61:])


def test_scale(bent):
    true, estimate = bent
    pixels, z = points(true)
    assert scale_to_points(estimate, pixels, 5 * z) == pytest.approx(5.0, rel=0.1)
    assert scale_to_points(estimate, pixels[:3], z[:3]) is None
    behind = scale_to_points(estimate, pixels, -z)
    assert behind is None
    assert torch.equal(bring_to_points(estimate, pixels, -z, torch.ones_like(z)), estimate)
