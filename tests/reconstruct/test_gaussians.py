import numpy as np
import torch

from cosmorama.reconstruct.gaussians import (
    Gaussians,
    cat_gaussians,
    gaussians_from_points,
    rotation_from_wxyz,
    wxyz_from_rotation,
)
from cosmorama.reconstruct.motion import Motion
from cosmorama.reconstruct.spherical_harmonics import eval_sh, rgb_from_sh, sh_basis, sh_from_rgb


def test_quaternion_and_rotation_are_inverse_even_at_half_turns():
    quats = torch.cat([torch.randn(100, 4), torch.eye(4), torch.tensor([[1e-4, 1.0, 1.0, 0.0]])])
    rotation = rotation_from_wxyz(quats)
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5)
    again = rotation_from_wxyz(wxyz_from_rotation(rotation))
    assert torch.allclose(again, rotation, atol=1e-5)


def test_wxyz_order():
    quarter_turn_about_z = torch.tensor([0.5**0.5, 0.0, 0.0, 0.5**0.5])
    turned = rotation_from_wxyz(quarter_turn_about_z) @ torch.tensor([1.0, 0.0, 0.0])
    assert torch.allclose(turned, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)


def test_covariance_has_the_scales_as_eigenvalues():
    g = Gaussians(
        torch.zeros(1, 3),
        torch.randn(1, 4),
        torch.tensor([[0.0, 0.5, 1.0]]),
        torch.zeros(1),
        torch.zeros(1, 1, 3),
    )
    eigenvalues = torch.linalg.eigvalsh(g.covariances[0])
    assert torch.allclose(eigenvalues.sqrt(), g.scales[0].sort().values, atol=1e-5)


def test_cat_pads_missing_harmonics_with_zeros():
    a = gaussians_from_points(torch.randn(3, 3), torch.rand(3, 3), torch.ones(3))
    b = gaussians_from_points(torch.randn(2, 3), torch.rand(2, 3), torch.ones(2), sh_degree=2)
    joined = cat_gaussians([a, b])
    assert joined.sh.shape == (5, 9, 3)
    assert torch.equal(joined.sh[:3, :1], a.sh)
    assert not joined.sh[:3, 1:].any()


def test_constant_harmonic_is_the_colour():
    rgb = torch.rand(5, 3)
    assert torch.allclose(rgb_from_sh(sh_from_rgb(rgb)), rgb, atol=1e-6)
    assert torch.allclose(eval_sh(sh_from_rgb(rgb)[:, None], torch.randn(5, 3)), rgb, atol=1e-6)


def test_harmonics_are_orthonormal_on_the_sphere():
    rng = np.random.default_rng(0)
    directions = torch.from_numpy(rng.normal(size=(400_000, 3)))
    directions = directions / directions.norm(dim=-1, keepdim=True)
    basis = sh_basis(directions, 3)
    gram = 4 * torch.pi * basis.T @ basis / len(basis)
    assert torch.allclose(gram, torch.eye(16, dtype=gram.dtype), atol=0.02)


def test_motion_interpolates_and_clamps():
    g = gaussians_from_points(torch.zeros(1, 3), torch.rand(1, 3), torch.ones(1))
    means = torch.tensor([[[0.0, 0, 0]], [[1.0, 0, 0]], [[1.0, 2.0, 0]]])
    quats = torch.tensor([1.0, 0, 0, 0]).expand(3, 1, 4)
    motion = Motion(torch.tensor([0.0, 0.25, 1.0]), means, quats, seconds=2.0)
    assert torch.allclose(motion.at(g, 0.125).means, torch.tensor([[0.5, 0.0, 0.0]]))
    assert torch.allclose(motion.at(g, 0.625).means, torch.tensor([[1.0, 1.0, 0.0]]))
    assert torch.equal(motion.at(g, -3.0).means, means[0])
    assert torch.equal(motion.at(g, 7.0).means, means[2])
