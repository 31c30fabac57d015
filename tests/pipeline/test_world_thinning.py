"""Fewer triangles for small pictures, and large surfaces in tiles."""

from dataclasses import replace

import numpy as np
import pytest

from cosmorama.pipeline.world import thinning
from cosmorama.pipeline.world.batch import TILES, gather_buffers
from cosmorama.pipeline.world.draws import DrawList
from cosmorama.pipeline.world.light import light_scene
from cosmorama.pipeline.world.model import Material, Model, merge_models
from cosmorama.pipeline.world.projections import clip_from_cam
from cosmorama.pipeline.world.scene import Placement, Scene, Sky
from cosmorama.pipeline.world.shapes import quad
from cosmorama.pipeline.world.thinning import coarser, thinned
from cosmorama.pipeline.world.voxels import voxelise

pytest.importorskip("fast_simplification")
GREY = Material((0.4, 0.4, 0.4))
WOOD = Material((0.5, 0.4, 0.3), gloss=0.4)


def ball(material: Material, *, centre=(0.0, 0.0, 0.0), radius: float = 0.3, around: int = 40) -> Model:
    """A closed sphere of about 2 around^2 / 2 triangles."""
    phi, theta = np.meshgrid(np.arange(around) / around * 2 * np.pi, np.linspace(0, np.pi, around // 2 + 1))
    normals = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    index = np.arange(phi.size).reshape(phi.shape)
    a, b, c, d = index[:-1], np.roll(index[:-1], -1, 1), np.roll(index[1:], -1, 1), index[1:]
    faces = np.concatenate([np.stack(corners, -1).reshape(-1, 3) for corners in ((a, d, c), (a, c, b))])
    normals = normals.reshape(-1, 3).astype(np.float32)
    positions = (normals * radius + centre).astype(np.float32)
    areas = np.linalg.norm(
        np.cross(
            positions[faces[:, 1]] - positions[faces[:, 0]], positions[faces[:, 2]] - positions[faces[:, 0]]
        ),
        axis=1,
    )
    faces = faces[areas > 1e-9].astype(np.int32)
    uvs, owner = np.zeros((len(positions), 2), np.float32), np.zeros(len(positions), np.int16)
    return Model(positions, normals, uvs, owner, faces, (material,))


def test_a_coarser_model_has_its_share_of_triangles_and_the_same_shape_and_materials():
    thing = merge_models([ball(GREY), ball(WOOD, centre=(0.8, 0, 0))])
    coarse = coarser(thing, 0.25, most=10**6)
    assert 0.15 * len(thing.faces) < len(coarse.faces) < 0.4 * len(thing.faces)
    assert coarse.materials == thing.materials
    assert np.unique(coarse.face_material).tolist() == [0, 1]
    for number, centre in enumerate(((0, 0, 0), (0.8, 0, 0))):
        own = coarse.positions[coarse.vertex_material == number] - centre
        np.testing.assert_allclose(np.linalg.norm(own, axis=1), 0.3, atol=0.01)
        cosines = (own * coarse.normals[coarse.vertex_material == number]).sum(axis=1) / 0.3
        assert np.median(cosines) > 0.95  # normals still point outwards
    assert len(coarser(thing, 0.25, most=len(thing.faces) // 2).faces) < 0.6 * len(coarse.faces)


def test_a_few_large_pieces_are_thinned_as_surfaces_and_none_is_lost():
    row = merge_models([ball(GREY, centre=(0.7 * i, 0, 0), around=24) for i in range(12)])
    row = replace(row, vertex_material=np.zeros(len(row.positions), np.int16), materials=(GREY,))
    coarse = coarser(row, 0.1, most=300)  # 30 triangles wanted: fewer than four for each ball
    assert len(coarse.faces) < 0.1 * len(row.faces)
    nearest = np.abs(coarse.positions[:, None, 0] - 0.7 * np.arange(12)).argmin(axis=1)
    assert len(np.unique(nearest)) == 12


def test_where_the_collapse_is_held_up_near_vertices_are_welded(monkeypatch):
    monkeypatch.setattr(thinning, "_collapsed", lambda vertices, faces, budget: (vertices, faces))
    whole = ball(GREY, around=160)
    corners, uvs = whole.positions[whole.faces].astype(np.float64), np.zeros((len(whole.faces), 3, 2))
    budget = len(corners) // 8
    untouched, _ = thinned(corners, uvs, budget, GREY)
    assert len(untouched) == len(corners)
    few, _ = thinned(corners, uvs, budget, GREY, weld=0.1)
    assert 0.3 * budget < len(few) < 1.5 * budget
    assert np.abs(np.linalg.norm(few, axis=-1) - 0.3).max() < 0.01
    sides = np.sort([np.linalg.norm(few[:, i] - few[:, i - 1], axis=-1) for i in range(3)], axis=0)
    assert sides[0].min() > 1e-3  # no triangle has shrunk to a line
    slightly, _ = thinned(corners, uvs, budget, GREY, weld=thinning.SMALLEST_WELD)
    assert len(few) < len(slightly) <= len(corners)


def test_wide_ground_is_drawn_in_tiles_that_hold_all_of_it():
    plane = quad((-40, -40, 0), (80, 0, 0), (0, 80, 0), GREY, step=1.5)
    assert len(plane.faces) > 2000
    thing = ball(WOOD, centre=(3, 0, 1))
    placements = tuple(Placement(m, np.eye(4), "thing") for m in (plane, thing))
    scene = Scene("test", False, placements, (), (), Sky(), (-20.0, -20, 0), (20.0, 20, 4))
    buffers = gather_buffers(scene, light_scene(scene, voxelise(scene, {}, cell=0.8, density=2.0)))
    tiles = [b for b in buffers.batches if b.placement == 0]
    assert len(tiles) == TILES**2
    assert sum(r.count for b in buffers.batches for r in b.ranges) == 3 * (
        len(plane.faces) + len(thing.faces)
    )
    drawn = np.concatenate([buffers.indices[r.first : r.first + r.count] for b in tiles for r in b.ranges])
    assert np.array_equal(np.sort(drawn), np.sort(plane.faces.reshape(-1)))
    for tile in tiles:
        corners = buffers.vertices["position"][
            buffers.indices[tile.ranges[0].first :][: tile.ranges[0].count]
        ]
        assert (corners >= tile.low - 1e-5).all()
        assert (corners <= tile.high + 1e-5).all()
    # a camera at one edge that looks outwards sees few of them
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = (0, -1, 0), (0, 0, -1), (1, 0, 0), (35, 0, 1)
    intrinsics = np.array([[50.0, 0, 32], [0, 50, 32], [0, 0, 1]])
    seen = DrawList.of(scene, buffers).visible(clip_from_cam(intrinsics, 64, 64), pose)
    assert 0 < len(seen) <= TILES
