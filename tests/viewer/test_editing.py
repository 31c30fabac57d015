import math
from dataclasses import replace

import torch

from cosmorama.reconstruct.gaussians import gaussians_from_points, rotation_from_wxyz
from cosmorama.reconstruct.scene import Scene
from cosmorama.viewer.editing import (
    faint,
    floor_direction,
    inside_box,
    isolated,
    keep_splats,
    oversized,
    shift_between,
    turned_upright,
    with_origin,
)


def test_keeping_splats_keeps_their_motion(moving_scene):
    mask = torch.arange(500) % 3 == 0
    kept = keep_splats(moving_scene, mask)
    for time in (0.0, 0.4, 1.0):
        torch.testing.assert_close(kept.at(time).means, moving_scene.at(time).means[mask])


def test_a_turned_box_holds_what_lies_in_it():
    pose = torch.eye(4)
    pose[:3, :3] = rotation_from_wxyz(
        torch.tensor([math.cos(math.pi / 8), 0, 0, math.sin(math.pi / 8)])
    )  # 45 degrees
    pose[:3, 3] = torch.tensor([10.0, 0.0, 0.0])
    points = torch.tensor([[10.0, 0, 0], [10.6, 0.6, 0], [10.6, -0.6, 0], [10.9, 0.0, 0], [10, 0, 0.6]])
    inside = inside_box(points, pose, torch.tensor([2.0, 1.0, 1.0]))
    assert inside.tolist() == [True, True, False, False, False]


def test_faint_and_oversized():
    g = gaussians_from_points(
        torch.zeros(3, 3), torch.zeros(3, 3), torch.tensor([0.1, 1.0, 5.0]), opacity=0.2
    )
    assert oversized(g, 0.9).tolist() == [False, True, True]
    assert faint(g, 0.21).all()
    assert not faint(g, 0.19).any()


def test_isolated_agrees_with_counting_the_cubes_by_hand():
    g = torch.Generator().manual_seed(3)
    points = torch.cat([torch.rand(300, 3, generator=g), torch.tensor([[9.0, 9, 9], [-7.0, 0.5, 0.5]])])
    radius, neighbours = 0.15, 6
    cell = ((points - points.amin(0)).double() / radius).floor().long()
    close = ((cell[:, None] - cell[None]).abs() <= 1).all(-1).sum(-1) - 1
    assert torch.equal(isolated(points, radius, neighbours), close < neighbours)
    assert isolated(points, radius, neighbours)[-2:].all()
    assert len(isolated(torch.zeros(0, 3), 1.0, 3)) == 0


def test_moving_the_origin_moves_cameras_along(scene):
    moved = with_origin(scene, torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(moved.views[0].world_from_cam[:3, 3], torch.tensor([-1.0, -2.0, -3.0]))
    torch.testing.assert_close(moved.gaussians.means, scene.gaussians.means - torch.tensor([1.0, 2.0, 3.0]))


def test_a_move_is_told_from_other_changes(scene):
    there = with_origin(scene, torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(shift_between(scene, there), torch.tensor([-1.0, -2.0, -3.0]))
    torch.testing.assert_close(shift_between(there, scene), torch.tensor([1.0, 2.0, 3.0]))
    far = replace(scene, gaussians=replace(scene.gaussians, means=scene.gaussians.means * 3000))
    way = shift_between(far, with_origin(far, torch.tensor([1.0, 2.0, 3.0])))
    torch.testing.assert_close(way, torch.tensor([-1.0, -2.0, -3.0]), atol=1e-2, rtol=0)
    half = keep_splats(there, torch.arange(len(there.gaussians.means)) % 2 == 0)
    turned = turned_upright(scene, scene.up, torch.tensor([0.0, 0.0, 1.0]))
    for other in (scene, half, turned):
        assert not shift_between(scene, other).any()


def test_turning_upright_turns_up_and_changes_no_picture(scene):
    up, target = (
        torch.nn.functional.normalize(torch.tensor([0.2, -1.0, 0.1]), dim=0),
        torch.tensor([0.0, 0.0, 1.0]),
    )
    turned = turned_upright(scene, up, target)
    torch.testing.assert_close(turned.up, target, atol=1e-6, rtol=0)
    before, after = scene.home, turned.home
    assert before is not None
    assert after is not None
    pixels, depth = before.project(scene.gaussians.means[None])
    pixels2, depth2 = after.project(turned.gaussians.means[None])
    torch.testing.assert_close(pixels, pixels2, atol=1e-2, rtol=0)
    torch.testing.assert_close(depth, depth2)


def test_the_floor_is_found_under_clutter():
    g = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.tensor([0.1, -1.0, 0.15]), dim=0)
    flat = torch.rand(2000, 3, generator=g) * 4 - 2
    floor = flat - (flat @ normal)[:, None] * normal
    clutter = torch.rand(2000, 3, generator=g) * 4 - 2
    found = floor_direction(
        torch.cat([floor, clutter]), torch.tensor([0.0, -1.0, 0.0]), tolerance=0.02, generator=g
    )
    assert float(found @ normal) > 0.9999
    none = floor_direction(clutter[:2], torch.tensor([0.0, -1.0, 0.0]), tolerance=0.02, generator=g)
    assert none.tolist() == [0.0, -1.0, 0.0]


def test_edits_leave_the_old_scene_alone(make_gaussians):
    scene = Scene(make_gaussians(20))
    before = scene.gaussians.means.clone()
    with_origin(scene, torch.ones(3))
    keep_splats(scene, torch.arange(20) < 3)
    assert torch.equal(scene.gaussians.means, before)
