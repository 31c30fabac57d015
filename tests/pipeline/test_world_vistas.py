"""What lies around places in the open."""

import numpy as np
import pytest

from cosmorama.pipeline.world.model import Model
from cosmorama.pipeline.world.outdoors import make_outdoors
from cosmorama.pipeline.world.vistas import CLEARING, FOUNDATION, lake, mountains, tower, wood_edge

MAKERS = [mountains, wood_edge, lake, tower]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("seed", range(4))
def test_is_a_sound_model(make, seed: int) -> None:
    model: Model = make(np.random.default_rng(seed))
    for array in (model.positions, model.normals, model.uvs):
        assert np.isfinite(array).all()
    assert np.allclose(np.linalg.norm(model.normals, axis=1), 1, atol=1e-3)
    assert model.faces.max() < len(model.positions)
    assert model.vertex_material.max() < len(model.materials)
    assert (np.diff(model.face_material) >= 0).all()
    same: Model = make(np.random.default_rng(seed))
    assert np.array_equal(model.positions, same.positions)


def test_slopes_and_water_look_up_and_woods_to_the_middle() -> None:
    for make in (mountains, wood_edge, lake):
        model: Model = make(np.random.default_rng(1))
        a, b, c = (model.positions[model.faces[:, i]].astype(float) for i in range(3))
        across = np.cross(b - a, c - a)
        area = np.linalg.norm(across, axis=1)
        alike = (across * model.normals[model.faces[:, 0]]).sum(1)[area > 1e-6] / area[area > 1e-6]
        assert np.abs(alike).mean() > 0.7
        if make is wood_edge:
            assert ((model.normals[:, :2] * -model.positions[:, :2]).sum(1) > 0).mean() > 0.95
        else:
            assert (model.normals[:, 2] > 0).all()


@pytest.mark.parametrize("make", [mountains, wood_edge])
def test_what_goes_all_around_has_no_gap(make) -> None:
    model: Model = make(np.random.default_rng(2), 2 * np.pi)
    seam = model.positions[:, :2]
    angle = np.arctan2(seam[:, 1], seam[:, 0])
    order = np.argsort(angle)
    assert np.diff(angle[order]).max() < 0.1
    tops = [model.positions[np.abs(angle - place) < 0.05, 2].max() for place in np.linspace(-3.1, 3.1, 60)]
    assert min(tops) > 0.02 * max(tops)


def test_leaves_the_middle_free() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        for make, nearest in ((mountains, 50.0), (wood_edge, CLEARING - 3), (lake, 0.5 * CLEARING - 1e-3)):
            assert np.linalg.norm(make(rng).positions[:, :2], axis=1).min() > nearest


def test_towers_stand_and_are_taller_than_wide() -> None:
    models = [tower(np.random.default_rng(seed)) for seed in range(12)]
    for model in models:
        assert model.bounds[0][2] == pytest.approx(-FOUNDATION, abs=0.01)  # the ground need not be flat
        assert 4 < model.bounds[1][2] < 60
    assert np.mean([model.size[2] > model.size[:2].max() for model in models]) > 0.5


def test_places_in_the_open_have_them() -> None:
    scenes = [make_outdoors(np.random.default_rng(seed)) for seed in range(30)]
    towers = [p for scene in scenes for p in scene.placements if p.label == "tower"]
    assert len(towers) > 5
    assert all(placement.solid and not placement.background for placement in towers)
    far = [p for scene in scenes for p in scene.placements if p.background and p.model.size[:2].max() > 90]
    assert len(far) > 10


def test_nothing_stands_in_the_road() -> None:
    for seed in range(20):
        scene = make_outdoors(np.random.default_rng(seed), kind="street", around=("towers", "lake"))
        for placement in scene.placements:
            if placement.label == "tower":
                low, high = placement.world_bounds()
                assert low[0] > 2.5 or high[0] < -2.5
        water = scene.placements[-1 - sum(p.label == "tower" for p in scene.placements)]
        assert np.linalg.norm(water.model.positions[:, :2], axis=1).min() > 40


def test_what_is_asked_for_is_there_and_nothing_else() -> None:
    def scene(*around: str):
        return make_outdoors(np.random.default_rng(3), kind="field", around=around)

    def count(*around: str) -> tuple[int, int]:
        placements = scene(*around).placements
        return len(placements), sum(p.label == "tower" for p in placements)

    nothing, no_tower = count()
    assert no_tower == 0
    assert count("lake")[0] == count("wood")[0] == nothing + 1
    assert count("mountains")[0] > nothing
    assert count("towers")[1] > 0
    shore = scene("lake").placements[-1].model.positions
    angles = np.arctan2(shore[:, 1], shore[:, 0])
    assert np.diff(np.sort(angles)).max() < 0.3
