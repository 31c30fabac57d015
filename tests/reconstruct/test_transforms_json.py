import json
import os

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
        ({"frames": [{**FRAME, "w": 30_000, "h": 30_000}]}, "image size"),
        ({"frames": [{**FRAME, "w": float("inf")}]}, "frame 0"),
        ({"frames": [{**FRAME, "fl_x": 1e300}]}, "focal length"),
        ({"frames": [{**FRAME, "fl_x": 10**400}]}, "frame 0"),
        ({"frames": [{**FRAME, "transform_matrix": {"a": 1}}]}, "frame 0"),
        ({"camera_angle_x": 0, "frames": [{k: v for k, v in FRAME.items() if k != "fl_x"}]}, "frame 0"),
        ({"frames": [5]}, "not a transforms.json"),
        ("[" * 100_000, "not a transforms.json"),
        ({"frames": [{**FRAME, "time": "noon"}]}, "frame 0"),
        ({"frames": [{**FRAME, "time": [1]}]}, "frame 0"),
        ({"frames": [{**FRAME, "time": float("inf")}]}, "time inf"),
    ],
)
def test_bad_files_get_one_line(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_transforms(write(tmp_path / "transforms.json", content))
    assert "\n" not in str(caught.value)


def test_missing_file():
    with pytest.raises(InputError, match="no such file"):
        read_transforms("/nowhere/transforms.json")


@pytest.mark.parametrize("key", ["file_path", "mask_path", "depth_file_path"])
@pytest.mark.parametrize("name", [5, ["a.png"], {}, "a\0.png", "a" * 5000 + ".png", "\ud800"])
def test_paths_that_are_none_get_one_line(tmp_path, key, name):
    with pytest.raises(InputError, match=f"frame 0: {key}") as caught:
        read_transforms(write(tmp_path / "transforms.json", {"frames": [{**FRAME, key: name}]}))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


def test_a_path_too_long_for_a_suffix_is_kept(tmp_path):
    frame = {**FRAME, "file_path": "a" * 253}
    (entry,) = read_transforms(write(tmp_path / "transforms.json", {"frames": [frame]}))
    assert entry.image == tmp_path / ("a" * 253)


def test_an_image_that_its_size_cannot_be_read_from(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    frame = {"transform_matrix": FRAME["transform_matrix"], "fl_x": 5.0, "file_path": "a.png"}
    with pytest.raises(InputError, match=r"a\.png cannot be read as an image"):
        read_transforms(write(tmp_path / "transforms.json", {"frames": [frame]}))


def test_photos_of_the_largest_cameras_are_read(tmp_path):
    (entry,) = read_transforms(
        write(tmp_path / "transforms.json", {"frames": [{**FRAME, "w": 12_000, "h": 9_000}]})
    )
    assert (entry.width, entry.height) == (12_000, 9_000)


def test_a_huge_file_is_not_read(tmp_path):
    path = write(tmp_path / "transforms.json", "{}")
    os.truncate(path, 1 << 40)
    with pytest.raises(InputError, match="too large"):
        read_transforms(path)
