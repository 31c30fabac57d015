"""nerfstudio's transforms.json: posed images in and out; instant-ngp and Blender dialects are read too.

The matrices in the file are OpenGL camera-to-world; here they become OpenCV ``world_from_cam`` in the same world.
Source: nerfstudio's data conventions, instant-ngp's and NeRF-synthetic's transforms.
"""

from __future__ import annotations

import json
import math
import os
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
from .reading import read_limited

DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
MAX_BYTES = 64 << 20
"""Of a transforms.json: about 80,000 frames. Parsed, a file can take twenty times its size."""
MAX_SIDE, MAX_PIXELS = 32_768, 128_000_000
"""Of one image: more than the largest sensors of cameras have, which is about 100 megapixels."""


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
        InputError: no such file, one of over 64 MB, not JSON, no frames, or an entry without a rigid finite pose, a
            focal length and an image size, or with a path or a time that is none.
    """
    path = Path(path)
    path = path / "transforms.json" if path.is_dir() else path
    if not path.exists():
        raise InputError(f"{path}: no such file")
    content = read_limited(path, MAX_BYTES)
    try:
        data = json.loads(content)
        frames = data["frames"]
        assert isinstance(frames, list)
        assert all(isinstance(frame, dict) for frame in frames)
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError) as error:
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
        image, mask, depth = (
            _find(path.parent, values, key) for key in ("file_path", "mask_path", "depth_file_path")
        )
        width, height = _size(values, image)
        fl_x = (
            float(values["fl_x"])
            if "fl_x" in values
            else focal_px_from_fov(math.degrees(values["camera_angle_x"]), width)
        )
        fl_y = float(values.get("fl_y", fl_x))
        cx, cy = float(values.get("cx", width / 2)), float(values.get("cy", height / 2))
        distortion = tuple(float(values.get(name, 0.0)) for name in DISTORTION)
        time = None if values.get("time") is None else float(values["time"])
    except KeyError as error:
        raise InputError(f"{where}: {error} is missing") from None
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"{where}: {str(error)[:200]}") from None
    if pose.shape != (4, 4) or not _is_rigid(pose):
        raise InputError(f"{where}: transform_matrix is not a rigid 4x4 transform")
    intrinsics = torch.tensor([[fl_x, 0, cx], [0, fl_y, cy], [0, 0, 1]])
    numbers_ok = bool(intrinsics.isfinite().all()) and all(map(math.isfinite, distortion))
    if not numbers_ok or float(intrinsics.diagonal().min()) <= 0:
        raise InputError(f"{where}: focal length {fl_x}, {fl_y} or centre {cx}, {cy} is not usable")
    if time is not None and not math.isfinite(time):
        raise InputError(f"{where}: time {time} is not usable")
    return PosedImage(
        opencv_from_opengl(pose).float(),
        intrinsics,
        width, height, image,
        distortion if any(distortion) else (),
        fisheye="FISHEYE" in str(values.get("camera_model", "")).upper(),
        generated=bool(values.get("generated", False)),
        time=time,
        mask=mask,
        depth=depth,
    )  # fmt: skip


def _find(folder: Path, values: dict[str, Any], key: str) -> Path | None:
    """The file that an entry names; Blender's entries leave the suffix out."""
    name = values.get(key)
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"{key} is not a path: {name!r:.60}")
    path = folder / name
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if path.suffix == "":
            suffixed = (path.with_name(path.name + suffix) for suffix in (".png", ".jpg", ".jpeg"))
            return next((p for p in suffixed if os.path.exists(p)), path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{key} is not a usable path ({reason}): {name!r:.60}") from None
    return path


def _size(values: dict[str, Any], image: Path | None) -> tuple[int, int]:
    if "w" in values and "h" in values:
        width, height = int(values["w"]), int(values["h"])
    elif image is not None and image.is_file():
        try:
            with Image.open(image) as opened:
                width, height = opened.size
        except (OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{image} cannot be read as an image ({error})") from None
    else:
        raise KeyError("w, h")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ValueError(f"image size {width}x{height} is not usable")
    return width, height


def _is_rigid(pose: Tensor) -> bool:
    if not pose.float().isfinite().all():
        return False
    rotation = pose[:3, :3].numpy()
    orthonormal = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0
    return bool(orthonormal) and np.allclose(pose[3], [0, 0, 0, 1])
