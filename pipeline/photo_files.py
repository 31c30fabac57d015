"""Photos of one place as people have them: files, folders and clips, made into plain upright pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ..reconstruct.captures.clip import SUFFIXES, clip_frames, clip_long_side
from ..reconstruct.captures.find_cameras import FoundCameras, find_cameras
from .photo import load_photo
from .pictures import save_png
from .progress import Advance

FRAMES = 20
"""Taken of a clip."""
MOST_PHOTOS = 60
"""Compared with each other: each with each."""
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp")


class Upright(NamedTuple):
    """A photo as a plain file."""

    path: Path
    focal_px: float | None
    """Where somebody tells; in the file's pixels."""
    name: str
    """For people."""


class _File(NamedTuple):
    """A photo as it was given."""

    path: Path
    name: str
    smaller: float = 1.0
    """By how much it was shrunk already."""


def is_several(inputs: Sequence[Path]) -> bool:
    """Whether these are photos in the plural: more than one, a folder or a clip."""
    return len(inputs) > 1 or any(path.is_dir() or is_clip(path) for path in inputs)


def is_clip(path: Path) -> bool:
    """Whether a file is called as clips are."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def upright_photos(
    inputs: Sequence[Path],
    folder: Path,
    *,
    long_side: int,
    focal_px: float | None = None,
    most: int = MOST_PHOTOS,
    frames: int = FRAMES,
) -> list[Upright]:
    """Upright copies of photos, in sRGB.

    Args:
        inputs: photos, folders of photos, and clips.
        folder: where the copies are written to; exists.
        long_side: larger ones are shrunk to it.
        focal_px: of all photos, in pixels of their files; default from EXIF.
        most: so many are taken at most, at even distances in their order.
        frames: taken of a clip.

    Raises:
        InputError: what cannot be read.
    """
    upright = []
    for number, (path, name, smaller) in enumerate(_files(inputs, folder, long_side, most, frames)):
        focal = focal_px and focal_px * smaller
        photo = load_photo(path, long_side=long_side, focal_px=focal, enlarge=False)
        plain = folder / f"upright-{number:05d}.png"
        save_png(plain, photo.image)
        upright.append(Upright(plain, None if photo.focal_source == "default" else photo.focal_px, name))
    return upright


def cameras_of(photos: Sequence[Upright], *, seed: int = 0, advance: Advance | None = None) -> FoundCameras:
    """Where photos were taken from; see ``find_cameras``."""
    return find_cameras(
        [photo.path for photo in photos],
        focals_px=[photo.focal_px for photo in photos],
        seed=seed,
        on_progress=advance,
    )


def photos_in(folder: Path) -> list[Path]:
    """Files that are called as photos are, by name; hidden ones, which Macs leave, are none."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def _files(inputs: Sequence[Path], folder: Path, long_side: int, most: int, frames: int) -> list[_File]:
    """The photos and their names."""
    files: list[_File] = []
    for number, path in enumerate(inputs):
        if path.is_dir():
            files += [_File(photo, photo.name) for photo in photos_in(path)]
        elif is_clip(path):
            clip = folder / f"clip-{number}"
            clip.mkdir()
            taken = clip_frames(path, clip, frames, long_side=long_side)
            smaller = min(1.0, long_side / clip_long_side(path))
            files += [_File(frame, f"frame {n} of {path.name}", smaller) for n, frame in enumerate(taken, 1)]
        else:
            files.append(_File(path, path.name))
    chosen = torch.linspace(0, len(files) - 1, min(len(files), most)).round().long()
    return [files[index] for index in chosen.tolist()]
