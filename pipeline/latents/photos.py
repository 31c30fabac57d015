"""Photos as a source of random crops."""

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
        return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 127.5 - 1


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
