"""Several photos of one place: the room of ``known_scene``, whose cameras and depths are known."""

import json
import math
from pathlib import Path

import known_scene
import numpy as np
import pytest
import torch
from PIL import Image

from cosmorama.pipeline.depth import DepthMap
from cosmorama.pipeline.growth.grow import Growth
from cosmorama.pipeline.growth.photos import fold_photos
from cosmorama.pipeline.make import make_scene
from cosmorama.pipeline.make_options import MakeOptions, check_request, default_folder
from cosmorama.pipeline.photo_files import is_several
from cosmorama.pipeline.pictures import save_mp4
from cosmorama.pipeline.presets import Preset
from cosmorama.pipeline.several import pose_photos
from cosmorama.reconstruct.cameras import Cameras, focal_px_from_fov, look_at, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.gaussians import cat_gaussians
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.mesh.grid import DepthPicture
from cosmorama.reconstruct.rasterize import rasterize
from cosmorama.reconstruct.scene import load_scene

pytest.importorskip("pycolmap")
TINY = Preset(long_side=160, views=2, iterations=20, clip_frames=4, face=48, seconds=1, megabytes=1)
WIDTH, HEIGHT = 320, 240


def arc(count: int, width: int = WIDTH, height: int = HEIGHT) -> Cameras:
    poses = []
    for i in range(count):
        angle = 0.2 * (i - (count - 1) / 2)
        place = torch.tensor([1.6 * math.sin(angle), 0.1, -1.6 * math.cos(angle)])
        poses.append(look_at(place, torch.tensor([0.0, 0.5, 0.3])))
    k = pinhole_intrinsics(float(focal_px_from_fov(60.0, width)), width, height)
    return Cameras(torch.stack(poses), k.expand(count, 3, 3).contiguous(), width, height)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five photos."""
    folder = tmp_path_factory.mktemp("photos")
    images, _ = known_scene.photos(arc(5))
    for index, image in enumerate(images):
        Image.fromarray((image * 255).round().byte().numpy()).save(folder / f"photo-{index}.png")
    (folder / "notes.txt").write_text("no photo")
    (folder / "._photo-0.png").write_text("what Macs leave")
    (folder / "older.jpg").mkdir()
    return folder


class TooFar:
    """The depth of the middle photo, whatever is asked: wrong by factors that vary, as estimates are."""

    name, licences = "too far (test)", ()

    def __call__(self, image, focal_px):
        height, width = image.shape[:2]
        _, depth = known_scene.photos(arc(5)[[2]].resized(width, height), samples=1)
        depth = 1.5 * depth[0] * torch.linspace(0.9, 1.2, width)
        return DepthMap(depth, torch.ones_like(depth), torch.zeros_like(depth, dtype=torch.bool))


def test_depth_becomes_that_of_what_photos_share(folder):
    several = pose_photos([folder], long_side=160)
    assert several.used == len(several.photos) == 5
    pictures = several.measured(TooFar())
    true = arc(5, 160, 120)
    _, depths = known_scene.photos(true, samples=1)
    order = [int((true.positions - p).norm(dim=-1).argmin()) for p in _in_true_world(pictures, true)]
    assert sorted(order) == [0, 1, 2, 3, 4]
    for picture, index in zip(pictures, order):
        ratio = (picture.depth / depths[index]).log()
        before = (TooFar()(picture.image, 1.0).depth_m / depths[index]).log()
        wrong = (ratio - ratio.median()).abs().median()
        assert wrong < 0.5 * (before - before.median()).abs().median()


def _in_true_world(pictures, true: Cameras) -> torch.Tensor:
    """Positions of the cameras; the first one's is known to be one of the true ones: the best fit is taken."""
    here = torch.cat([picture.camera.positions for picture in pictures])
    best = None
    for home in range(len(true)):
        pose = true.world_from_cam[home]
        for scale in torch.linspace(0.4, 1.5, 111):
            there = scale * here @ pose[:3, :3].T + pose[:3, 3]
            error = float(torch.cdist(there, true.positions).amin(-1).sum())
            if best is None or error < best[0]:
                best = (error, there)
    assert best is not None
    return best[1]


def test_a_scene_from_several_photos(folder, tmp_path):
    out = tmp_path / "scene"
    report = make_scene([folder], out, MakeOptions(preset=TINY), depth_estimator=TooFar())
    assert {"cameras", "depth", "photos", "views", "refine"} <= set(report.stages)
    assert report.psnr_input_view > 28
    frames = json.loads((out / "transforms.json").read_text())["frames"]
    assert [frame["generated"] for frame in frames] == [False] * 5 + [True] * 2
    info = json.loads((out / "scene.json").read_text())
    assert info["source"]["kind"] == "photos"
    scene = load_scene(out)
    for view in scene.views[:5]:
        camera = Cameras(view.world_from_cam[None], view.intrinsics[None], view.width, view.height)
        shown = rasterize(scene.gaussians, camera)
        with Image.open(view.image) as image:
            photo = torch.from_numpy(np.asarray(image, np.float32)) / 255
        assert float(shown.alpha.mean()) > 0.99
        assert float(-10 * (shown.color[0] - photo).square().mean().log10()) > 20


def test_the_same_photos_give_the_same_scene(folder, tmp_path):
    written = []
    for name in ("a", "b"):
        make_scene([folder], tmp_path / name, MakeOptions(preset=TINY), depth_estimator=TooFar())
        written.append((tmp_path / name / "scene.ply").read_bytes())
    assert written[0] == written[1]


def wall(depth: float, offset: float = 0.0, shade: float = 0.5) -> DepthPicture:
    """A plain wall, from a place to the right."""
    pose = torch.eye(4)[None].clone()
    pose[0, 0, 3] = offset
    camera = Cameras(pose, pinhole_intrinsics(50.0, 60, 40)[None], 60, 40)
    image = torch.full((40, 60, 3), shade)
    return DepthPicture(image, torch.full((40, 60), depth), camera, torch.ones(40, 60, dtype=torch.bool))


def test_guesses_give_way_to_photos():
    home, other = wall(2.0), wall(2.0, offset=1.5, shade=0.6)
    guess = lift(torch.zeros(40, 60, 3), torch.full((40, 60), 1.0), wall(1.0, offset=2.2).camera)
    surface = lift(home.image, home.depth, home.camera)
    none = torch.zeros(0, 40, 60)
    before = Growth(
        cat_gaussians([surface, guess]), home.camera[[]], none[..., None].expand(0, 40, 60, 3), none, []
    )
    black = rasterize(before.gaussians, other.camera).color[0]
    assert float((black < 0.1).float().mean()) > 0.2
    growth, views = fold_photos(before, home, [other])
    shown = rasterize(growth.gaussians, other.camera)
    assert float(shown.alpha.mean()) > 0.99
    assert float((shown.color[0][:, 2:-2] < 0.3).float().mean()) < 0.01
    # photos are as bright as the first one where both show the same
    assert float((shown.color[0] - 0.5).abs().mean()) < 0.03
    assert views.weights is not None
    assert float(views.weights.mean()) > 0.95
    kept = rasterize(growth.gaussians, home.camera).color[0]
    assert float((kept - home.image).abs().mean()) < 0.02


def test_what_photos_do_not_agree_on_counts_little():
    home, other = wall(2.0), wall(2.0, offset=0.1)
    other.image[10:30, 20:40] = torch.tensor([0.9, 0.1, 0.1])
    none = torch.zeros(0, 40, 60)
    surface = lift(home.image, home.depth, home.camera)
    growth = Growth(surface, home.camera[[]], none[..., None].expand(0, 40, 60, 3), none, [])
    _, views = fold_photos(growth, home, [other])
    assert views.weights is not None
    assert float(views.weights[0, 15:25, 25:35].max()) == 0
    assert float(views.weights[0, :5].min()) > 0.9


def test_copies_of_one_photo_are_no_several(demo_photo, tmp_path):
    with pytest.raises(InputError, match="do not show one place"):
        make_scene([demo_photo, demo_photo], tmp_path / "scene")
    assert not list(tmp_path.iterdir())


def test_a_clip_without_parallax_is_its_middle_frame(demo_photo, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    with Image.open(demo_photo) as image:
        small = (
            torch.tensor(list(image.convert("RGB").resize((160, 120)).getdata())).reshape(120, 160, 3) / 255
        )
    save_mp4(tmp_path / "still.mp4", [small] * 12, fps=12)
    several = pose_photos([tmp_path / "still.mp4"], long_side=96)
    assert several.used == len(several.photos) == 1
    assert "only the frame in the middle" in several.remark
    assert float((several.photos[0].photo.image.mean((0, 1)) - small.mean((0, 1))).abs().max()) < 0.05
    (picture,) = several.measured(TooFar())
    assert picture.depth.shape == (72, 96)


def test_what_several_are(folder, demo_photo, tmp_path):
    assert is_several([folder])
    assert is_several([demo_photo, demo_photo])
    assert not is_several([demo_photo])
    assert not is_several([tmp_path / "missing.mp4"])
    assert not is_several([])
    assert default_folder(folder).name.startswith(folder.name)


@pytest.mark.parametrize("photos", [0, 1])
def test_a_folder_with_too_few_photos(demo_photo, tmp_path, photos):
    (tmp_path / "in").mkdir()
    for index in range(photos):
        (tmp_path / "in" / f"{index}.jpg").write_bytes(demo_photo.read_bytes())
    with pytest.raises(InputError, match=r"in: (no|1) photos? in it"):
        check_request([tmp_path / "in"], tmp_path / "out", MakeOptions(), overwrite=False)


def test_a_broken_photo_among_several(folder, tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"b\.jpg: not an image"):
        check_request(
            [folder / "photo-0.png", tmp_path / "b.jpg"], Path("out"), MakeOptions(), overwrite=False
        )
