from dataclasses import replace

import numpy as np
import pytest
import torch

from cosmorama.reconstruct.spherical_harmonics import eval_sh
from cosmorama.viewer.packing import BLUR_PX2, pack_splats


def unpack(buffer):
    centres = buffer[:, :3].view(np.float32)
    triangle = buffer[:, 4:7].view(np.float16).astype(np.float32)
    covariance = triangle[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
    return torch.tensor(centres), torch.tensor(covariance), torch.tensor(buffer[:, 7:8].view(np.uint8)) / 255


def test_large_splats_are_packed_as_they_are_in_display_units(make_gaussians):
    g = replace(make_gaussians(50), opacity_logits=torch.full((50,), 3.0))
    g = replace(g, log_scales=g.log_scales + 1.0)
    position = torch.tensor([0.1, -0.2, 0.3])
    centres, covariance, rgba = unpack(pack_splats(g, position, 500.0, scale=2.5))
    torch.testing.assert_close(centres, g.means * 2.5)
    torch.testing.assert_close(covariance, g.covariances * 2.5**2, rtol=2e-3, atol=1e-5)
    expected = eval_sh(g.sh, g.means - position).clamp(0, 1)
    assert (rgba[:, :3] - expected).abs().max() < 0.6 / 255
    assert (rgba[:, 3] - g.opacities).abs().max() < 0.6 / 255


def test_colours_follow_the_position_and_not_only_the_constant(make_gaussians):
    g = make_gaussians(50)
    left = unpack(pack_splats(g, torch.tensor([-5.0, 0, 3]), 500.0))[2]
    right = unpack(pack_splats(g, torch.tensor([5.0, 0, 3]), 500.0))[2]
    assert (left - right)[:, :3].abs().mean() > 0.05


def test_every_small_solid_splat_passes_viser_s_bound_and_keeps_its_mass(make_gaussians):
    g = replace(make_gaussians(400), log_scales=torch.full((400, 3), -7.0))
    g = replace(g, opacity_logits=torch.linspace(0.0, 5.0, 400))
    focal = 300.0
    _, covariance, rgba = unpack(pack_splats(g, torch.zeros(3), focal))
    z = g.means.norm(dim=-1)
    variance = covariance[:, 0, 0] * focal**2 / z**2 + BLUR_PX2  # round splats: all axes are alike
    assert (rgba[:, 3] * variance**2 > 0.25).all()
    before = g.opacities * BLUR_PX2
    torch.testing.assert_close(rgba[:, 3] * variance, before, rtol=0.03, atol=0.01)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_every_degree_agrees_with_the_reference(make_gaussians, degree):
    g = replace(make_gaussians(60, sh_degree=degree), opacity_logits=torch.full((60,), 9.0))
    position = torch.tensor([0.5, 0.2, -1.0])
    rgba = unpack(pack_splats(g, position, 500.0))[2]
    assert (rgba[:, :3] - eval_sh(g.sh, g.means - position).clamp(0, 1)).abs().max() < 0.6 / 255


def test_nothing_is_packed_as_nothing(make_gaussians):
    assert pack_splats(make_gaussians(5)[:0], torch.zeros(3), 400.0).shape == (0, 8)
