"""Planes that go on where a photo does not look."""

import math

import pytest
import torch

from cosmorama.reconstruct.cameras import Cameras, look_at
from cosmorama.reconstruct.planes import PhotoPlanes, Surface, continued_depth

WIDTH, HEIGHT = 96, 72
FLOOR, WALL = 1.2, 4.0
INTRINSICS = torch.tensor([[[80.0, 0, WIDTH / 2], [0, 80.0, HEIGHT / 2], [0, 0, 1]]])


def camera(position, target) -> Cameras:
    pose = look_at(torch.tensor(position), torch.tensor(target))
    return Cameras(pose[None], INTRINSICS, WIDTH, HEIGHT)


def room_depth(view: Cameras) -> torch.Tensor:
    """z depth of a floor (y down) and a wall ahead; some 1e3 where neither is seen."""
    origins, rays = (v[0] for v in view.rays())
    floor = (FLOOR - origins[..., 1]) / rays[..., 1]
    wall = (WALL - origins[..., 2]) / rays[..., 2]
    return torch.where(floor > 0, floor, 1e3).minimum(torch.where(wall > 0, wall, 1e3))


PHOTO = camera((0.0, 0.0, 0.0), (0.0, 0.3, 2.0))


@pytest.mark.parametrize(
    ("position", "target"),
    [
        ((0.0, 0.0, 0.0), (0.0, 1.0, 1.0)),
        ((0.5, -0.2, 0.0), (2.0, 0.4, 2.5)),
        ((0.0, 0.0, -1.0), (-1.0, 0.2, 1.0)),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_floor_and_wall_go_on_beyond_the_photo(position, target, scale):
    def scaled(view: Cameras) -> Cameras:
        pose = view.world_from_cam.clone()
        pose[:, :3, 3] *= scale
        return Cameras(pose, view.intrinsics, view.width, view.height)

    view = camera(position, target)
    truth = room_depth(view)
    holes = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    depth = (
        continued_depth(holes, scaled(view), PhotoPlanes.of(scale * room_depth(PHOTO), scaled(PHOTO))) / scale
    )
    known = (depth > 0) & (truth < 50)
    assert known.float().mean() > 0.95
    error = (depth[known] / truth[known]).log().abs()
    assert (error < 0.05).float().mean() > 0.9


def test_the_wall_goes_on_behind_what_stands_before_it():
    depth = room_depth(PHOTO)
    box = torch.zeros_like(depth, dtype=torch.bool)
    box[20:50, 40:60] = True
    depth = torch.where(box, 1.5, depth)
    view = camera((0.4, 0.0, 0.0), (0.4, 0.3, 2.0))
    truth = room_depth(view)
    behind = torch.zeros_like(box)
    behind[24:44, 41:50] = True  # what the box hid of the wall, seen past the box
    out = continued_depth(behind, view, PhotoPlanes.of(depth, PHOTO))
    assert (out[behind] / truth[behind]).log().abs().median() < 0.05


def test_only_holes_are_answered():
    depth = room_depth(PHOTO)
    planes = PhotoPlanes.of(depth, PHOTO)
    nowhere = torch.zeros_like(depth, dtype=torch.bool)
    assert (continued_depth(nowhere, PHOTO, planes) == 0).all()
    some = nowhere.clone()
    some[10:20, 10:20] = True
    out = continued_depth(some, PHOTO, planes)
    assert (out[~some] == 0).all()
    torch.testing.assert_close(out[some], depth[some], rtol=0.03, atol=0)


def test_looking_away_no_plane_is_met():
    holes = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    away = camera((0.0, 0.0, 0.0), (0.0, -3.0, -2.0))
    wall_only = torch.full((HEIGHT, WIDTH), WALL)
    flat = camera((0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    assert (continued_depth(holes, away, PhotoPlanes.of(wall_only, flat)) == 0).all()


def test_units():
    surface = Surface.of(3 * room_depth(PHOTO), PHOTO, 9, 12)
    half = surface.in_units(surface.unit / 2)
    torch.testing.assert_close(half.points, 2 * surface.points)
    assert math.isclose(half.unit, surface.unit / 2)
    assert (surface.normals.norm(dim=-1) - 1).abs().max() < 1e-5


def test_unknown_depth_is_no_plane():
    depth = room_depth(PHOTO)
    depth[:, WIDTH // 2 :] = 0.0
    view = camera((0.0, 0.0, 0.0), (1.5, 0.4, 2.0))
    truth = room_depth(view)
    out = continued_depth(torch.ones_like(depth, dtype=torch.bool), view, PhotoPlanes.of(depth, PHOTO))
    error = (out[truth < 50] / truth[truth < 50]).log().abs()
    assert (error < 0.05).float().mean() > 0.8
    nothing = PhotoPlanes.of(torch.zeros_like(depth), PHOTO)
    assert (continued_depth(torch.ones_like(depth, dtype=torch.bool), view, nothing) == 0).all()
