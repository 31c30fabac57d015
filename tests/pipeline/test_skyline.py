"""Poles, wires and strips of sky at the skyline."""

import pytest
import torch

from cosmorama.pipeline.depth import FAR_DEPTH_M
from cosmorama.pipeline.depth.skyline import follow_skyline

H, W = 240, 320
GROUND, LEFT, RIGHT, ROOF = 180, 140, 200, 100
NEAR = 6.0
BLUE, GREY = torch.tensor([0.45, 0.6, 0.9]), torch.tensor([0.3, 0.3, 0.28])


@pytest.fixture
def house():
    """A house before the sky, and its depth."""
    photo = BLUE.expand(H, W, 3).clone()
    photo += torch.linspace(0.1, -0.1, H)[:, None, None]  # paler above
    photo += 0.01 * torch.randn(H, W, 3, generator=torch.Generator().manual_seed(0))
    depth = torch.full((H, W), FAR_DEPTH_M)
    for place in (slice(GROUND, H), slice(None)), (slice(ROOF, H), slice(LEFT, RIGHT)):
        photo[place], depth[place] = GREY, NEAR
    return photo, depth


def test_a_good_skyline_is_left_alone(house):
    photo, depth = house
    assert torch.equal(follow_skyline(depth, photo), depth)


@pytest.mark.parametrize("color", [0.05, 1.0])
def test_a_pole_that_was_taken_for_sky_stands_on_its_house(house, color):
    photo, depth = house
    pole = (slice(40, ROOF), slice(168, 171))
    photo[pole] = color
    found = follow_skyline(depth, photo)
    assert (found[pole] == NEAR).all()
    found[pole] = FAR_DEPTH_M
    assert torch.equal(found, depth)


def test_what_hangs_together_with_nothing_stays_in_the_sky(house):
    photo, depth = house
    photo[40:60, 60:63] = 0.05  # a bird
    assert torch.equal(follow_skyline(depth, photo), depth)


def test_a_cloud_above_a_house_stays_in_the_sky(house):
    photo, depth = house
    photo[50:ROOF, 120:220] = 0.95
    assert torch.equal(follow_skyline(depth, photo), depth)


def test_a_strip_of_sky_beside_a_house_becomes_sky(house):
    photo, depth = house
    found = depth.clone()
    found[ROOF:GROUND, LEFT - 6 : LEFT] = NEAR
    assert torch.equal(follow_skyline(found, photo), depth)


def test_a_lake_in_the_colours_of_the_sky_stays_a_lake(house):
    photo, depth = house
    photo[GROUND:] = photo[GROUND - 1 : GROUND]
    found = follow_skyline(depth, photo)
    assert (found[GROUND:, : LEFT - 20] == NEAR).all()


def test_a_wall_a_little_darker_than_the_sky_stays_a_wall(house):
    photo, depth = house
    photo[ROOF:GROUND, LEFT : LEFT + 8] = photo[ROOF:GROUND, LEFT - 1 : LEFT] - 0.09
    assert torch.equal(follow_skyline(depth, photo), depth)


def test_no_sky_and_nothing_else():
    photo = torch.rand(60, 80, 3, generator=torch.Generator().manual_seed(1))
    for depth in (3.0, FAR_DEPTH_M):
        assert torch.equal(follow_skyline(torch.full((60, 80), depth), photo), torch.full((60, 80), depth))


def test_shreds_of_a_cloudy_sky_do_not_hang_on_a_house(house):
    photo, depth = house
    shreds = torch.rand(H // 6, W // 6, generator=torch.Generator().manual_seed(2)) > 0.5
    clouds = shreds.repeat_interleave(6, 0).repeat_interleave(6, 1)[:, :W]
    before = depth[:, : clouds.shape[1]] == FAR_DEPTH_M
    photo[:, : clouds.shape[1]][clouds & before] += 0.25
    found = follow_skyline(depth, photo)
    assert float((found != depth).float().mean()) < 0.002
