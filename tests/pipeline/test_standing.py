"""What stands before the sky stands upright."""

import pytest
import torch

from cosmorama.pipeline.depth import FAR_DEPTH_M
from cosmorama.pipeline.depth.standing import DEEP, LEAN, straighten

H, W, FOCAL = 300, 400, 350.0
HORIZON, TOP, FOOT = 180, 40, 220
DISTANCE = 8.0


@pytest.fixture
def plain():
    """Level ground below the sky."""
    depth = torch.full((H, W), FAR_DEPTH_M)
    rows = torch.arange(HORIZON + 1, H)
    depth[HORIZON + 1 :] = (DISTANCE * (FOOT - HORIZON) / (rows - HORIZON)).clamp_max(60)[:, None]
    return depth


def standing(depth, left, right, top_depth, *, top=TOP):
    """The same with something on the ground whose depth changes evenly up to its top; and its pixels."""
    rows = torch.arange(top, FOOT)
    depth = depth.clone()
    depth[top:FOOT, left:right] = torch.lerp(
        torch.tensor(top_depth), torch.tensor(DISTANCE), (rows - top) / (FOOT - top)
    )[:, None]
    return depth, (slice(top, FOOT), slice(left, right))


@pytest.mark.parametrize("top_depth", [4.0, 16.0])
def test_a_tower_that_leans_stands_up(plain, top_depth):
    depth, tower = standing(plain, 150, 230, top_depth)
    upright = straighten(depth, FOCAL)[tower]
    most = LEAN * DISTANCE / FOCAL * (FOOT - TOP) + DEEP * DISTANCE / FOCAL * 80
    assert float((upright - DISTANCE).abs().max()) < 0.15 * DISTANCE + most  # its foot leans too
    assert float(upright[-3:].sub(DISTANCE).abs().max()) < 0.6  # it stands where it stood


def test_a_mast_that_bends_becomes_straight(plain):
    depth, mast = standing(plain, 200, 206, DISTANCE)
    bend = 1.2 * torch.sin(torch.linspace(0, torch.pi, FOOT - TOP))
    depth[mast] += bend[:, None]
    straight = straighten(depth, FOCAL)[mast][:, 0]
    rows = torch.arange(FOOT - TOP) / (FOOT - TOP)
    line = torch.lerp(straight[10], straight[-10], (rows - rows[10]) / (rows[-10] - rows[10]))
    assert float((straight - line)[10:-10].abs().max()) < 0.3


def test_relief_within_a_row_stays(plain):
    depth, tower = standing(plain, 150, 230, 16.0)
    depth[tower] *= torch.linspace(0.95, 1.05, 80)
    upright = straighten(depth, FOCAL)[tower]
    assert torch.allclose(upright[:, -1] / upright[:, 0], depth[tower][:, -1] / depth[tower][:, 0], atol=1e-4)


def test_all_else_is_left_alone(plain):
    assert torch.equal(straighten(plain, FOCAL), plain)
    depth, tower = standing(plain, 150, 230, 16.0)
    changed = straighten(depth, FOCAL) != depth
    changed[tower] = False
    changed[FOOT : FOOT + 8] = False  # its foot may be taken for a part of it
    assert not changed.any()


def test_a_hill_may_recede(plain):
    depth, _ = standing(plain, 60, 330, 30.0)
    assert torch.equal(straighten(depth, FOCAL), depth)


def test_two_people_who_hold_a_banner_are_no_thing_that_stands(plain):
    depth, _ = standing(plain, 120, 150, 4.0)
    depth, _ = standing(depth, 230, 260, 16.0)
    depth[TOP : TOP + 10, 120:260] = DISTANCE
    assert torch.equal(straighten(depth, FOCAL), depth)


@pytest.mark.parametrize("depth", [3.0, FAR_DEPTH_M])
def test_no_sky_and_nothing_else(depth):
    assert torch.equal(straighten(torch.full((30, 40), depth), FOCAL), torch.full((30, 40), depth))
