"""Captures: undistortion against OpenCV's own projection, sizes, masks, depth, COLMAP, up, and what is broken."""

import json
import math
from pathlib import Path

import kornia
import numpy as np
import pytest
import torch
from PIL import Image

from cosmorama.reconstruct.cameras import Cameras, look_at, opencv_from_opengl, pinhole_intrinsics
from cosmorama.reconstruct.captures import estimate_up, load_capture, read_colmap, split_held_out
from cosmorama.reconstruct.captures.undistort import distort, sample_pixels, undistortion_map
from cosmorama.reconstruct.errors import InputError

LENS = (0.08, -0.05, 0.01, 0.002, -0.001, 0.0005)


def kornia_order(k1: float, k2: float, k3: float, p1: float, p2: float) -> torch.Tensor:
    """k1, k2, p1, p2, k3: OpenCV's order."""
    return torch.tensor([[k1, k2, p1, p2, k3]])


def test_lens_is_opencvs_lens():
    k1, k2, k3, _, p1, p2 = LENS
    points = torch.rand(200, 2) - 0.5
    intrinsics = torch.tensor([[100.0, 0, 50], [0, 110, 40], [0, 0, 1]])
    pixels = points * torch.tensor([100.0, 110]) + torch.tensor([50.0, 40])
    expected = kornia.geometry.distort_points(
        pixels[None], intrinsics[None], kornia_order(k1, k2, k3, p1, p2)
    )[0]
    moved, valid = distort(points, (k1, k2, k3, 0.0, p1, p2))
    torch.testing.assert_close(moved * torch.tensor([100.0, 110]) + torch.tensor([50.0, 40]), expected)
    assert valid.all()


def test_fisheye_angle_is_polynomial_in_the_true_angle():
    angle = torch.linspace(0.01, 1.2, 50)
    points = torch.stack([angle.tan(), torch.zeros(50)], dim=-1)
    moved, _ = distort(points, (0.1, -0.02, 0.003, 0.0004, 0, 0), fisheye=True)
    expected = angle * (1 + 0.1 * angle**2 - 0.02 * angle**4 + 0.003 * angle**6 + 0.0004 * angle**8)
    torch.testing.assert_close(moved[:, 0], expected, rtol=1e-5, atol=1e-6)
    assert not moved[:, 1].any()


def test_folded_polynomials_are_not_valid():
    _, valid = distort(torch.tensor([[0.1, 0.0], [1.9, 0.0]]), (-0.4, 0, 0, 0, 0, 0))
    assert valid.tolist() == [True, False]


def test_undistorted_photo_is_the_pinhole_photo():
    """A photo drawn through the lens, undistorted, equals the pattern drawn without it."""
    intrinsics = torch.tensor([[90.0, 0, 47], [0, 95, 35], [0, 0, 1]])
    width, height = 96, 72
    lens = (0.25, -0.05, 0.01, 0.002, -0.002, 0.001)

    def pattern(points: torch.Tensor) -> torch.Tensor:
        return 0.5 + 0.5 * torch.sin(14 * points[..., :1]) * torch.cos(11 * points[..., 1:])

    grid = torch.stack(
        torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy"), -1
    )
    ideal = (grid - intrinsics[:2, 2]) / intrinsics.diagonal()[:2]
    lens_points = ideal.clone()
    for _ in range(50):  # invert the lens by fixed point iteration
        lens_points = lens_points + ideal - distort(lens_points, lens)[0]
    photo = pattern(lens_points)
    pixels, inside = undistortion_map(intrinsics, width, height, lens)
    undistorted = sample_pixels(photo, pixels)
    assert inside.float().mean() > 0.7
    interior = inside & (pixels > 1).all(-1) & (pixels < pixels.new_tensor([width - 1, height - 1])).all(-1)
    assert (undistorted - pattern(ideal)).abs()[interior].max() < 0.02
    assert (photo - pattern(ideal)).abs().max() > 0.2


def write_capture(
    folder: Path, *, count: int = 4, size: tuple[int, int] = (40, 30), **shared: object
) -> dict:
    (folder / "images").mkdir(parents=True)
    poses = opencv_from_opengl(ring(count).world_from_cam)
    frames = []
    for i in range(count):
        value = np.full((size[1], size[0], 3), 50 * i, np.uint8)
        Image.fromarray(value).save(folder / "images" / f"{i}.png")
        frames.append({"file_path": f"images/{i}.png", "transform_matrix": poses[i].tolist()})
    data = {"fl_x": 50.0, "w": size[0], "h": size[1], "frames": frames, **shared}
    (folder / "transforms.json").write_text(json.dumps(data))
    return data


def ring(count: int, height: float = 1.0) -> Cameras:
    angles = torch.arange(count) * 2 * math.pi / count
    positions = torch.stack([3 * angles.cos(), 3 * angles.sin(), torch.full((count,), height)], dim=-1)
    poses = look_at(positions, torch.zeros(count, 3), up=torch.tensor([0.0, 0, 1]))
    return Cameras(poses, pinhole_intrinsics(50, 40, 30).repeat(count, 1, 1), 40, 30)


def test_transforms_capture(tmp_path: Path):
    write_capture(tmp_path)
    capture = load_capture(tmp_path, downscale=2)
    assert capture.views.images.shape == (4, 15, 20, 3)
    assert capture.views.images[:, 0, 0, 0].tolist() == [0, 50, 100, 150]
    assert capture.names == ["0.png", "1.png", "2.png", "3.png"]
    torch.testing.assert_close(capture.views.cameras.world_from_cam, ring(4).world_from_cam)
    expected = torch.tensor([[25.0, 0, 10], [0, 25, 7.5], [0, 0, 1]])
    torch.testing.assert_close(capture.views.cameras.intrinsics[2], expected)
    assert capture.views.weights is None
    assert capture.cloud is None


def test_downscaling_averages_areas(tmp_path: Path):
    write_capture(tmp_path, count=3)
    board = np.indices((30, 40)).sum(0) % 2 * 255
    Image.fromarray(np.repeat(board[..., None], 3, 2).astype(np.uint8)).save(tmp_path / "images/0.png")
    small = load_capture(tmp_path, downscale=2).views.images[0]
    assert (small.int() - 128).abs().max() <= 1


def test_lens_leaves_borders_without_weight(tmp_path: Path):
    write_capture(tmp_path, k1=0.4)
    weights = load_capture(tmp_path).views.weights
    assert weights is not None
    assert weights[:, 0, 0].max() == 0
    assert weights[:, 15, 20].min() == 1


def test_masks_and_depth(tmp_path: Path):
    data = write_capture(tmp_path)
    mask = np.zeros((30, 40), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.full((30, 40), 2500, np.uint16)).save(tmp_path / "depth.png")
    np.save(tmp_path / "depth.npy", np.full((15, 20), 1.5))
    data["frames"][1] |= {"mask_path": "mask.png", "depth_file_path": "depth.png"}
    data["frames"][2] |= {"depth_file_path": "depth.npy"}
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    views = load_capture(tmp_path, downscale=2).views
    assert views.weights is not None
    assert views.depths is not None
    assert views.weights[1, :, :10].min() == 1
    assert views.weights[1, :, 10:].max() == 0
    assert views.weights[0].min() == 1
    assert [float(d.mean()) for d in views.depths] == pytest.approx([0, 2.5, 1.5, 0])


def test_photos_of_different_sizes_share_a_canvas(tmp_path: Path):
    data = write_capture(tmp_path)
    Image.fromarray(np.full((40, 30, 3), 200, np.uint8)).save(tmp_path / "images/3.png")
    data["frames"][3] |= {"w": 30, "h": 40, "cx": 15.0, "cy": 20.0}
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    views = load_capture(tmp_path).views
    assert views.images.shape == (4, 40, 40, 3)
    assert views.weights is not None
    assert views.weights.sum((1, 2)).tolist() == [1200.0] * 4
    assert views.weights[3, :, 30:].max() == 0
    assert views.images[3][views.weights[3] > 0].unique().tolist() == [200]


def test_transparent_photos_lie_on_white(tmp_path: Path):
    write_capture(tmp_path)
    rgba = np.zeros((30, 40, 4), np.uint8)
    rgba[:, :20, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "images/0.png")
    capture = load_capture(tmp_path)
    assert capture.background == (1.0, 1.0, 1.0)
    assert capture.views.images[0, 0, 0].tolist() == [0, 0, 0]
    assert capture.views.images[0, 0, -1].tolist() == [255, 255, 255]


def test_a_few_missing_photos_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_capture(tmp_path)
    (tmp_path / "images/1.png").unlink()
    assert load_capture(tmp_path).names == ["0.png", "2.png", "3.png"]
    assert "1 of 4 images do not exist" in caplog.text


def break_image(folder: Path) -> None:
    (folder / "images/2.png").write_bytes(b"not a picture")


def remove_images(folder: Path) -> None:
    for image in (folder / "images").iterdir():
        image.unlink()


def change_shape(folder: Path) -> None:
    Image.new("RGB", (30, 40)).save(folder / "images/0.png")


def forget_names(folder: Path) -> None:
    data = json.loads((folder / "transforms.json").read_text())
    for frame in data["frames"]:
        del frame["file_path"]
    (folder / "transforms.json").write_text(json.dumps(data))


def name_a_cloud_by_number(folder: Path) -> None:
    data = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps({**data, "ply_file_path": 3}))


def remove_transforms(folder: Path) -> None:
    (folder / "transforms.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_image, "cannot be read as an image"),
        (remove_images, "none of its 4 images exists"),
        (change_shape, "has 30x40 pixels, its camera 40x30"),
        (name_a_cloud_by_number, "ply_file_path is no file name"),
        (forget_names, "no frame names an image"),
        (remove_transforms, "no capture: neither transforms.json nor a COLMAP model"),
    ],
)
def test_broken_captures_say_why(tmp_path: Path, damage, message: str):
    write_capture(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        load_capture(tmp_path)


def test_impossible_requests(tmp_path: Path):
    write_capture(tmp_path)
    with pytest.raises(InputError, match="downscale"):
        load_capture(tmp_path, downscale=0)
    with pytest.raises(InputError, match="no such file or folder"):
        load_capture(tmp_path / "nowhere")


def test_split():
    assert split_held_out(10, 4) == ([1, 2, 3, 5, 6, 7, 9], [0, 4, 8])
    assert split_held_out(3, 0) == ([0, 1, 2], [])


@pytest.mark.parametrize("height", [1.0, 4.0, -2.0])
def test_up_does_not_depend_on_tilt(height: float):
    up = estimate_up(ring(9, height))
    torch.testing.assert_close(up, torch.tensor([0.0, 0, 1]), atol=1e-4, rtol=0)


def test_up_of_cameras_that_look_the_same_way():
    poses = torch.eye(4).repeat(5, 1, 1)
    poses[:, 0, 3] = torch.arange(5.0)
    cameras = Cameras(poses, pinhole_intrinsics(50, 40, 30).repeat(5, 1, 1), 40, 30)
    torch.testing.assert_close(estimate_up(cameras), torch.tensor([0.0, -1, 0]))


@pytest.fixture
def colmap_capture(tmp_path: Path) -> Path:
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(
        model="OPENCV", width=40, height=30, params=[50, 51, 20, 15, 0.1, 0.01, 0.001, 0.002]
    )
    camera.camera_id = 1
    model.add_camera_with_trivial_rig(camera)
    (tmp_path / "images").mkdir()
    cameras = ring(3)
    for i in range(3):
        image = pycolmap.Image(name=f"{2 - i}.png", camera_id=1, image_id=i + 1)
        pose = pycolmap.Rigid3d(cameras.cam_from_world[i, :3].double().numpy())
        model.add_image_with_trivial_frame(image, pose)
        Image.new("RGB", (40, 30), (i * 10, 0, 0)).save(tmp_path / "images" / f"{2 - i}.png")
    for i in range(5):
        model.add_point3D(np.array([i, 2.0, 3.0]), pycolmap.Track(), np.array([255, 10 * i, 0], np.uint8))
    (tmp_path / "sparse/0").mkdir(parents=True)
    (tmp_path / "text").mkdir()
    model.write(str(tmp_path / "sparse/0"))
    model.write_text(str(tmp_path / "text"))
    return tmp_path


def test_colmap_capture(colmap_capture: Path):
    capture = load_capture(colmap_capture)
    assert capture.names == ["0.png", "1.png", "2.png"]
    expected = ring(3).world_from_cam[[2, 1, 0]]
    torch.testing.assert_close(capture.views.cameras.world_from_cam, expected, atol=1e-5, rtol=0)
    assert capture.cloud is not None
    assert capture.cloud.points[:, 0].tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(capture.cloud.rgb[2], torch.tensor([1.0, 20 / 255, 0]))
    entries, _ = read_colmap(colmap_capture / "text", colmap_capture / "images")
    assert entries[0].distortion == pytest.approx((0.1, 0.01, 0, 0, 0.001, 0.002))
    assert entries[0].intrinsics[1, 1] == 51


def test_broken_colmap_model(colmap_capture: Path):
    (colmap_capture / "sparse/0/cameras.bin").write_bytes(b"\x01\x02")
    with pytest.raises(InputError, match="not a COLMAP model"):
        load_capture(colmap_capture)
