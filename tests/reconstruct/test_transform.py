import pytest
import torch

from cosmorama.reconstruct.gaussians import Gaussians, rotation_from_wxyz
from cosmorama.reconstruct.motion import Motion
from cosmorama.reconstruct.spherical_harmonics import eval_sh
from cosmorama.reconstruct.transform import (
    rotate_quats,
    rotate_sh,
    rotation_between,
    transform_gaussians,
    transform_motion,
)


def random_rotation() -> torch.Tensor:
    return rotation_from_wxyz(torch.randn(4, dtype=torch.float64))


def random_splats(n: int = 50) -> Gaussians:
    return Gaussians(
        torch.randn(n, 3), torch.randn(n, 4), torch.randn(n, 3), torch.randn(n), torch.randn(n, 16, 3) * 0.3
    )


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_turned_harmonics_look_from_the_turned_direction_as_before(degree):
    sh, directions = torch.randn(40, (degree + 1) ** 2, 3), torch.randn(40, 3)
    rotation = random_rotation()
    turned = eval_sh(rotate_sh(sh, rotation), directions @ rotation.float().T)
    torch.testing.assert_close(turned, eval_sh(sh, directions), atol=2e-6, rtol=1e-5)


def test_rotations_of_harmonics_compose():
    sh = torch.randn(5, 16, 3, dtype=torch.float64)
    a, b = random_rotation(), random_rotation()
    torch.testing.assert_close(rotate_sh(rotate_sh(sh, a), b), rotate_sh(sh, b @ a))


def test_turned_quaternions_are_rotations_one_after_the_other():
    quats, rotation = torch.randn(20, 4, dtype=torch.float64), random_rotation()
    expected = rotation @ rotation_from_wxyz(quats)
    torch.testing.assert_close(rotation_from_wxyz(rotate_quats(quats, rotation)), expected)


def test_covariances_follow_the_similarity():
    splats, rotation, shift = random_splats(), random_rotation(), torch.tensor([1.0, -2.0, 0.5])
    moved = transform_gaussians(splats, rotation, shift, 2.5)
    r = rotation.float()
    torch.testing.assert_close(moved.means, 2.5 * splats.means @ r.T + shift)
    torch.testing.assert_close(moved.covariances, 6.25 * r @ splats.covariances @ r.T, rtol=1e-4, atol=1e-4)


def test_going_there_and_back_changes_nothing():
    splats, rotation = random_splats(), random_rotation()
    back = transform_gaussians(transform_gaussians(splats, rotation, scale=3.0), rotation.T, scale=1 / 3.0)
    torch.testing.assert_close(back.means, splats.means)
    torch.testing.assert_close(back.sh, splats.sh, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(rotation_from_wxyz(back.quats), rotation_from_wxyz(splats.quats))


def test_motion_is_moved_as_the_splats_are():
    splats, rotation, shift = random_splats(), random_rotation(), torch.randn(3)
    motion = Motion(
        torch.tensor([0.0, 1.0]),
        torch.stack([splats.means, splats.means + 1]),
        torch.stack([splats.quats, splats.quats * 2]),
        1.0,
    )
    moved = transform_motion(motion, rotation, shift, 2.0)
    expected = transform_gaussians(motion.at(splats, 1.0), rotation, shift, 2.0)
    torch.testing.assert_close(moved.at(splats, 1.0).means, expected.means)
    found = rotation_from_wxyz(moved.at(splats, 1.0).quats)
    torch.testing.assert_close(found, rotation_from_wxyz(expected.quats))


@pytest.mark.parametrize("source", [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.6, -0.8, 0.0]])
@pytest.mark.parametrize("target", [[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.6, -0.8, 0.0], [0.0, 0.0, 1.0]])
def test_rotation_between_directions(source, target):
    a, b = torch.tensor(source), torch.tensor(target)
    rotation = rotation_between(a, b)
    torch.testing.assert_close((rotation @ a.double()).float(), b, atol=1e-6, rtol=0)
    assert torch.linalg.det(rotation) == pytest.approx(1)
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    "matrix", [torch.diag(torch.tensor([1.0, 1.0, -1.0])), 2 * torch.eye(3), torch.eye(3) + 0.1]
)
def test_what_is_no_rotation_is_refused(matrix):
    with pytest.raises(ValueError, match="not a proper rotation"):
        transform_gaussians(random_splats(2), matrix)


def test_scale_must_be_positive():
    with pytest.raises(ValueError, match="scale"):
        transform_gaussians(random_splats(2), scale=0.0)
