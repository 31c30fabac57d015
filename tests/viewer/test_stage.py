import math

import numpy as np
import pytest
import torch

from cosmorama.reconstruct.gaussians import gaussians_from_points, wxyz_from_rotation
from cosmorama.reconstruct.scene import Scene
from cosmorama.viewer.painter import letterboxed
from cosmorama.viewer.stage import camera_from_viser, fov_y_to_show, stage_scene


def test_the_first_camera_is_the_photo_s(scene):
    stage = stage_scene(scene)
    assert torch.equal(stage.home.world_from_cam[0], scene.views[0].world_from_cam)
    assert stage.pivot_distance == pytest.approx(3.5, abs=0.4)


def test_unknown_scale_brings_the_scene_near_and_metres_stay_metres(scene):
    tiny = gaussians_from_points(scene.gaussians.means * 1e-4, torch.rand(4000, 3), torch.full((4000,), 1e-6))
    stage = stage_scene(Scene(tiny))
    assert stage.scale * stage.pivot_distance == pytest.approx(3.0)
    assert stage.pivot_distance < 2e-3
    metric = Scene(scene.gaussians, metres_per_unit=0.5, views=scene.views)
    assert stage_scene(metric).scale == 0.5


def test_walking_takes_seconds_to_what_is_seen_first_and_nobody_outruns_a_runner(scene):
    stage = stage_scene(Scene(scene.gaussians, metres_per_unit=1.0, views=scene.views))
    assert 2 < stage.pivot_distance / stage.walking_speed < 6
    vast = type(scene.gaussians)(**{**scene.gaussians.tensors(), "means": scene.gaussians.means * 50})
    stage = stage_scene(Scene(vast, metres_per_unit=1.0, views=scene.views))
    assert stage.walking_speed * stage.scale == pytest.approx(5.0)


def test_a_scene_without_cameras_is_seen_from_outside_and_whole(make_gaussians):
    g = make_gaussians(2000)
    up = torch.tensor([0.0, 0.0, 1.0])
    home = stage_scene(Scene(g, up=up)).home
    pixels, depth = home.project(g.means[None])
    size = torch.tensor([home.width, home.height])
    seen = (depth > 0) & ((pixels >= 0) & (pixels <= size)).all(-1)
    assert seen.float().mean() > 0.97
    assert abs(float(home.world_from_cam[0, :3, 0] @ up)) < 1e-5  # level


def test_a_scene_of_nothing_has_a_stage():
    empty = gaussians_from_points(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0))
    stage = stage_scene(Scene(empty))
    assert math.isfinite(stage.scale)
    assert stage.home.world_from_cam.isfinite().all()


@pytest.mark.parametrize("aspect", [0.5, 4 / 3, 3.0])
def test_the_whole_photo_fits_into_any_window(make_camera, aspect):
    camera = make_camera()
    tan_y = math.tan(fov_y_to_show(camera, aspect) / 2)
    assert tan_y >= 240 / 500 - 1e-6
    assert tan_y * aspect >= 320 / 500 - 1e-6
    assert min(tan_y - 240 / 500, tan_y * aspect - 320 / 500) < 1e-6


def test_a_browser_s_camera_becomes_ours(make_camera):
    camera = make_camera()
    wxyz = wxyz_from_rotation(camera.world_from_cam[0, :3, :3]).numpy()
    fov = 2 * math.atan(240 / 500)
    ours = camera_from_viser(wxyz, np.array([2.0, 0, 0]), fov, 640, 480, scale=2.0)
    torch.testing.assert_close(ours.intrinsics, camera.intrinsics)
    torch.testing.assert_close(ours.positions[0], torch.tensor([1.0, 0, 0]))


def test_letterboxing_keeps_the_picture_in_the_middle():
    picture = np.full((10, 20, 3), 200, np.uint8)
    wide, tall = letterboxed(picture, 4.0), letterboxed(picture, 1.0)
    assert wide.shape == (10, 40, 3)
    assert tall.shape == (20, 20, 3)
    assert (wide[:, 10:30] == 200).all()
    assert not wide[:, :10].any()
    assert (tall[5:15] == 200).all()
    assert not tall[:5].any()
