import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.gaussians import gaussians_from_points
from cosmorama.reconstruct.motion import Motion
from cosmorama.reconstruct.scene import MAX_BYTES, Scene, load_scene, save_scene
from cosmorama.reconstruct.transforms_json import PosedImage

SPLATS = gaussians_from_points(torch.randn(7, 3), torch.rand(7, 3), torch.rand(7) + 0.1, sh_degree=1)


def scene(tmp_path) -> Scene:
    (tmp_path / "views").mkdir()
    view = PosedImage(torch.eye(4), torch.eye(3) * 5, 40, 30, tmp_path / "views" / "0000.png")
    motion = Motion(torch.tensor([0.0, 1.0]), torch.randn(2, 7, 3), torch.randn(2, 7, 4), seconds=3.5)
    return Scene(SPLATS, motion, torch.tensor([0.0, 0.0, 1.0]), 0.25, [view], {"seed": 5})


def test_round_trip(tmp_path):
    given = scene(tmp_path)
    save_scene(tmp_path, given)
    read = load_scene(tmp_path)
    for name, value in given.gaussians.tensors().items():
        assert torch.allclose(getattr(read.gaussians, name), value, atol=1e-6), name
    assert torch.equal(read.up, given.up)
    assert read.metres_per_unit == 0.25
    assert read.info["seed"] == 5
    assert read.motion is not None
    assert given.motion is not None
    assert torch.equal(read.motion.means, given.motion.means)
    assert read.motion.seconds == 3.5
    assert torch.equal(read.at(1.0).means, given.motion.means[1])
    assert read.home is not None
    assert (read.home.width, read.home.height) == (40, 30)


def test_a_splat_file_alone_is_a_scene(tmp_path):
    save_scene(tmp_path, scene(tmp_path))
    read = load_scene(tmp_path / "scene.ply")
    assert len(read.gaussians) == 7
    assert read.home is None
    assert torch.allclose(read.up, torch.tensor([0.0, 0.0, 1.0]))


def test_what_is_no_scene_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no scene\.ply"):
        load_scene(tmp_path)
    with pytest.raises(InputError):
        load_scene(tmp_path / "none.ply")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        json.dumps({"up": "high"}),
        json.dumps({"up": [1, 2]}),
        json.dumps({"up": [0, float("nan"), 0]}),
        json.dumps({"metres_per_unit": "one"}),
        json.dumps({"metres_per_unit": 0}),
        json.dumps({"metres_per_unit": float("nan")}),
        "[" * 100_000,
        " " * MAX_BYTES + "{}",
    ],
)
def test_broken_descriptions_are_one_line(tmp_path, content):
    save_scene(tmp_path, scene(tmp_path))
    (tmp_path / "scene.json").write_text(content)
    with pytest.raises(InputError, match=r"scene\.json"):
        load_scene(tmp_path)


def test_motion_that_does_not_fit_is_one_line(tmp_path):
    given = scene(tmp_path)
    save_scene(tmp_path, given)
    data = (tmp_path / "motion.safetensors").read_bytes()
    (tmp_path / "motion.safetensors").write_bytes(data[:50])
    with pytest.raises(InputError, match="motion"):
        load_scene(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("means", torch.nan),
        ("quats", torch.inf),
        ("times", 0.0),
        ("seconds", -1.0),
        ("seconds", torch.nan),
    ],
)
def test_motion_of_senseless_values_is_one_line(tmp_path, name, value):
    save_scene(tmp_path, scene(tmp_path))
    tensors = load_file(tmp_path / "motion.safetensors")
    save_file({**tensors, name: torch.full_like(tensors[name], value)}, tmp_path / "motion.safetensors")
    with pytest.raises(InputError, match="not a motion file"):
        load_scene(tmp_path)
