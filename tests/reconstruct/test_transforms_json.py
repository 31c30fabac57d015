import json

import pytest
import torch

from cosmorama.reconstruct.cameras import look_at
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.transforms_json import PosedImage, read_transforms, write_transforms

FRAME = {"transform_matrix": torch.eye(4).tolist(), "fl_x": 50.0, "w": 64, "h": 48}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_round_trip(tmp_path):
    pose = look_at(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 0.0, 9.0]))
    k = torch.tensor([[50.0, 0, 31], [0, 51.0, 22], [0, 0, 1]])
    image = PosedImage(
        pose, k, 64, 48, tmp_path / "views" / "a.png", (0.1, 0, 0, 0, 0.01, 0), generated=True, time=0.5
    )
    write_transforms(tmp_path / "transforms.json", [image])
    (read,) = read_transforms(tmp_path)
    assert torch.allclose(read.world_from_cam, pose, atol=1e-6)
    assert torch.allclose(read.intrinsics, k)
    assert (read.width, read.height, read.image, read.generated, read.time) == (
        64,
        48,
        image.image,
        True,
        0.5,
    )
    assert read.distortion == image.distortion


def test_the_photo_of_a_scene_is_written_as_the_opengl_flip(tmp_path):
    write_transforms(tmp_path / "t.json", [PosedImage(torch.eye(4), torch.eye(3), 4, 4)])
    matrix = json.loads((tmp_path / "t.json").read_text())["frames"][0]["transform_matrix"]
    assert matrix == torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0])).tolist()


def test_instant_ngp_and_blender_dialects(tmp_path):
    shared = {
        "camera_angle_x": 1.0,
        "w": 100,
        "h": 80,
        "frames": [{"transform_matrix": FRAME["transform_matrix"]}],
    }
    (entry,) = read_transforms(write(tmp_path / "transforms.json", shared))
    assert entry.intrinsics[0, 0].item() == pytest.approx(50 / torch.tensor(0.5).tan().item())
    assert entry.intrinsics[0, 2].item() == 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "not a transforms.json"),
        ({"frames": []}, "no frames"),
        ({"frames": 3}, "not a transforms.json"),
        ([1, 2], "not a transforms.json"),
        ({"frames": [{"fl_x": 5.0, "w": 4, "h": 4}]}, "transform_matrix"),
        ({"frames": [{**FRAME, "transform_matrix": [[1, 2], [3, 4]]}]}, "not a rigid"),
        ({"frames": [{**FRAME, "transform_matrix": (2 * torch.eye(4)).tolist()}]}, "not a rigid"),
        ({"frames": [{**FRAME, "transform_matrix": [[float("nan")] * 4] * 4}]}, "not a rigid"),
        ({"frames": [{**FRAME, "transform_matrix": "x"}]}, "frame 0"),
        ({"frames": [{**FRAME, "fl_x": -1.0}]}, "focal length"),
        ({"frames": [{**FRAME, "w": 10**9}]}, "image size"),
        ({"frames": [5]}, "not a transforms.json"),
    ],
)
def test_bad_files_get_one_line(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_transforms(write(tmp_path / "transforms.json", content))
    assert "\n" not in str(caught.value)


def test_missing_file():
    with pytest.raises(InputError, match="no such file"):
        read_transforms("/nowhere/transforms.json")
