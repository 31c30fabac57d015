"""nerfstudio's transforms.json: posed images in and out; instant-ngp and Blender dialects are read too.

The matrices in the file are OpenGL camera-to-world; here they become OpenCV ``world_from_cam`` in the same world.
Source: nerfstudio's data conventions, instant-ngp's and NeRF-synthetic's transforms.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from .cameras import Cameras, focal_px_from_fov, opencv_from_opengl
from .errors import InputError

DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


@dataclass(frozen=True)
class PosedImage:
    """One entry: a camera, and the image it took if there is one."""

    world_from_cam: Float[Tensor, "4 4"]
    intrinsics: Float[Tensor, "3 3"]
    width: int
    height: int
    image: Path | None = None
    """Absolute, or None for a camera alone."""
    distortion: tuple[float, ...] = ()
    """k1, k2, k3, k4, p1, p2 as OpenCV defines them; empty for none."""
    fisheye: bool = False
    """The distortion is OpenCV's fisheye model (k1..k4)."""
    generated: bool = False
    time: float | None = None
    """In 0..1 over a clip."""
    mask: Path | None = None
    """White where the image counts."""
    depth: Path | None = None


def cameras_from_images(images: list[PosedImage]) -> Cameras:
    """The cameras as one batch; they must share one image size."""
    sizes = {(image.width, image.height) for image in images}
    if len(sizes) != 1:
        raise InputError(f"the cameras must share one image size, found {sorted(sizes)}")
    return Cameras(
        torch.stack([image.world_from_cam for image in images]),
        torch.stack([image.intrinsics for image in images]),
        *sizes.pop(),
    )


def images_from_cameras(cameras: Cameras, **shared: Any) -> list[PosedImage]:
    """Entries for a batch of cameras; ``shared`` sets the other fields of all of them."""
    return [
        PosedImage(pose, k, cameras.width, cameras.height, **shared)
        for pose, k in zip(cameras.world_from_cam, cameras.intrinsics)
    ]


def read_transforms(path: Path | str) -> list[PosedImage]:
    """All entries of a transforms.json (or of the one inside a folder), in file order.

    Raises:
        InputError: no such file, not JSON, no frames, or an entry without a rigid finite pose or a focal length.
    """
    path = Path(path)
    path = path / "transforms.json" if path.is_dir() else path
    try:
        data = json.loads(path.read_text())
        frames = data["frames"]
        assert isinstance(frames, list)
        assert all(isinstance(frame, dict) for frame in frames)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise InputError(f"{path}: not a transforms.json ({type(error).__name__}: {error})") from None
    if not frames:
        raise InputError(f"{path}: has no frames")
    return [_entry({**data, **frame}, path, index) for index, frame in enumerate(frames)]


def write_transforms(path: Path, images: list[PosedImage]) -> None:
    """Write entries in nerfstudio's layout, intrinsics per frame, image paths relative to the file."""
    frames = []
    for image in images:
        frame: dict[str, Any] = {
            "fl_x": float(image.intrinsics[0, 0]), "fl_y": float(image.intrinsics[1, 1]),
            "cx": float(image.intrinsics[0, 2]), "cy": float(image.intrinsics[1, 2]),
            "w": image.width, "h": image.height,
            "transform_matrix": opencv_from_opengl(image.world_from_cam.double()).tolist(),
            "generated": image.generated,
        }  # fmt: skip
        if image.image is not None:
            frame["file_path"] = image.image.relative_to(path.parent).as_posix()
        if image.time is not None:
            frame["time"] = image.time
        frame |= {name: value for name, value in zip(DISTORTION, image.distortion) if value}
        frames.append(frame)
    path.write_text(json.dumps({"camera_model": "OPENCV", "frames": frames}, indent=1))


def _entry(values: dict[str, Any], path: Path, index: int) -> PosedImage:
    where = f"{path}: frame {index}"
    try:
        pose = torch.tensor(values["transform_matrix"], dtype=torch.float64)
        if pose.shape == (3, 4):
            pose = torch.cat([pose, pose.new_tensor([[0, 0, 0, 1]])])
        image = _find(path.parent, values.get("file_path"))
        width, height = _size(values, image)
        fl_x = (
            float(values["fl_x"])
            if "fl_x" in values
            else focal_px_from_fov(math.degrees(values["camera_angle_x"]), width)
        )
        fl_y = float(values.get("fl_y", fl_x))
        cx, cy = float(values.get("cx", width / 2)), float(values.get("cy", height / 2))
        distortion = tuple(float(values.get(name, 0.0)) for name in DISTORTION)
        time = values.get("time")
    except KeyError as error:
        raise InputError(f"{where}: {error} is missing") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from None
    if pose.shape != (4, 4) or not _is_rigid(pose):
        raise InputError(f"{where}: transform_matrix is not a rigid 4x4 transform")
    if not all(map(math.isfinite, (fl_x, fl_y, cx, cy, *distortion))) or min(fl_x, fl_y) <= 0:
        raise InputError(f"{where}: focal length {fl_x}, {fl_y} or centre {cx}, {cy} is not usable")
    return PosedImage(
        opencv_from_opengl(pose).float(),
        torch.tensor([[fl_x, 0, cx], [0, fl_y, cy], [0, 0, 1]]),
        width, height, image,
        distortion if any(distortion) else (),
        fisheye="FISHEYE" in str(values.get("camera_model", "")).upper(),
        generated=bool(values.get("generated", False)),
        time=None if time is None else float(time),
        mask=_find(path.parent, values.get("mask_path")),
        depth=_find(path.parent, values.get("depth_file_path")),
    )  # fmt: skip


def _find(folder: Path, name: str | None) -> Path | None:
    """The named file; Blender's entries leave the suffix out."""
    if name is None:
        return None
    path = folder / name
    if path.suffix == "" and not path.exists():
        return next(
            (p for suffix in (".png", ".jpg", ".jpeg") if (p := path.with_suffix(suffix)).exists()), path
        )
    return path


def _size(values: dict[str, Any], image: Path | None) -> tuple[int, int]:
    if "w" in values and "h" in values:
        width, height = int(values["w"]), int(values["h"])
    elif image is not None and image.exists():
        with Image.open(image) as opened:
            width, height = opened.size
    else:
        raise KeyError("w, h")
    if not (0 < width <= 32768 and 0 < height <= 32768):
        raise ValueError(f"image size {width}x{height} is not usable")
    return width, height


def _is_rigid(pose: Tensor) -> bool:
    rotation = pose[:3, :3].numpy()
    orthonormal = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0
    return bool(torch.isfinite(pose).all()) and bool(orthonormal) and np.allclose(pose[3], [0, 0, 0, 1])
