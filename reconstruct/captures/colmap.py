"""COLMAP models: cameras, poses and the sparse cloud, through pycolmap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..transforms_json import PosedImage

PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "SIMPLE_RADIAL_FISHEYE": ("f", "cx", "cy", "k1"),
    "RADIAL_FISHEYE": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}
"""Camera models that can be undistorted, and the order of their numbers."""
MODEL_FOLDERS = ("", "sparse/0", "sparse", "colmap/sparse/0")
MODEL_FILES = ("cameras.bin", "cameras.txt")


@dataclass(frozen=True)
class SparseCloud:
    """Points with colours."""

    points: Float[Tensor, "n 3"]
    rgb: Float[Tensor, "n 3"]
    """In [0, 1]."""


def find_colmap_model(folder: Path) -> Path | None:
    """The folder with the model inside a capture, or None."""
    places = (folder / name for name in MODEL_FOLDERS)
    return next((p for p in places if any((p / file).is_file() for file in MODEL_FILES)), None)


def read_colmap(model: Path, image_folder: Path) -> tuple[list[PosedImage], SparseCloud]:
    """Posed images by name, and the sparse cloud, of a model in COLMAP's binary or text files.

    Args:
        model: folder with cameras, images and points3D.
        image_folder: where the photos lie.

    Raises:
        InputError: pycolmap is missing, the files cannot be read, or a camera model is not known here.
    """
    pycolmap = import_pycolmap(f"reading {model}")
    try:
        reconstruction = pycolmap.Reconstruction(str(model))
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{model}: not a COLMAP model ({str(error).splitlines()[0]})") from None
    images = [i for i in reconstruction.images.values() if i.has_pose]
    if not images:
        raise InputError(f"{model}: has no posed images")
    posed = [
        posed_image(image, reconstruction.cameras[image.camera_id], image_folder / image.name)
        for image in sorted(images, key=lambda image: image.name)
    ]
    return posed, sparse_cloud([point for _, point in sorted(reconstruction.points3D.items())])


def import_pycolmap(what_for: str) -> Any:
    """The module pycolmap.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise InputError(f"{what_for} needs the sfm extra: pip install 'cosmorama[sfm]' ({error})") from None
    return pycolmap


def sparse_cloud(points: Sequence[Any]) -> SparseCloud:
    """pycolmap's points."""
    xyz = np.array([p.xyz for p in points], np.float32).reshape(-1, 3)
    rgb = np.array([p.color for p in points], np.float32).reshape(-1, 3) / 255
    return SparseCloud(torch.from_numpy(xyz), torch.from_numpy(rgb))


def posed_image(image: Any, camera: Any, photo: Path) -> PosedImage:
    """pycolmap's image and camera, for the photo in a file.

    Raises:
        InputError: a camera model that is not known here.
    """
    kind = camera.model.name
    if kind not in PARAMETERS:
        raise InputError(f"{photo}: camera model {kind} is not known; run COLMAP's image_undistorter first")
    values = dict(zip(PARAMETERS[kind], camera.params))
    fx, fy = values.get("fx", values.get("f")), values.get("fy", values.get("f"))
    intrinsics = torch.tensor([[fx, 0, values["cx"]], [0, fy, values["cy"]], [0, 0, 1]], dtype=torch.float32)
    distortion = tuple(float(values.get(name, 0.0)) for name in ("k1", "k2", "k3", "k4", "p1", "p2"))
    cam_from_world = torch.eye(4, dtype=torch.float64)
    cam_from_world[:3] = torch.from_numpy(np.asarray(image.cam_from_world().matrix()))
    return PosedImage(
        torch.linalg.inv(cam_from_world).float(), intrinsics, camera.width, camera.height,
        photo,
        distortion=distortion if any(distortion) or "FISHEYE" in kind else (),
        fisheye="FISHEYE" in kind,
    )  # fmt: skip
