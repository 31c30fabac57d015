"""Meshes of a scene whose surfaces are known exactly: geometry, colours, and what cleaning does."""

from dataclasses import replace

import known_scene as known
import numpy as np
import pytest
import torch

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.gaussians import cat_gaussians, gaussians_from_points
from cosmorama.reconstruct.mesh.build import BuiltMesh, MeshOptions, build_mesh
from cosmorama.reconstruct.mesh.clean import (
    connected_parts,
    fill_holes,
    manifold,
    rims,
    simplified,
    without_small_parts,
)
from cosmorama.reconstruct.mesh.collider import convex_hull, convex_parts
from cosmorama.reconstruct.mesh.depth_maps import DepthMap, render_depth_maps, without_contradictions
from cosmorama.reconstruct.mesh.fuse import fuse
from cosmorama.reconstruct.mesh.mesh import Mesh, joined, kept_faces, vertex_normals
from cosmorama.reconstruct.mesh.render import cast, ray_scene, render_mesh
from cosmorama.reconstruct.mesh.solid import is_closed, volume, watertight
from cosmorama.reconstruct.mesh.viewpoints import scene_viewpoints
from cosmorama.reconstruct.scene import Scene
from cosmorama.reconstruct.transforms_json import images_from_cameras

pytest.importorskip("open3d")
pytest.importorskip("fast_simplification")

VIEWS = known.cameras(24, 160, 120)


@pytest.fixture(scope="module")
def built() -> BuiltMesh:
    """From splats that lie on the surfaces exactly."""
    scene = Scene(known.exact_splats(60_000), views=images_from_cameras(VIEWS))
    return build_mesh(scene, MeshOptions(faces=12_000, texture=512, long_side=160))


def sphere(radius: float = 1.0, detail: int = 3) -> Mesh:
    import trimesh

    ball = trimesh.creation.icosphere(detail, radius)
    mesh = Mesh(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32))
    return replace(mesh, normals=vertex_normals(mesh))


def test_surface_lies_where_it_should(built):
    centres = torch.from_numpy(built.mesh.corners.mean(1))
    weights = torch.from_numpy(built.mesh.areas)
    error = float((known.distance(centres) * weights).sum() / weights.sum())
    assert error < 0.01 * known.DIAMETER
    assert len(built.mesh.faces) <= 12_000


def test_surface_is_whole_and_faces_the_cameras(built):
    camera, scene = VIEWS[0], ray_scene(built.mesh)
    hit = cast(scene, camera)
    assert (hit["face"] >= 0).mean() > 0.95
    _, directions = camera.rays()
    facing = (built.mesh.face_normals[hit["face"].clip(0)] * directions[0].numpy()).sum(-1)
    assert (facing[hit["face"] >= 0] < 0).mean() > 0.99


def test_texture_shows_what_is_there(built):
    views = VIEWS[[1, 7, 13, 20]]
    images, _ = known.photos(views)
    scene = ray_scene(built.mesh)
    textured = torch.stack([render_mesh(built.mesh, v, scene=scene)[0] for v in views])
    plain = torch.stack([render_mesh(replace(built.mesh, texture=None), v, scene=scene)[0] for v in views])
    psnr = [
        (-10 * torch.log10((shown - images).square().mean((1, 2, 3)))).mean() for shown in (textured, plain)
    ]
    assert float(psnr[0]) > 24.0
    assert float(psnr[0]) > float(psnr[1])


def test_what_hangs_in_the_air_is_carved_away():
    depth = known.photos(VIEWS, samples=1)[1]
    ghost = depth.clone()
    ghost[3, 40:70, 50:90] = 0.5
    maps = [DepthMap(c, torch.zeros(120, 160, 3), d) for c, d in zip(VIEWS, ghost)]
    mesh, _ = fuse(maps, voxel=0.05)
    error = known.distance(torch.from_numpy(without_small_parts(mesh).vertices))
    assert float(error.max()) < 0.35
    with pytest.raises(InputError, match="no surface"):
        fuse([replace(m, depth=torch.zeros(120, 160)) for m in maps], voxel=0.05)


def test_depths_that_other_views_see_through_are_taken_out():
    depth = known.photos(VIEWS, samples=1)[1]
    wrong = torch.zeros(120, 160, dtype=torch.bool)
    wrong[40:70, 50:90] = True
    damaged = depth.clone()
    damaged[3][wrong] *= 0.6
    kept = without_contradictions([DepthMap(c, torch.zeros(120, 160, 3), d) for c, d in zip(VIEWS, damaged)])
    assert float((kept[3].depth[wrong] == 0).float().mean()) > 0.9
    assert float((kept[3].depth[~wrong] > 0).float().mean()) > 0.95
    assert float((kept[5].depth > 0).float().mean()) > 0.95


def test_memory_is_bounded_by_larger_voxels():
    _, depth = known.photos(VIEWS[:4], samples=1)
    maps = [DepthMap(c, torch.zeros(120, 160, 3), d) for c, d in zip(VIEWS[:4], depth)]
    _, voxel = fuse(maps, voxel=0.01, max_blocks=1500)
    assert voxel > 0.015


def test_discs_give_depth_between_their_centres():
    splats = known.exact_splats(15_000)
    _, truth = known.photos(VIEWS[:1], samples=1)
    ball = replace(splats, log_scales=splats.log_scales.amax(1, keepdim=True).expand(-1, 3).contiguous())
    flat, rounded = (
        float((render_depth_maps(s, [VIEWS[0]])[0].depth - truth[0]).abs().median()) for s in (splats, ball)
    )
    assert flat < 0.6 * rounded


def test_parts_holes_and_touching_sheets():
    ball = sphere()
    small = sphere(0.05, 1)
    both = Mesh(
        np.concatenate([ball.vertices, small.vertices + 3]),
        np.concatenate([ball.faces, small.faces + len(ball.vertices)]),
    )
    assert connected_parts(both.faces, len(both.vertices)).max() == 1
    assert len(without_small_parts(both).faces) == len(ball.faces)
    holed = kept_faces(Mesh(ball.vertices, ball.faces), np.arange(len(ball.faces)) > 3)
    assert rims(holed.faces)
    assert is_closed(fill_holes(holed, 5.0))
    assert rims(fill_holes(holed, 0.01).faces)
    touching = np.array([[0, 1, 2], [0, 3, 4], [0, 1, 2], [5, 5, 1]], np.int32)
    split = manifold(Mesh(np.random.default_rng(0).random((6, 3)).astype(np.float32), touching))
    assert len(split.faces) == 2
    assert len(split.vertices) == 6
    assert not set(split.faces[0]) & set(split.faces[1])


def test_simplified_keeps_the_shape():
    ball = sphere(detail=4)
    few = simplified(ball, 600)
    assert len(few.faces) <= 600
    assert np.abs(np.linalg.norm(few.vertices, axis=1) - 1).max() < 0.03


def test_open_bowl_becomes_watertight():
    ball = sphere()
    bowl = kept_faces(ball, ball.corners[..., 2].max(1) < 0.7)
    assert not is_closed(bowl)
    closed, told = watertight(bowl, 800)
    assert is_closed(closed)
    assert "Poisson" in told
    assert 0.8 * 4.19 < volume(closed) < 1.2 * 4.19


def test_colliders_are_convex_and_hold_the_surface():
    ball = sphere()
    moved = [Mesh((ball.vertices + shift).astype(np.float32), ball.faces) for shift in ([4, 0, 0], [0, 4, 0])]
    corner = joined([ball, *moved])
    hull, parts = convex_hull(corner), convex_parts(corner, 8)
    assert 2 <= len(parts) <= 8
    assert sum(volume(p) for p in parts) < 0.7 * volume(hull)
    for body in (hull, *parts):
        assert is_closed(body)
        reach = (body.face_normals[:, None] * (body.vertices[None] - body.corners[:, :1])).sum(-1)
        assert reach.max() < 1e-3
    held = np.zeros(len(corner.vertices), bool)
    for body in parts:
        outside = ((corner.vertices[:, None] - body.corners[None, :, 0]) * body.face_normals).sum(-1).max(1)
        held |= outside < 0.06
    assert held.all()


def test_viewpoints_of_scenes_with_and_without_cameras():
    own = Scene(known.exact_splats(100), views=images_from_cameras(VIEWS))
    assert len(scene_viewpoints(own, count=10, long_side=64)) == 10
    assert scene_viewpoints(own, long_side=64)[0].width == 64
    points = torch.randn(500, 3) + torch.tensor([5.0, 0.0, 0.0])
    thing = gaussians_from_points(points, torch.rand(500, 3), torch.full((500,), 0.1), opacity=0.9)
    around = scene_viewpoints(Scene(thing), count=12, long_side=32)
    for camera in around:
        pixels, z = camera.project(points[None])
        assert float(((z > 0) & (pixels > 0).all(-1) & (pixels < 32).all(-1)).float().mean()) > 0.9
    photo = gaussians_from_points(
        points * 0.3 + torch.tensor([-1.5, 0.0, 4.0]), torch.rand(500, 3), torch.full((500,), 0.1)
    )
    assert torch.allclose(scene_viewpoints(Scene(photo))[0].positions, torch.zeros(1, 3))


def test_bad_options_are_named():
    scene = Scene(cat_gaussians([known.exact_splats(10)]))
    for options, word in (
        (MeshOptions(faces=1), "faces"),
        (MeshOptions(texture=7), "texture"),
        (MeshOptions(voxel=0.0), "voxel"),
    ):
        with pytest.raises(InputError, match=word):
            build_mesh(scene, options)
