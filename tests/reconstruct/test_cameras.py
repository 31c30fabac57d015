import math

import pytest
import torch

from cosmorama.reconstruct.cameras import (
    Cameras,
    cat_cameras,
    focal_px_from_fov,
    look_at,
    opencv_from_opengl,
    pinhole_intrinsics,
)
from cosmorama.reconstruct.gaussians import rotation_from_wxyz


def random_cameras(n: int = 3, width: int = 40, height: int = 30) -> Cameras:
    pose = torch.eye(4).repeat(n, 1, 1)
    pose[:, :3, :3] = rotation_from_wxyz(torch.randn(n, 4))
    pose[:, :3, 3] = torch.randn(n, 3)
    return Cameras(pose, pinhole_intrinsics(35.0, width, height).repeat(n, 1, 1), width, height)


def test_project_undoes_unproject():
    cameras = random_cameras()
    depth = torch.rand(3, 30, 40) + 0.5
    pixels, z = cameras.project(cameras.unproject(depth).reshape(3, -1, 3))
    assert torch.allclose(z.view_as(depth), depth, atol=1e-5)
    assert torch.allclose(pixels[0, 0], torch.tensor([0.5, 0.5]), atol=1e-3)  # centre of the top left pixel
    assert torch.allclose(pixels[0, 41], torch.tensor([1.5, 1.5]), atol=1e-3)


def test_depth_is_z_not_distance():
    camera = random_cameras(1)
    points = camera.unproject(torch.full((1, 30, 40), 2.0))
    along_axis = ((points - camera.positions[:, None, None]) * camera.forward[:, None, None]).sum(-1)
    assert torch.allclose(along_axis, torch.full_like(along_axis, 2.0), atol=1e-5)


def test_cam_from_world_is_the_inverse():
    cameras = random_cameras()
    assert torch.allclose(
        cameras.cam_from_world @ cameras.world_from_cam, torch.eye(4).expand(3, 4, 4), atol=1e-5
    )


def test_resized_keeps_the_view():
    camera = random_cameras(1)
    point = camera.unproject(torch.full((1, 30, 40), 3.0))[:, 7, 11][None]
    before, _ = camera.project(point)
    after, _ = camera.resized(80, 90).project(point)
    assert torch.allclose(after, before * torch.tensor([2.0, 3.0]), atol=1e-3)


def test_zoomed_moves_pixels_away_from_the_principal_point():
    camera = random_cameras(1)
    point = camera.unproject(torch.full((1, 30, 40), 3.0))[:, 7, 11][None]
    center = camera.intrinsics[0, :2, 2]
    before, _ = camera.project(point)
    after, _ = camera.zoomed(1.5).project(point)
    assert torch.allclose(after - center, 1.5 * (before - center), atol=1e-3)


def test_look_at_of_a_photo_camera_is_the_identity():
    pose = look_at(torch.zeros(3), torch.tensor([0.0, 0.0, 5.0]))
    assert torch.allclose(pose, torch.eye(4), atol=1e-6)


def test_look_at_keeps_up_up():
    pose = look_at(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.3, 2.0]))
    assert pose[1, 1] > 0.9  # the camera's y axis points down, as the world's does
    assert math.isclose(torch.linalg.det(pose[:3, :3]).item(), 1.0, abs_tol=1e-5)


def test_opengl_flip_is_its_own_inverse():
    pose = random_cameras(1).world_from_cam
    assert torch.equal(opencv_from_opengl(opencv_from_opengl(pose)), pose)
    assert torch.equal(opencv_from_opengl(torch.eye(4)).diagonal(), torch.tensor([1.0, -1.0, -1.0, 1.0]))


def test_fov_and_focal_agree():
    camera = Cameras(
        torch.eye(4)[None], pinhole_intrinsics(focal_px_from_fov(60, 640), 640, 480)[None], 640, 480
    )
    assert math.isclose(camera.fov_x_deg.item(), 60.0, rel_tol=1e-5)


def test_cameras_of_different_sizes_are_not_joined():
    with pytest.raises(ValueError, match="different image sizes"):
        cat_cameras([random_cameras(1), random_cameras(1, width=41)])
