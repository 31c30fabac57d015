"""What stands and hangs along walls: free stretches, fitted kitchens, hangings, and views worth taking."""

import numpy as np
import pytest

from cosmorama.pipeline.world.fitted import kitchen, storage
from cosmorama.pipeline.world.hangings import hang_things
from cosmorama.pipeline.world.layout import Layout
from cosmorama.pipeline.world.light import LightField
from cosmorama.pipeline.world.model import Material, placement_matrix
from cosmorama.pipeline.world.paths import choose_look
from cosmorama.pipeline.world.scene import Placement
from cosmorama.pipeline.world.shapes import box
from cosmorama.pipeline.world.singles import INDOOR_SHARES, KINDS, OUTDOOR_SHARES, _over, relief


def _layout(seed: int = 0) -> Layout:
    outline = np.array([[0, 0], [4, 0], [4, 3], [0, 3]]) - np.array([2, 1.5])
    return Layout(outline, 2.6, np.random.default_rng(seed))


def test_free_spans_end_where_something_stands() -> None:
    layout = _layout()
    layout.block(-0.5, -1.5, 0.7, -1.0, 0.0, 1.0)
    wall = layout.walls[0]
    assert np.allclose(layout.free_spans(wall, 0.6, 0.1, 0.9), [(0.0, 1.5), (2.7, 4.0)])
    assert np.allclose(layout.free_spans(wall, 0.6, 1.1, 2.0), [(0.0, 4.0)])


def test_a_patch_of_wall_is_given_once_and_never_over_an_opening() -> None:
    layout = _layout()
    for wall in layout.walls[1:]:
        ends = np.array([wall.start, wall.end])
        layout.block(*(ends.min(0) - 0.1), *(ends.max(0) + 0.1))
    layout.block(-1.5, -1.6, 0.5, -1.4, 0.0, 2.0)  # a door from 0.5 to 2.5 m along the first wall
    places = [layout.on_wall(0.3, 0.4, 1.5) for _ in range(30)]
    found = sorted(place[1] for place in places if place is not None)
    assert found
    assert all(at + 0.3 <= 0.5 or at >= 2.5 for at in found)
    assert min(np.diff(found), default=1.0) >= 0.3
    assert layout.on_wall(0.3, 0.4, 2.5) is None  # through the ceiling


@pytest.mark.parametrize("seed", range(6))
def test_kitchens_line_walls_and_carry_things(seed: int) -> None:
    layout = _layout(seed)
    kitchen(layout, walls=2)
    runs = [p for p in layout.placements if p.label == "kitchen cabinets"]
    assert runs
    for run in runs:
        low, high = run.world_bounds()
        assert (low[:2] > [-2.001, -1.501]).all()
        assert (high[:2] < [2.001, 1.501]).all()
        assert 0.85 < run.matrix[2, 3] + layout.supports[0][4] < 0.95
    assert len(layout.placements) > len(runs)
    boxes = [p.world_bounds() for p in runs]
    for i, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:i]:
            overlap = np.minimum(high, other_high) - np.maximum(low, other_low)
            assert (overlap[:2] < 0.06).any()


@pytest.mark.parametrize("shelves", [False, True])
def test_storage_and_hangings_stay_inside(shelves: bool) -> None:
    layout = _layout(3)
    storage(layout, shelves=shelves)
    assert [p.label for p in layout.placements] == ["shelves" if shelves else "fitted cupboard"]
    for _ in range(5):
        hang_things(layout, "office", [])
    assert len(layout.placements) > 5
    for placement in layout.placements:
        low, high = placement.world_bounds()
        assert (low > [-2.01, -1.51, -0.01]).all()
        assert (high < [2.01, 1.51, 2.6]).all()


def test_relief_is_zero_on_a_plane_and_not_on_boxes() -> None:
    y, x = np.mgrid[-1:1:12j, -1:1:16j]
    plane = 1 / (0.5 + 0.2 * x + 0.15 * y)
    assert relief(plane) == 0
    boxes = np.where((np.floor(4 * x) + np.floor(4 * y)) % 2 == 0, plane, plane * 0.6)
    assert relief(boxes) > 0.5


def test_exposure_of_a_view_that_nothing_lights_directly_is_that_of_its_shade() -> None:
    rng = np.random.default_rng(0)
    dark = np.zeros((192, 3))
    dark[:40] = [6.0, 7.0, 8.0]  # a window
    look = choose_look(dark, rng, shade=0.05)
    assert max(look.exposure) < 20


def test_shade_is_a_small_part_of_what_most_places_get() -> None:
    probes = np.full((4, 4, 4, 6, 3), 0.5, np.float32)
    probes[:2] = 0
    valid = np.ones((4, 4, 4), np.float32)
    field = LightField(None, np.zeros(0), probes, valid, np.zeros(3))  # type: ignore[arg-type]
    assert field.shade == pytest.approx(0.05)


def test_views_over_a_top_look_down_at_its_front():
    """Eyes stand before the piece, above it, and look down at the edge between top and front."""
    model = box((-0.9, -0.3, 0.0), (0.9, 0.3, 0.9), Material())
    turn = 0.7
    thing = Placement(model, placement_matrix(2.0, 1.0, 0.0, turn=turn), "worktop")
    for seed in range(40):
        eye, target = _over(thing, np.random.default_rng(seed))
        local = np.linalg.inv(thing.matrix) @ np.append(eye, 1.0)
        edge = np.linalg.inv(thing.matrix) @ np.append(target, 1.0)
        assert local[1] < -0.3  # models face -y
        assert eye[2] > 0.9
        assert eye[2] > target[2]
        assert edge[1] == pytest.approx(-0.3)
        assert abs(edge[0]) <= 0.9 + 1e-9
        assert 0.9 - 0.45 <= target[2] <= 0.9 + 0.25


def test_shares_of_single_views_add_up():
    for shares in (INDOOR_SHARES, OUTDOOR_SHARES):
        assert len(shares) == len(KINDS)
        assert sum(shares) == pytest.approx(1.0)
