"""First pictures from sentences: of a generator, and of a place of the world with built-in shapes for furniture."""

import json

import numpy as np
import pytest
import torch

from cosmorama.pipeline import imagine
from cosmorama.pipeline.generators import world
from cosmorama.pipeline.generators.inpaint import InpaintGenerator
from cosmorama.pipeline.growth.surround import cube_faces, square_cameras, surround
from cosmorama.pipeline.imagine import imagine_photo, imagine_place
from cosmorama.pipeline.make import make_scene
from cosmorama.pipeline.make_options import MakeOptions
from cosmorama.pipeline.presets import Preset
from cosmorama.pipeline.progress import Reporter
from cosmorama.pipeline.refine import input_view_psnr
from cosmorama.pipeline.world import generate, roles, sentence, wishes
from cosmorama.pipeline.world.render import Renderer
from cosmorama.reconstruct.cameras import Cameras
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.mesh.grid import DepthPicture
from cosmorama.reconstruct.rasterize import rasterize
from cosmorama.reconstruct.scene import load_scene

TINY = Preset(long_side=96, views=3, iterations=12, clip_frames=6, face=48, seconds=1, megabytes=1)


class Painter:
    """Paints its seed; remembers what it was asked."""

    name, licences, group_size, soft = "painter (test)", (), 8, False

    def __call__(self, request, *, on_progress=None):
        self.request = request
        height, width = request.memory.color.shape[1:3]
        return torch.full((len(request.cameras), height, width, 3), request.seed / 10)


def test_a_sentence_becomes_a_photo_seen_from_the_worlds_camera():
    painter = Painter()
    photo = imagine_photo("a kitchen", painter, long_side=96, seed=3).photo
    assert photo.image.shape == (72, 96, 3)
    assert photo.image.unique().tolist() == pytest.approx([0.3])
    assert photo.focal_source == "default"
    assert painter.request.text == "a kitchen"
    assert len(painter.request.photos) == 0
    assert painter.request.memory.coverage.max() == 0
    assert torch.equal(painter.request.cameras.world_from_cam[0], torch.eye(4))
    given = imagine_photo("a kitchen", painter, long_side=96, focal_px=80.0).photo
    assert given.camera.intrinsics[0, 0, 0] == 80
    with pytest.raises(InputError, match="field of view"):
        imagine_photo("a kitchen", painter, long_side=96, focal_px=1.0)


def test_hole_filling_cannot_start_from_nothing():
    with pytest.raises(InputError, match="sees nothing"):
        imagine_photo("a kitchen", InpaintGenerator(), long_side=64)


@pytest.fixture(scope="module")
def built_in():
    """Furnish with the built-in shapes, so that no catalogue is needed."""
    try:
        Renderer()
    except InputError as error:
        pytest.skip(f"rendering is impossible on this machine: {error}")
    with pytest.MonkeyPatch.context() as patch:
        for module in (roles, sentence, wishes):
            patch.setattr(module, "candidates", lambda role: ())
        patch.setattr(generate, "furniture_available", lambda: False)
        patch.setattr(world, "find_furniture", lambda: None)
        patch.setattr(world, "load_catalogue", lambda: ())
        sentence._vocabulary.cache_clear()
        yield
        sentence._vocabulary.cache_clear()


@pytest.fixture(scope="module")
def place(built_in):
    return imagine_place("a red sofa and a blue armchair, with a zeppelin", long_side=128, seed=1)


def test_a_place_shows_what_was_asked_for_in_its_colours(place):
    assert place.generator.unseen == ()
    r, g, b = place.photo.image.unbind(-1)
    assert ((r > 1.6 * g) & (r > 1.6 * b) & (r > 0.15)).float().mean() > 0.01
    assert ((b > 1.3 * r) & (b > 1.1 * g) & (b > 0.12)).float().mean() > 0.005
    assert "red sofa" in place.remark
    assert "not understood: zeppelin" in place.remark


@pytest.mark.usefixtures("built_in")
def test_what_lies_around_a_place_is_built_and_told():
    for text, water in (("a meadow by a lake", 1), ("a meadow", 0)):
        place = imagine_place(text, long_side=96, seed=1)
        assert ("around it: lake" in place.remark) == bool(water)
        flat = [p for p in place.generator.scene.placements if p.background and p.model.size[2] < 1e-3]
        assert len(flat) == water


def test_views_of_a_place_agree_with_its_depth(place):
    """What a second camera sees of the photo's points has the photo's depth there."""
    home, depth = place.photo.camera, place.depth_estimator(place.photo.image, 1.0).depth_m
    pose = torch.eye(4)
    pose[0, 3] = 0.15
    moved = Cameras(pose[None], home.intrinsics, home.width, home.height)
    seen = place.place.depth_of(moved)[0]
    points = home.unproject(depth[None])[0].reshape(-1, 3)
    where, z, inside = moved.locate(points)
    ratio = (seen[where] / z)[inside]
    assert inside.float().mean() > 0.8
    assert ((ratio - 1).abs() < 0.03).float().mean() > 0.8


def test_cameras_inside_things_are_not_free(place):
    home = place.photo.camera
    assert place.place.is_free(home)
    into = torch.eye(4)
    into[2, 3] = place.depth_estimator(place.photo.image, 1.0).depth_m[home.height // 2, home.width // 2]
    assert not place.place.is_free(Cameras(into[None], home.intrinsics, home.width, home.height))


def test_people_can_stand_in_several_free_places_of_a_room(place):
    eyes = place.place.standpoints(4)
    assert torch.equal(eyes[0], torch.zeros(3))
    assert 2 <= len(eyes) <= 4
    assert torch.cdist(eyes, eyes)[~torch.eye(len(eyes), dtype=torch.bool)].min() > 1
    assert (eyes @ place.place.up).abs().max() < 1e-4  # all at one height
    poses = torch.eye(4).repeat(len(eyes), 1, 1)
    poses[:, :3, 3] = eyes
    home = place.photo.camera
    assert place.place.is_free(
        Cameras(poses, home.intrinsics.expand(len(eyes), 3, 3), home.width, home.height)
    )


def test_a_place_goes_on_where_no_view_looked(place):
    photo, known = place.photo, place.place
    depth = place.depth_estimator(photo.image, 1.0).depth_m
    shown = DepthPicture(photo.image, depth, photo.camera, torch.ones_like(depth, dtype=torch.bool))
    start = lift(photo.image, depth, photo.camera)
    whole, pieces = surround(start, known, shown, size=128)
    behind = cube_faces(torch.zeros(1, 3), known.up, 64)[[2]]
    assert rasterize(start, behind).alpha.max() < 0.1
    seen = rasterize(whole, behind)
    assert (seen.alpha > 0.9).float().mean() > 0.98
    assert (seen.color - known.photograph(behind)[0]).abs().mean() < 0.05
    assert len(whole) - len(start) < sum(int(piece.mask.sum()) for piece in pieces)
    before, after = (input_view_psnr(splats, photo) for splats in (start, whole))
    assert after > before - 1.5  # what the photo shows is not hidden


def test_what_lies_beyond_windows_is_there_for_those_who_look_out_from_the_side(place, monkeypatch):
    photo, known = place.photo, place.place
    windows, outwards = known.outlooks(1)
    assert len(windows) == 1
    assert torch.allclose(outwards.norm(dim=-1), torch.ones(1))
    along = torch.linalg.cross(outwards, known.up.expand(1, 3))
    eyes = torch.cat([windows - 1.0 * outwards + side * along for side in (-1.0, 1.0)])
    cameras = square_cameras(eyes, windows + 0.3 * outwards - eyes, known.up, 64, 50.0)
    depth = place.depth_estimator(photo.image, 1.0).depth_m
    shown = DepthPicture(photo.image, depth, photo.camera, torch.ones_like(depth, dtype=torch.bool))
    start = lift(photo.image, depth, photo.camera)
    outside = known.depth_of(cameras) > 2.5
    assert outside.float().mean() > 0.05
    covered = []
    for most in (0, 4):
        monkeypatch.setattr("cosmorama.pipeline.growth.surround.OUTLOOKS", most)
        whole, _ = surround(start, known, shown, size=128)
        covered.append((rasterize(whole, cameras).alpha[outside] > 0.9).float().mean())
    assert covered[1] > 0.97
    assert covered[0] < covered[1] - 0.05


def test_faces_of_a_cube_see_every_direction_once():
    up = torch.nn.functional.normalize(torch.tensor([0.1, -0.9, -0.3]), dim=0)
    faces = cube_faces(torch.tensor([[1.0, 2.0, 3.0]]), up, 32)
    around = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    pixels, z = faces.project(faces.positions[:1] + around.expand(6, -1, -1))
    inside = (z > 0) & ((pixels > 0) & (pixels < 32)).all(-1)
    assert 1.0 <= inside.sum(0).float().mean() < 1.1
    assert inside.any(0).all()
    level = faces.world_from_cam[:4, :3, 1]  # down in the picture
    assert torch.allclose(level, -up.expand(4, 3), atol=1e-5)


def test_open_scenes_get_what_they_lack(built_in):
    place = imagine_place("a garden with a red sofa", long_side=96, seed=0)
    assert place.generator.unseen == ()
    r, g, b = place.photo.image.unbind(-1)
    assert ((r > 1.6 * g) & (r > 1.6 * b)).float().mean() > 0.005


def test_a_seed_gives_one_place(place, built_in):
    again = imagine_place("a red sofa and a blue armchair, with a zeppelin", long_side=128, seed=1)
    assert torch.equal(again.photo.image, place.photo.image)
    other = imagine_place("a red sofa and a blue armchair, with a zeppelin", long_side=128, seed=2)
    assert not torch.equal(other.photo.image, place.photo.image)


def test_a_scene_is_made_from_a_sentence_alone(built_in, tmp_path):
    report = make_scene([], tmp_path / "s", MakeOptions(preset=TINY, text="a bed in a bedroom", seed=1))
    record = json.loads((tmp_path / "s" / "scene.json").read_text())
    assert record["source"]["kind"] == "text"
    assert "procedural" in record["models"]["generator"]["name"]
    assert report.psnr_input_view > 22
    scene = load_scene(tmp_path / "s")
    assert sum(view.generated for view in scene.views) == TINY.views
    depths = scene.gaussians.means[:, 2]
    assert np.ptp(np.log(depths[depths > 0.1].numpy())) > 0.5  # a place, not a wall
    assert depths.min() < -0.5  # also behind the camera
    assert -1 < scene.up[1] < -0.8  # the camera looks down a little, and it is known how much


def test_without_the_world_the_diffusion_model_draws(monkeypatch, tmp_path, capsys):
    def missing(*_, **__):
        raise InputError("no furniture")

    asked = []
    monkeypatch.setattr("cosmorama.pipeline.make.imagine_place", missing)
    monkeypatch.setattr(
        "cosmorama.pipeline.make.load_generator", lambda name, **_: asked.append(name) or Painter()
    )
    options = MakeOptions(preset=TINY, text="a kitchen")
    make_scene([], tmp_path / "s", options, reporter=Reporter())
    assert "no furniture" in capsys.readouterr().err
    assert asked == ["views"]
    with pytest.raises(InputError, match="no furniture"):
        make_scene([], tmp_path / "t", MakeOptions(preset=TINY, text="a kitchen", generator="world"))


def test_a_photo_cannot_go_on_in_the_world(tmp_path):
    from pathlib import Path

    photo = Path(imagine.__file__).parents[1] / "assets" / "demo.jpg"
    with pytest.raises(InputError, match="sentence"):
        make_scene([photo], tmp_path / "s", MakeOptions(preset=TINY, generator="world"))
