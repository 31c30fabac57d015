"""A capture on disk as pinhole views of one size in memory."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..cameras import Cameras
from ..errors import InputError
from ..transforms_json import PosedImage, read_transforms
from ..views import Views, as_bytes, shrink_image
from .colmap import SparseCloud, find_colmap_model, read_colmap
from .undistort import sample_pixels, undistortion_map

log = logging.getLogger(__name__)

TRANSFORMS = ("transforms.json", "transforms_train.json")
MILLIMETRES = 0.001


@dataclass(frozen=True)
class Capture:
    """Posed photos, ready to be fitted."""

    views: Views
    names: list[str]
    cloud: SparseCloud | None = None
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """What transparent images are composed over: white, as Blender captures are by custom."""


def load_capture(path: Path | str, *, downscale: int = 1, threads: int = 2) -> Capture:
    """Read nerfstudio, instant-ngp, Blender (transforms.json) or COLMAP captures, undistort them and make them smaller.

    Photos of different sizes share a canvas as large as the largest; what they do not cover counts nothing.

    Args:
        path: folder of the capture, or its transforms.json.
        downscale: by how much to shrink photos, averaging over areas.
        threads: how many photos are read at once.

    Raises:
        InputError: nothing that can be read, missing or broken photos, or sizes that contradict the cameras.
    """
    path = Path(path)
    if downscale < 1:
        raise InputError(f"downscale must be a whole number from 1 on, not {downscale}")
    entries, cloud = read_entries(path)
    return capture_of(_existing_images(path, entries), cloud, downscale=downscale, threads=threads)


def capture_of(
    posed: list[PosedImage], cloud: SparseCloud | None, *, downscale: int = 1, threads: int = 2
) -> Capture:
    """Read photos whose cameras are known; see ``load_capture``.

    Args:
        posed: cameras with images, in the order of the capture.
        cloud: points that the photos share, if they are known.
        downscale: by how much to shrink photos.
        threads: how many photos are read at once.

    Raises:
        InputError: missing or broken photos, or sizes that contradict the cameras.
    """
    with ThreadPoolExecutor(threads) as pool:
        photos = list(pool.map(lambda entry: _read_photo(entry, downscale), posed))
    background = (1.0, 1.0, 1.0) if any(photo.transparent for photo in photos) else (0.0, 0.0, 0.0)
    return Capture(_on_one_canvas(photos), [str(e.image.name) for e in posed if e.image], cloud, background)


def is_capture(path: Path) -> bool:
    """Whether a folder, or a file, tells where its photos were taken from."""
    if path.is_file():
        return path.suffix.lower() == ".json"
    return any((path / name).is_file() for name in TRANSFORMS) or find_colmap_model(path) is not None


def read_entries(path: Path) -> tuple[list[PosedImage], SparseCloud | None]:
    """Cameras and image paths of a capture, and its sparse cloud if it has one."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_file():
        return read_transforms(path), _cloud_of_transforms(path)
    for name in TRANSFORMS:
        if (path / name).is_file():
            return read_transforms(path / name), _cloud_of_transforms(path / name)
    model = find_colmap_model(path)
    if model is None:
        raise InputError(
            f"{path}: no capture: neither transforms.json nor a COLMAP model (sparse/0/cameras.bin) in it"
        )
    folder = next((f for f in (path, *model.parents) if (f / "images").is_dir()), path)
    posed, cloud = read_colmap(model, folder / "images")
    return posed, cloud if len(cloud.points) else None


def split_held_out(n: int, every: int = 8) -> tuple[list[int], list[int]]:
    """Indices to fit and indices to hold out: the first of every ``every`` in order of name; 0 holds out none."""
    held_out = list(range(0, n, every)) if every > 0 else []
    return [i for i in range(n) if i not in set(held_out)], held_out


def _existing_images(path: Path, entries: list[PosedImage]) -> list[PosedImage]:
    """Entries with a photo, by name. Captures with a few photos taken out again are common (instant-ngp's fox)."""
    named = sorted((e for e in entries if e.image is not None), key=lambda entry: str(entry.image))
    if not named:
        raise InputError(f"{path}: no frame names an image")
    existing = [entry for entry in named if entry.image is not None and entry.image.is_file()]
    if not existing:
        raise InputError(f"{path}: none of its {len(named)} images exists (first: {named[0].image})")
    if len(existing) < len(named):
        log.warning(
            "%s: %d of %d images do not exist and are left out", path, len(named) - len(existing), len(named)
        )
    return existing


@dataclass(frozen=True)
class _Photo:
    world_from_cam: Float[Tensor, "4 4"]
    intrinsics: Float[Tensor, "3 3"]
    image: Tensor
    weights: Tensor | None
    depth: Tensor | None
    transparent: bool


def _read_photo(entry: PosedImage, downscale: int) -> _Photo:
    assert entry.image is not None
    rgb, alpha = _read_rgb(entry.image)
    height, width = rgb.shape[:2]
    scale_x, scale_y = width / entry.width, height / entry.height
    if abs(scale_x / scale_y - 1) > 0.02:
        raise InputError(
            f"{entry.image}: has {width}x{height} pixels, its camera {entry.width}x{entry.height}"
        )
    intrinsics = entry.intrinsics * entry.intrinsics.new_tensor([scale_x, scale_y, 1.0])[:, None]
    weights = None if entry.mask is None else _read_gray(entry.mask, width, height)
    depth = None if entry.depth is None else _read_depth(entry.depth, width, height)
    if entry.distortion:
        pixels, inside = _cached_map(
            tuple(intrinsics.flatten().tolist()), width, height, entry.distortion, entry.fisheye
        )
        rgb = sample_pixels(rgb, pixels)
        inside = inside.float()
        weights = inside if weights is None else inside * sample_pixels(weights[..., None], pixels)[..., 0]
        depth = None if depth is None else sample_pixels(depth[..., None], pixels, mode="nearest")[..., 0]
    small_w, small_h = max(1, width // downscale), max(1, height // downscale)
    intrinsics = intrinsics * intrinsics.new_tensor([small_w / width, small_h / height, 1.0])[:, None]
    return _Photo(
        entry.world_from_cam,
        intrinsics,
        as_bytes(shrink_image(rgb, small_w, small_h)),
        None if weights is None else shrink_image(weights[..., None], small_w, small_h)[..., 0],
        None if depth is None else _nearest(depth, small_w, small_h),
        alpha,
    )


@lru_cache(maxsize=4)
def _cached_map(
    intrinsics: tuple[float, ...], width: int, height: int, distortion: tuple[float, ...], fisheye: bool
) -> tuple[Tensor, Tensor]:
    matrix = torch.tensor(intrinsics).reshape(3, 3)
    return undistortion_map(matrix, width, height, distortion, fisheye=fisheye)


def _on_one_canvas(photos: list[_Photo]) -> Views:
    height = max(photo.image.shape[0] for photo in photos)
    width = max(photo.image.shape[1] for photo in photos)
    uneven = any(photo.image.shape[:2] != (height, width) for photo in photos)
    images = torch.zeros(len(photos), height, width, 3, dtype=torch.uint8)
    weighted = uneven or any(photo.weights is not None for photo in photos)
    weights = torch.zeros(len(photos), height, width) if weighted else None
    deep = any(photo.depth is not None for photo in photos)
    depths = torch.zeros(len(photos), height, width) if deep else None
    for i, photo in enumerate(photos):
        h, w = photo.image.shape[:2]
        images[i, :h, :w] = photo.image
        if weights is not None:
            weights[i, :h, :w] = 1.0 if photo.weights is None else photo.weights
        if depths is not None and photo.depth is not None:
            depths[i, :h, :w] = photo.depth
    poses = torch.stack([photo.world_from_cam for photo in photos])
    cameras = Cameras(poses, torch.stack([photo.intrinsics for photo in photos]), width, height)
    return Views(cameras, images, weights, depths)


def _read_rgb(path: Path) -> tuple[Float[Tensor, "h w 3"], bool]:
    """Colours, transparent ones composed over white; and whether there were any."""
    with _open(path) as image:
        has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        array = np.asarray(image.convert("RGBA" if has_alpha else "RGB"), np.float32) / 255
    pixels = torch.from_numpy(array)
    if not has_alpha:
        return pixels, False
    return pixels[..., :3] * pixels[..., 3:] + (1 - pixels[..., 3:]), True


def _read_gray(path: Path, width: int, height: int) -> Float[Tensor, "h w"]:
    with _open(path) as image:
        resized = image.convert("L").resize((width, height), Image.Resampling.NEAREST)
        return torch.from_numpy(np.asarray(resized, np.float32) / 255)


def _read_depth(path: Path, width: int, height: int) -> Float[Tensor, "h w"]:
    """z depth: .npy in scene units, pictures in thousandths of them."""
    try:
        if path.suffix == ".npy":
            depth = np.load(path).astype(np.float32).squeeze()
        else:
            with _open(path) as image:
                depth = np.asarray(image).astype(np.float32) * MILLIMETRES
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a depth map ({error})") from None
    if depth.ndim != 2:
        raise InputError(f"{path}: a depth map has one channel, this one has shape {list(depth.shape)}")
    return _nearest(torch.from_numpy(np.nan_to_num(depth, posinf=0, neginf=0)), width, height)


def _nearest(depth: Tensor, width: int, height: int) -> Tensor:
    size = (height, width)
    return torch.nn.functional.interpolate(depth[None, None], size, mode="nearest-exact")[0, 0]


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
        return image
    except FileNotFoundError:
        raise InputError(f"{path}: no such image") from None
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from None


def _cloud_of_transforms(path: Path) -> SparseCloud | None:
    """The cloud that nerfstudio's transforms.json may name."""
    name = json.loads(path.read_text()).get("ply_file_path")
    if name is None:
        return None
    if not isinstance(name, str):
        raise InputError(f"{path}: ply_file_path is no file name")
    import trimesh

    try:
        cloud = trimesh.load(path.parent / name, process=False)
        points = torch.from_numpy(np.array(cloud.vertices, np.float32))  # type: ignore[union-attr]
        colors = torch.from_numpy(np.array(cloud.visual.vertex_colors, np.float32))  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path.parent / name}: not a point cloud ({error})") from None
    rgb = colors[:, :3] / 255 if len(colors) == len(points) else torch.full_like(points, 0.5)
    return SparseCloud(points, rgb) if len(points) else None
