import pytest
import torch

from cosmorama.reconstruct.gaussians import cat_gaussians, gaussians_from_points
from cosmorama.viewer.ground import draw_map, estimate_ground

UP = torch.tensor([0.0, -1.0, 0.0])
EYE = torch.tensor([0.0, -1.6, 0.0])
AHEAD = torch.tensor([0.8, 0.3, 0.6])


def room():
    """A floor at height 0 that rises to 1 for x > 2, a table, a ceiling, and a few floaters below the floor."""
    g = torch.Generator().manual_seed(0)
    n = 40_000
    x, z = torch.rand(2, n, generator=g) * 8 - 4
    y = -(x > 2).float()
    floor = torch.stack([x, y, z], -1)
    table = torch.rand(3000, 3, generator=g) * torch.tensor([1.0, 0.02, 1.0]) + torch.tensor(
        [-3.0, -0.8, 1.0]
    )
    ceiling = floor[:5000] * torch.tensor([1.0, 0.0, 1.0]) - torch.tensor([0.0, 3.0, 0.0])
    floaters = torch.rand(3, 3, generator=g) + torch.tensor([-1.0, 3.0, -1.0])
    points = torch.cat([floor, table, ceiling, floaters])
    fog = torch.rand(5000, 3, generator=g) * 4 + torch.tensor([0, 1.0, 0])
    return cat_gaussians([coloured(points, [1.0, 0, 0], 0.9), coloured(fog, [1.0, 1, 1], 0.1)])


def coloured(points, rgb, opacity):
    n = len(points)
    return gaussians_from_points(
        points, torch.tensor([rgb]).repeat(n, 1), torch.full((n,), 0.02), opacity=opacity
    )


def test_heights_follow_the_floor_and_ignore_ceiling_floaters_and_fog():
    ground = estimate_ground(room(), UP, EYE, AHEAD)
    assert ground is not None
    places = torch.tensor([[0.0, 0, 0], [-3.5, 0, -3.5], [3.5, 0, 3.0], [3.0, 0, -3.0], [-2.5, 0, 1.5]])
    heights = ground.at(places)
    assert (heights - torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0])).abs().max() < 0.1
    assert ground.at(torch.tensor([[100.0, 0, 0]])).isfinite().all()
    assert not ground.heights.isnan().any()


def test_a_hill_is_climbed_above_the_first_eye_height_and_a_wall_is_not():
    g = torch.Generator().manual_seed(1)
    x, z = torch.rand(2, 60_000, generator=g) * 8 - 4
    slope = torch.stack([x, -0.9 * x.clamp_min(0), z], -1)  # rises to 3.6, the eye is at 1.6
    walled = slope.clone()
    walled[:, 1] = -5.0 * (x > 2)  # a high plateau behind a cliff
    for points, top in ((slope, 2.7), (walled, 0.0)):
        ground = estimate_ground(coloured(points, [1.0, 0, 0], 0.9), UP, EYE, AHEAD)
        assert ground is not None
        assert float(ground.at(torch.tensor([[3.0, 0.0, 0.0]]))) == pytest.approx(top, abs=0.25)


def test_somebody_who_looks_straight_down_has_a_map_too():
    ground = estimate_ground(room(), UP, EYE, -UP)
    assert ground is not None
    assert torch.allclose(torch.linalg.cross(ground.axes[0], ground.axes[1]), UP, atol=1e-6)


def test_too_few_splats_have_no_ground():
    few = gaussians_from_points(torch.rand(5, 3), torch.rand(5, 3), torch.full((5,), 0.1), opacity=0.9)
    assert estimate_ground(few, UP, EYE, AHEAD) is None


def test_the_map_shows_the_floor_from_above_and_behind():
    splats = room()
    ground = estimate_ground(splats, UP, EYE, AHEAD)
    assert ground is not None
    assert torch.allclose(torch.linalg.cross(ground.axes[0], ground.axes[1]), UP, atol=1e-6)
    assert torch.allclose(ground.axes[1], torch.tensor([0.8, 0.0, 0.6]))  # ahead is up on the map
    marked = coloured(torch.tensor([[-2.0, -0.3, -3.0]]).repeat(500, 1), [0.0, 1, 0], 0.9)
    camera, picture = draw_map(cat_gaussians([splats, marked]), ground, EYE, pixels=64)
    assert 0.3 < (picture[..., 3] > 128).mean() < 0.9
    greenest = (picture[..., 1].astype(int) - picture[..., 0]).argmax()
    row, column = divmod(int(greenest), 64)
    (spot,), _ = camera.project(torch.tensor([[[-2.0, -0.3, -3.0], [0.0, -1.6, 0.0], [0.8, -1.6, 0.6]]]))
    assert (spot[0] - torch.tensor([column + 0.5, row + 0.5])).abs().max() < 1.5
    assert ((spot[1:] > 0) & (spot[1:] < 64)).all()  # who stands there is on the map
    assert float(spot[2, 1]) < float(spot[1, 1])  # ahead is up
    assert float(spot[2, 0]) == pytest.approx(float(spot[1, 0]), abs=0.1)
    whites = (picture[..., :3].min(-1) > 200) & (picture[..., 3] > 128)
    assert not whites.any()  # neither fog nor the ceiling hides the floor
