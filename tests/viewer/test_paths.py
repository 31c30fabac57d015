import pytest
import torch

from cosmorama.reconstruct.cameras import Cameras, cat_cameras, look_at, pinhole_intrinsics
from cosmorama.viewer.paths import camera_path, catmull_rom_weights


def keys(count: int) -> Cameras:
    angle = torch.arange(count) * 1.1
    position = torch.stack([angle.cos() * 3, angle * 0.2 - 1, angle.sin() * 3], -1)
    focal = [pinhole_intrinsics(300.0 + 50 * i, 64, 48) for i in range(count)]
    return Cameras(look_at(position, torch.zeros(count, 3)), torch.stack(focal), 64, 48)


def test_the_path_passes_every_key():
    k = keys(4)
    path = camera_path(k, 31)
    torch.testing.assert_close(path.world_from_cam[::10], k.world_from_cam, atol=1e-5, rtol=0)
    torch.testing.assert_close(path.intrinsics[::10], k.intrinsics)


def test_poses_stay_rigid_and_steps_stay_even():
    path = camera_path(keys(4), 301)
    rotation = path.world_from_cam[:, :3, :3]
    torch.testing.assert_close(
        rotation @ rotation.transpose(1, 2), torch.eye(3).expand(301, 3, 3), atol=1e-5, rtol=0
    )
    steps = path.positions.diff(dim=0).norm(dim=-1)
    assert steps.max() < 2.5 * steps.median()
    turns = (rotation[1:] * rotation[:-1]).sum((1, 2))
    assert ((turns - 1) / 2).min() > 0.99


def test_a_loop_comes_back_and_goes_on_smoothly():
    path = camera_path(keys(3), 30, loop=True)
    torch.testing.assert_close(path.world_from_cam[::10], keys(3).world_from_cam, atol=1e-5, rtol=0)
    gap = (path.positions[0] - path.positions[-1]).norm()
    assert gap < 2 * path.positions.diff(dim=0).norm(dim=-1).max()


def test_opposite_quaternion_signs_do_not_make_it_spin():
    one, other = keys(2)[0], keys(2)[0]
    path = camera_path(cat_cameras([one, other]), 5)
    torch.testing.assert_close(path.world_from_cam, one.world_from_cam.expand(5, 4, 4), atol=1e-6, rtol=0)


def test_weights_sum_to_one_and_reproduce_straight_lines():
    t = torch.linspace(0, 1, 11)
    w = catmull_rom_weights(t)
    torch.testing.assert_close(w.sum(-1), torch.ones(11))
    torch.testing.assert_close(w @ torch.tensor([-1.0, 0, 1, 2]), t)


def test_one_key_stands_still_and_none_is_an_error():
    assert len(camera_path(keys(1), 7)) == 7
    with pytest.raises(ValueError, match="0 and 7"):
        camera_path(keys(1)[[]], 7)
