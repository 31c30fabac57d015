"""Photos and frames of synthetic worlds as a source of crops."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ...reconstruct.errors import InputError
from ..world.shards import WorldDataset, scene_name

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Photos:
    """Decoded photos of any size, in memory as bytes."""

    images: tuple[UInt8[np.ndarray, "h w 3"], ...]

    def crops(self, count: int, size: int, generator: torch.Generator) -> Float[Tensor, "count 3 size size"]:
        """Random square crops of random photos, mirrored half the time, values in [-1, 1]."""
        numbers = torch.rand(count, 4, generator=generator).tolist()
        out = np.empty((count, size, size, 3), np.uint8)
        for i, (which, y, x, mirror) in enumerate(numbers):
            image = self.images[int(which * len(self.images))]
            top, left = (int(u * (n - size + 1)) for u, n in ((y, image.shape[0]), (x, image.shape[1])))
            crop = image[top : top + size, left : left + size]
            out[i] = crop[:, ::-1] if mirror < 0.5 else crop
        return _network_values(out)

    def centres(self, size: int) -> Float[Tensor, "n 3 size size"]:
        """The square in the middle of every photo, values in [-1, 1]."""
        crops = []
        for image in self.images:
            top, left = ((n - size) // 2 for n in image.shape[:2])
            crops.append(image[top : top + size, left : left + size])
        return _network_values(np.stack(crops))

    def __add__(self, other: Photos) -> Photos:
        return Photos(self.images + other.images)


def world_frames(world: WorldDataset, *, every: int = 4) -> Photos:
    """Every so manieth frame of the scenes of a synthetic world that are not held out."""
    scenes = [
        (number, scene) for number, scene in world.scenes.items() if not is_held_out(scene_name(number))
    ]
    keys = [(number, frame) for number, scene in scenes for frame in range(len(scene["frames"]))]
    return Photos(tuple(world.rgb(*key) for key in keys[::every]))


def _network_values(pixels: UInt8[np.ndarray, "n h w 3"]) -> Float[Tensor, "n 3 h w"]:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def photo_paths(folder: Path, *, held_out: bool) -> list[Path]:
    """The photos under a folder (the other nine tenths, or the tenth that is held out), sorted.

    A photo is held out by the hash of its name: the split stays the same when photos are added.

    Raises:
        InputError: the folder holds no photos.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder} holds no photos ({', '.join(sorted(SUFFIXES))})")
    return [p for p in paths if is_held_out(p.stem) == held_out]


def is_held_out(name: str) -> bool:
    """Whether the photo or scene of this name is in the tenth that is never trained on."""
    return hashlib.sha256(name.encode()).digest()[0] % 10 == 0


def load_photos(paths: list[Path], *, min_side: int) -> Photos:
    """Decode photos; those with a side shorter than ``min_side`` are left out."""
    images = []
    for path in paths:
        with Image.open(path) as image:
            if min(image.size) >= min_side:
                images.append(np.asarray(image.convert("RGB")))
    return Photos(tuple(images))
