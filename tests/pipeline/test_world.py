"""The synthetic world: exact depth, determinism, resuming, and the geometry behind its light."""

import hashlib
import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cosmorama.pipeline.world import WorldDataset, decode_depth, encode_depth, generate, iter_frames, roles
from cosmorama.pipeline.world.batch import gather_buffers
from cosmorama.pipeline.world.generate import WorldSpec, generate_world, render_scene, shard_path
from cosmorama.pipeline.world.light import light_scene
from cosmorama.pipeline.world.model import Material, placement_matrix
from cosmorama.pipeline.world.paths import look_at_roll
from cosmorama.pipeline.world.render import Renderer, View
from cosmorama.pipeline.world.rooms import make_room
from cosmorama.pipeline.world.scene import Motion, Placement, Scene, Sky
from cosmorama.pipeline.world.shapes import box, quad, sphere
from cosmorama.pipeline.world.shards import encode_png
from cosmorama.pipeline.world.sheet import write_sheet
from cosmorama.pipeline.world.voxels import cast_rays, voxelise
from cosmorama.reconstruct.errors import InputError

GREY = Material((0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def renderer():
    try:
        return Renderer()
    except InputError as error:
        pytest.skip(f"rendering is impossible on this machine: {error}")


@pytest.fixture(autouse=True)
def own_shapes(monkeypatch):
    """Furnish with the built-in shapes, so that tests need no catalogue and agree on every machine."""
    monkeypatch.setattr(roles, "candidates", lambda role: ())
    monkeypatch.setattr(generate, "furniture_available", lambda: False)


def open_scene(*placements: Placement) -> Scene:
    sky = Sky(zenith=(1, 1, 1), horizon=(1, 1, 1), cloud=(1, 1, 1))
    return Scene("test", False, placements, (), (), sky, (-4, -4, -0.5), (4, 4, 4))


def lit(scene: Scene):
    return light_scene(scene, voxelise(scene, {}, cell=0.25, density=200.0))


def picture(renderer, scene: Scene, view: View):
    field = lit(scene)
    renderer.load_scene(scene, gather_buffers(scene, field), field)
    return renderer.render(view)


def view(eye, target, *, width=96, height=64, focal=70.0, roll=0.0, time=0.0) -> View:
    k = np.array([[focal, 0, width / 2 + 3.3], [0, focal, height / 2 - 1.7], [0, 0, 1]])
    return View(look_at_roll(np.array(eye, float), np.array(target, float), roll), k, width, height, time)


def pixel_rays(v: View) -> np.ndarray:
    y, x = np.mgrid[: v.height, : v.width] + 0.5
    return np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(v.intrinsics).T


def test_depth_normals_and_ids_of_a_floor_and_a_sphere_are_exact(renderer):
    floor = Placement(quad((-50, -50, 0), (100, 0, 0), (0, 100, 0), GREY), np.eye(4), "floor")
    ball = Placement(sphere(0.5, GREY, sides=128), placement_matrix(0.2, 1.0), "ball")
    v = view((0.3, -3, 1.6), (0, 1, 0.4), roll=0.3)
    out = picture(renderer, open_scene(floor, ball), v)
    rays = pixel_rays(v)
    world = rays @ v.world_from_cam[:3, :3].T
    eye = v.world_from_cam[:3, 3]
    to_floor = -eye[2] / world[..., 2]  # rays have unit z in the camera, so this is depth
    offset = eye - np.array([0.2, 1.0, 0.5])
    a, b, c = (world**2).sum(-1), world @ offset, offset @ offset - 0.25
    root = b * b - a * c
    to_ball = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    floor_pixels, ball_pixels = out.instances == 1, out.instances == 2
    inside = root > 0.02 * a
    assert floor_pixels.sum() > 2000
    assert ball_pixels.sum() > 200
    np.testing.assert_allclose(out.depth[floor_pixels], to_floor[floor_pixels], rtol=2e-5)
    np.testing.assert_allclose(out.depth[ball_pixels & inside], to_ball[ball_pixels & inside], rtol=2e-3)
    assert (ball_pixels[inside]).all()
    up = np.linalg.inv(v.world_from_cam)[:3, :3] @ [0, 0, 1]
    np.testing.assert_allclose(
        out.normals[floor_pixels], np.broadcast_to(up, (floor_pixels.sum(), 3)), atol=0.01
    )
    assert (out.depth[out.instances == 0] == 0).all()
    assert (out.instances[to_floor < 0][~inside[to_floor < 0]] == 0).all()


def test_pixel_centres_and_rows_agree_with_the_intrinsics(renderer):
    """A small square on the optical axis but off centre covers exactly the pixels that projection says."""
    square = Placement(quad((-0.2, 2, 0.9), (0.3, 0, 0), (0, 0, 0.4), GREY), np.eye(4), "square")
    v = view((0, 0, 1), (0, 1, 1))
    out = picture(renderer, open_scene(square), v)
    k = v.intrinsics
    x0, x1 = (k[0, 0] * x / 2 + k[0, 2] for x in (-0.2, 0.1))
    y0, y1 = (k[1, 1] * -z / 2 + k[1, 2] for z in (0.3, -0.1))
    y, x = np.mgrid[: v.height, : v.width] + 0.5
    expected = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    np.testing.assert_array_equal(out.instances == 1, expected)


def test_two_views_of_a_furnished_room_agree(renderer):
    spec = WorldSpec(seed=3, frames=4, width=96, height=72, outdoor_share=0.0)
    _, frames = render_scene(renderer, spec, 0)
    info, _ = render_scene(renderer, spec, 0)
    agree, seen = 0, 0
    moving = info["moving"]
    depth = [decode_depth(np.array(Image.open(io.BytesIO(f["depth.png"]))).astype(np.uint16)) for f in frames]
    ids = [np.array(Image.open(io.BytesIO(f["id.png"]))) for f in frames]
    a, b = (info["frames"][i] for i in (0, 1))
    pa, pb, ka, kb = (np.array(e[n]) for n in ("world_from_cam", "intrinsics") for e in (a, b))
    y, x = np.mgrid[:72, :96] + 0.5
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(ka).T
    points = (rays * depth[0][..., None]).reshape(-1, 3)
    points = points[np.isfinite(points).all(1) & ~np.isin(ids[0].ravel(), moving)]
    cam = (points @ pa[:3, :3].T + pa[:3, 3] - pb[:3, 3]) @ pb[:3, :3]
    uv = cam @ kb.T
    uv = uv[:, :2] / uv[:, 2:]
    ok = (cam[:, 2] > 0.1) & (uv > 0).all(1) & (uv < [96, 72]).all(1)
    column, row = np.floor(uv[ok]).astype(int).T
    ratio = depth[1][row, column] / cam[ok, 2]
    agree, seen = (np.abs(ratio - 1) < 0.03).sum(), (ratio > 0.97).sum()
    assert seen > 1000
    assert agree > 0.9 * seen  # the rest is slanted across a pixel; what is nearer there hides the point


def test_things_that_move_are_where_their_time_says(renderer):
    block = box((-0.2, -0.2, 0), (0.2, 0.2, 0.4), GREY)
    moving = Placement(block, placement_matrix(-1, 2), "block", motion=Motion("slide", (2.0, 0.0, 0.0)))
    columns = []
    for time in (0.0, 1.0):
        v = view((0, -1, 0.2), (0, 2, 0.2), time=time)
        out = picture(renderer, open_scene(moving), v)
        columns.append(np.flatnonzero((out.instances == 1).any(axis=0)).mean() + 0.5 - v.intrinsics[0, 2])
    assert columns[0] == pytest.approx(-columns[1], abs=1.5)
    assert columns[1] > 15
    door = Motion("swing", angle=np.pi / 2).matrix(1.0)
    np.testing.assert_allclose(door @ [1, 0, 0, 1], [0, 1, 0, 1], atol=1e-12)


def test_a_scene_depends_on_seed_and_number_alone(renderer):
    spec = WorldSpec(seed=5, frames=3, width=48, height=32)
    first = render_scene(renderer, spec, 4)
    render_scene(renderer, spec, 5)
    assert render_scene(renderer, spec, 4) == first
    assert render_scene(renderer, replace(spec, seed=6), 4) != first


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("shard-*.zip"))}


def test_resuming_after_a_kill_gives_the_same_bytes(renderer, tmp_path):
    spec = WorldSpec(seed=1, frames=2, width=40, height=24, scenes_per_shard=2, both_aspects=True)
    assert generate_world(spec, tmp_path, scenes=3, workers=1) == 6
    assert len(digests(tmp_path)) == 2
    assert generate_world(spec, tmp_path, scenes=4, workers=1) == 4  # the second shard was not full
    whole = digests(tmp_path)
    shard_path(tmp_path, 0).unlink()
    (tmp_path / ".shard-00000.zip.part").write_bytes(b"half a shard")
    assert generate_world(spec, tmp_path, scenes=4, workers=1) == 4
    assert digests(tmp_path) == whole
    assert generate_world(spec, tmp_path, scenes=3, workers=1) == 0
    with pytest.raises(InputError, match="frames"):
        generate_world(replace(spec, frames=3), tmp_path, scenes=3)
    dataset = WorldDataset(tmp_path)
    assert len(dataset) == len(list(iter_frames(tmp_path))) == 8
    frame = dataset[2, 1]
    assert {frame.rgb.shape, frame.normals.shape} == {(*frame.depth_m.shape, 3)}
    assert sorted(frame.depth_m.shape) == [24, 40]
    solid = np.isfinite(frame.depth_m)
    np.testing.assert_array_equal(solid, frame.instance > 0)
    np.testing.assert_allclose(np.linalg.norm(frame.normals[solid], axis=-1), 1, atol=1e-5)
    facing = (
        frame.normals * pixel_rays(View(frame.world_from_cam, frame.intrinsics, *frame.depth_m.shape[::-1]))
    ).sum(-1)
    assert (facing[solid] < 0.03).all()


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(InputError, match="no shard"):
        WorldDataset(tmp_path)


def test_depth_code_and_png_round_trip():
    depth = np.exp(np.linspace(np.log(0.03), np.log(2000), 4096)).reshape(64, 64).astype(np.float32)
    depth[3, 5] = np.inf
    code = np.array(Image.open(io.BytesIO(encode_png(encode_depth(depth))))).astype(np.uint16)
    np.testing.assert_allclose(decode_depth(code), depth, rtol=1e-4)
    for image in (
        np.arange(48, dtype=np.uint8).reshape(6, 8),
        np.arange(72, dtype=np.uint8).reshape(4, 6, 3),
    ):
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(encode_png(image)))), image)


def test_open_ground_under_an_even_sky_receives_the_sky():
    """White furnace: irradiance / pi of an unshadowed surface is the sky's radiance; a wall shadows half of it."""
    ground = Placement(
        quad((-8, -8, 0), (16, 0, 0), (0, 16, 0), Material((0.0, 0.0, 0.0)), step=0.5), np.eye(4), "ground"
    )
    wall = Placement(quad((4, 0, 0), (-8, 0, 0), (0, 0, 4.4), Material((0.0, 0.0, 0.0))), np.eye(4), "wall")
    up = np.array([[0, 0, 1.0]])
    alone = lit(open_scene(ground)).at(np.array([[0.6, -0.4, 0.0]]), up)
    np.testing.assert_allclose(alone, 1.0, atol=0.06)
    beside = lit(open_scene(ground, wall)).at(np.array([[0.0, 0.55, 0.0]]), up)
    assert 0.4 < beside[0, 0] < 0.75


def test_rays_in_voxels_agree_with_small_steps():
    rng = np.random.default_rng(0)
    solid = (rng.random((12, 10, 9)) < 0.06).astype(np.uint8)
    origin, cell = np.array([-1.0, 0.5, 2.0], np.float32), np.float32(0.3)
    free = np.argwhere(solid == 0)
    starts = (origin + (free[rng.integers(len(free), size=200)] + rng.random((200, 3))) * cell).astype(
        np.float32
    )
    directions = rng.normal(size=(200, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radiance = np.zeros((*solid.shape, 6, 3), np.float32)
    found, _ = cast_rays(solid, origin, cell, starts, directions, radiance, np.zeros(3, np.float32))
    for start, direction, distance in zip(starts, directions, found):
        t = np.arange(1, 20000)[:, None] * 5e-4
        index = np.floor((start + t * direction - origin) / cell).astype(int)
        inside = ((index >= 0) & (index < solid.shape)).all(axis=1)
        steps = solid[tuple(index[inside].T)]
        expected = t[inside][steps.argmax(), 0] if steps.any() else np.inf
        if np.isfinite(distance) != np.isfinite(expected):
            assert min(distance, expected) > 0.0
            continue  # a ray that grazes an edge between two steps
        np.testing.assert_allclose(distance, expected, atol=2e-3)


@pytest.mark.parametrize("kind", ["living room", "kitchen", "bathroom"])
def test_furniture_stays_in_the_room_and_apart(kind):
    for seed in range(4):
        scene = make_room(np.random.default_rng(seed), kind=kind)
        things = [
            p
            for p in scene.placements
            if p.label in ("sofa", "bed", "wardrobe", "fridge", "bath", "dining table")
        ]
        boxes = [p.world_bounds() for p in things]
        for low, high in boxes:
            assert (low[:2] > np.array(scene.low)[:2] - 0.02).all()
            assert (high < np.array(scene.high) + 0.02).all()
        for i, (a0, a1) in enumerate(boxes):
            for b0, b1 in boxes[:i]:
                assert not ((a0 < b1 - 0.02) & (b0 < a1 - 0.02)).all()


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="cellar"):
        make_room(np.random.default_rng(0), kind="cellar")


def test_shots_around_a_home_look_at_what_it_looks_at(renderer):
    spec = WorldSpec(seed=3, frames=8, width=64, height=64, outdoor_share=0.0, shots="around")
    info, _ = render_scene(renderer, spec, 0)
    poses = np.array([entry["world_from_cam"] for entry in info["frames"]])
    home, others = poses[0], poses[1:]
    assert {entry["shot"] for entry in info["frames"]} == {0}
    assert {entry["time"] for entry in info["frames"]} == {0.0}
    assert (others[:, :3, 2] @ home[:3, 2] > np.cos(np.radians(60))).all()
    assert (np.linalg.norm(others[:, :3, 3] - home[:3, 3], axis=1) > 1e-3).all()


def test_single_shots_are_apart_and_none_presses_on_the_lens(renderer):
    spec = WorldSpec(seed=4, frames=6, width=64, height=48, outdoor_share=0.0, shots="single")
    info, files = render_scene(renderer, spec, 0)
    assert [entry["shot"] for entry in info["frames"]] == list(range(6))
    focals = {entry["intrinsics"][0][0] for entry in info["frames"]}
    assert len(focals) == 6
    for frame in files:
        depth = decode_depth(np.asarray(Image.open(io.BytesIO(frame["depth.png"]))).astype(np.uint16))
        assert np.percentile(depth, 2) > 0.1
        assert np.isfinite(depth).mean() > 0.3


def test_close_shots_are_filled_by_one_thing(renderer):
    def largest(shots):
        spec = WorldSpec(seed=4, frames=8, width=64, height=48, outdoor_share=0.0, shots=shots)
        _, files = render_scene(renderer, spec, 0)
        middles = []
        for frame in files:
            depth = decode_depth(np.asarray(Image.open(io.BytesIO(frame["depth.png"]))).astype(np.uint16))
            middles.append(np.median(depth[18:30, 24:40]))
        return np.median(middles)

    assert largest("close") < 0.6 * largest("single")


def test_a_sheet_of_few_scenes_has_no_gaps(tmp_path, renderer):
    spec = WorldSpec(seed=5, frames=3, width=48, height=32, outdoor_share=0.0)
    generate_world(spec, tmp_path / "world", scenes=1, workers=1)
    write_sheet(tmp_path / "world", tmp_path / "sheet.png", columns=2, rows=2, cell=24)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (16, 48, 3)
    assert all(sheet[:, 24 * k : 24 * (k + 1)].std() > 1 for k in range(2))


def test_smaller_pictures_take_models_of_fewer_triangles(monkeypatch):
    item = SimpleNamespace(key="a/1")
    full, coarse = box((0, 0, 0), (1, 1, 1), GREY), quad((0, 0, 0), (1, 0, 0), (0, 1, 0), GREY)
    monkeypatch.setattr(generate, "furniture_available", lambda: True)
    monkeypatch.setattr(generate, "load_catalogue", lambda: [item])
    monkeypatch.setattr(generate, "load_model", lambda _, detail=1.0: full if detail == 1 else coarse)
    red = full.with_materials({0: Material((0.9, 0.1, 0.1))})
    own = replace(full, positions=full.positions.copy())
    placements = tuple(Placement(m, np.eye(4), "box", "a/1") for m in (red, own))
    scene = replace(make_room(np.random.default_rng(0)), placements=placements)
    thin = generate.with_detail(scene, 0.3).placements
    assert (thin[0].model.faces == coarse.faces).all()
    assert thin[0].model.materials[0].color == (0.9, 0.1, 0.1)
    assert thin[1].model is own
    assert generate.with_detail(scene, 1.0) is scene
