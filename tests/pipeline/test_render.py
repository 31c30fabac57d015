import numpy as np
import pytest
import torch
from PIL import Image

from cosmorama.pipeline.render import render_to_folder
from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.gaussians import gaussians_from_points
from cosmorama.reconstruct.motion import Motion
from cosmorama.reconstruct.scene import Scene
from cosmorama.reconstruct.transforms_json import images_from_cameras, read_transforms

CAMERA = Cameras(torch.eye(4)[None], pinhole_intrinsics(40.0, 32, 24)[None], 32, 24)
RED = gaussians_from_points(
    torch.tensor([[0.0, 0, 2]]), torch.tensor([[1.0, 0, 0]]), torch.tensor([0.2]), opacity=0.99
)


def test_pictures_and_depth(tmp_path):
    names = render_to_folder(Scene(RED), images_from_cameras(CAMERA), tmp_path / "out", depth=True)
    assert names == ["0000.png"]
    picture = np.asarray(Image.open(tmp_path / "out" / "0000.png"))
    assert picture.shape == (24, 32, 3)
    assert picture[12, 16, 0] > 200
    assert picture[0, 0].max() == 0
    depth = np.load(tmp_path / "out" / "0000.depth.npy")
    assert depth.dtype == np.float32
    assert depth[12, 16] == pytest.approx(2.0, abs=1e-3)


def test_cameras_with_a_time_see_the_scene_then(tmp_path):
    means = torch.tensor([[[0.0, 0, 2]], [[9.0, 0, 2]]])
    motion = Motion(torch.tensor([0.0, 1.0]), means, RED.quats.expand(2, 1, 4), seconds=1.0)
    images = images_from_cameras(CAMERA, time=0.0) + images_from_cameras(CAMERA, time=1.0)
    render_to_folder(Scene(RED, motion), images, tmp_path / "out")
    there, gone = (np.asarray(Image.open(tmp_path / "out" / f"000{i}.png")).max() for i in (0, 1))
    assert there > 200
    assert gone == 0


def test_an_existing_folder_is_kept(tmp_path):
    with pytest.raises(InputError, match="exists"):
        render_to_folder(Scene(RED), images_from_cameras(CAMERA), tmp_path)


def test_only_rendered_pictures_are_replaced(tmp_path):
    out, images = tmp_path / "out", images_from_cameras(CAMERA)
    for _ in range(2):
        render_to_folder(Scene(RED), images, out, depth=True, overwrite=True)
    (taken,) = read_transforms(out / "cameras.json")
    assert taken.image == out / "0000.png"
    torch.testing.assert_close(taken.world_from_cam, CAMERA.world_from_cam[0])
    with pytest.raises(InputError, match="is needed"):
        render_to_folder(Scene(RED), images, out, overwrite=True, made_from=[out / "cameras.json"])
    (out / "photo.jpg").write_text("mine")
    with pytest.raises(InputError, match="no part of rendered pictures"):
        render_to_folder(Scene(RED), images, out, overwrite=True)
    assert (out / "photo.jpg").exists()
