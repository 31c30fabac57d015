from types import SimpleNamespace
from typing import get_args

import pytest
import torch

from cosmorama.pipeline.make import plan_cameras
from cosmorama.pipeline.presets import named_preset
from cosmorama.pipeline.trajectories import Reach, TrajectoryName, check_trajectory, plan_trajectory, reach_of
from cosmorama.reconstruct.cameras import Cameras, look_at, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.transforms_json import images_from_cameras, write_transforms

HOME = Cameras(torch.eye(4)[None], pinhole_intrinsics(50.0, 64, 48)[None], 64, 48)
REACH = Reach(near=1.0, focus=2.0)


@pytest.mark.parametrize("name", get_args(TrajectoryName))
def test_paths_start_at_home_are_smooth_loops_and_stay_rigid(name):
    path = plan_trajectory(name, HOME, REACH, 60)
    assert torch.allclose(path.world_from_cam[0], torch.eye(4), atol=1e-5)
    rotation = path.world_from_cam[:, :3, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5)
    steps = (path.world_from_cam - path.world_from_cam.roll(1, 0)).flatten(1).norm(dim=1)
    assert steps.max() < 0.1
    assert steps.sum() > 0.3  # it goes somewhere


@pytest.mark.parametrize("name", get_args(TrajectoryName))
def test_paths_scale_with_the_scene_and_follow_the_home_camera(name):
    path = plan_trajectory(name, HOME, REACH, 12)
    twice = plan_trajectory(name, HOME, Reach(2.0, 4.0), 12)
    assert torch.allclose(twice.positions, 2 * path.positions, atol=1e-5)
    pose = look_at(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 2.0, 5.0]))
    moved = plan_trajectory(name, Cameras(pose[None], HOME.intrinsics, 64, 48), REACH, 12)
    assert torch.allclose(moved.world_from_cam, pose @ path.world_from_cam, atol=1e-5)


def test_nothing_is_run_into():
    for name in get_args(TrajectoryName):
        assert plan_trajectory(name, HOME, REACH, 60).positions[:, 2].max() < 0.6 * REACH.near


@pytest.mark.parametrize("views", [6, 12, 24])
@pytest.mark.parametrize("name", get_args(TrajectoryName))
def test_once_along_a_path_no_two_cameras_see_the_same(name, views):
    path = plan_trajectory(name, HOME, REACH, views + 1, once=True)
    assert torch.isclose(path.world_from_cam, torch.eye(4), atol=1e-5).all(-1).all(-1).any()
    seen = torch.cat([path.positions / REACH.step, path.forward], dim=-1)
    assert torch.pdist(seen).min() > 0.35 / views


@pytest.mark.parametrize("name", ["dolly", "pan"])
def test_views_are_generated_once_along_a_line_and_the_clip_comes_back(name):
    preset = named_preset("draft")
    clip, views = plan_cameras(SimpleNamespace(camera=HOME), REACH, name, preset)
    seen, loop = (torch.cat([cameras.positions, cameras.forward], dim=-1) for cameras in (views, clip))
    assert len(views) == preset.views
    assert torch.pdist(seen).min() > 0.05
    assert torch.dist(loop[0], loop[-1]) < 0.1


@pytest.mark.parametrize("name", ["dolly", "pan"])
def test_once_along_a_line_reaches_as_far_as_the_loop(name):
    loop, once = (plan_trajectory(name, HOME, REACH, 13 - loop, once=not loop) for loop in (True, False))
    for a, b in ((loop.positions, once.positions), (loop.forward, once.forward)):
        assert torch.allclose(a.amax(0), b.amax(0), atol=1e-5)


def test_orbit_keeps_the_focus_in_the_middle():
    path = plan_trajectory("orbit", HOME, REACH, 20)
    pixels, _ = path.project(torch.tensor([0.0, 0.0, REACH.focus]).expand(20, 1, 3))
    assert torch.allclose(pixels[:, 0], torch.tensor([32.0, 24.0]).expand(20, 2), atol=1e-3)


def test_reach_is_that_of_the_depth():
    depth = torch.cat([torch.full((10, 20), 1.0), torch.full((80, 20), 3.0), torch.full((10, 20), 90.0)])
    reach = reach_of(depth)
    assert reach.focus == 3.0
    assert 1.0 <= reach.near <= 3.0


def test_cameras_from_a_file(tmp_path):
    path = plan_trajectory("spiral", HOME, REACH, 5)
    write_transforms(tmp_path / "t.json", images_from_cameras(path))
    read = plan_trajectory(str(tmp_path / "t.json"), HOME, REACH, 99)
    assert torch.allclose(read.world_from_cam, path.world_from_cam, atol=1e-6)


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(InputError, match=r"zigzag.*orbit, spiral"):
        plan_trajectory("zigzag", HOME, REACH, 5)
    with pytest.raises(InputError, match=r"zigzag.*orbit, spiral"):
        check_trajectory("zigzag")
    check_trajectory("orbit")
