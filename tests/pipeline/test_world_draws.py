"""What a view draws of a scene."""

import numpy as np

from cosmorama.pipeline.world.batch import Batch, Range, SceneBuffers
from cosmorama.pipeline.world.draws import DrawList
from cosmorama.pipeline.world.model import Material
from cosmorama.pipeline.world.projections import clip_from_cam, lamp_clip_of, sun_clip_of
from cosmorama.pipeline.world.scene import Lamp, Motion, Placement, Scene, Sky
from cosmorama.pipeline.world.shapes import box

CUBE = box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5), Material())
INTRINSICS = np.array([[50.0, 0, 32], [0, 50, 32], [0, 0, 1]])


def _scene(
    *places: tuple[float, float, float], moving: int | None = None, background: int | None = None
) -> Scene:
    placements = []
    for number, place in enumerate(places):
        matrix = np.eye(4)
        matrix[:3, 3] = place
        motion = Motion("slide", (0, 0, 1)) if number == moving else None
        placements.append(Placement(CUBE, matrix, "cube", motion=motion, background=number == background))
    lamps = (Lamp((0, 0, 2.4), (1, 1, 1)),)
    return Scene("test", True, tuple(placements), lamps, (), Sky(), (-5, -5, 0), (5, 5, 3))


def _draws(scene: Scene) -> DrawList:
    ranges = (Range(0, 36, None, False),)
    batches = tuple(Batch(ranges, *p.world_bounds(0.5), i) for i, p in enumerate(scene.placements))
    return DrawList.of(scene, SceneBuffers(np.zeros(0), np.zeros(0), batches, 1.0))


def test_what_is_out_of_view_is_left_out_and_near_things_come_first():
    # OpenCV camera at the origin looking along +z: behind, far, near, beside, and beside but moving
    draws = _draws(_scene((0, 0, -4), (0, 0, 9), (0, 0, 3), (8, 0, 3), (-8, 0, 3), moving=4))
    seen = draws.visible(clip_from_cam(INTRINSICS, 64, 64), np.eye(4)).tolist()
    assert sorted(seen) == [1, 2, 4]
    assert seen.index(2) < seen.index(1)
    turned = np.diag([-1.0, 1, -1, 1])  # looks along -z
    assert 0 in draws.visible(clip_from_cam(INTRINSICS, 64, 64), turned)


def test_what_moves_or_lies_outside_casts_no_fixed_shadow():
    draws = _draws(_scene((0, 0, 1), (1, 0, 1), (2, 0, 1), moving=1, background=2))
    assert draws.casting.tolist() == [0]


def test_pixels_and_shadow_maps_are_where_the_projections_say():
    clip = clip_from_cam(INTRINSICS, 64, 64) @ [0.2, -0.1, 2.0, 1.0]
    pixel = INTRINSICS @ [0.1, -0.05, 1.0]
    np.testing.assert_allclose((clip[:2] / clip[3] + 1) * 32, pixel[:2])
    scene = _scene((0, 0, 1))
    corners = np.array([[x, y, z, 1.0] for x in (-5, 5) for y in (-5, 5) for z in (0, 3)]).T
    sun = sun_clip_of(scene) @ corners
    assert np.abs(sun[:3]).max() <= 1  # the whole scene is in the sun's map
    below = lamp_clip_of(scene) @ [0, 0, 0, 1.0]
    np.testing.assert_allclose(below[:2], 0, atol=1e-12)
    assert 0 < below[2] / below[3] < 1
