"""Surface textures: procedural (endless and free of licences), from photos, from models, from optional packages.

A texture key names an image for ever: ``proc:wood:3`` is the fourth wood, ``model:...`` a catalogue texture,
``photo:/path.jpg`` a picture of the user's. Procedural textures tile, are sRGB, and where a material's colour should
come from the scene they are grey with mean 0.8, to be multiplied.
"""

from __future__ import annotations

import os
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..cache import cache_dir
from .model import srgb_to_linear
from .models import load_model_texture
from .patterns import PATTERNS

VERSION = 1
VARIANTS = 16
"""Kept variants of a procedural pattern."""
PRINTS = 40
"""Of ``cover`` and ``picture``, of which a room holds many."""


@lru_cache(maxsize=400)
def load_texture(key: str) -> np.ndarray:
    """The image of a texture key: uint8 [H, W, 4], sides powers of two, sRGB with alpha."""
    kind = key.split(":", 1)[0]
    if kind == "model":
        return load_model_texture(key)
    if kind == "photo":
        return _load_photo(Path(key.split(":", 1)[1]))
    return _load_procedural(key)


def procedural(pattern: str, rng: np.random.Generator) -> str:
    """A random variant of a procedural pattern, as a key."""
    if pattern not in PATTERNS:
        raise ValueError(f"no such pattern: {pattern!r}; there are {sorted(PATTERNS)}")
    return f"proc:{pattern}:{rng.integers(PRINTS if pattern in ('cover', 'picture') else VARIANTS)}"


@lru_cache(maxsize=2000)
def mean_color(key: str) -> np.ndarray:
    """float32 [3]: mean linear colour of a texture where it is opaque."""
    image = load_texture(key)[::8, ::8].reshape(-1, 4)
    weight = image[:, 3:].astype(np.float64) + 1e-6
    linear = srgb_to_linear(image[:, :3] / 255.0)
    return ((linear * weight).sum(axis=0) / weight.sum()).astype(np.float32)


def _load_photo(path: Path) -> np.ndarray:
    image = Image.open(path).convert("RGBA")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)).resize((256, 256)))


def _load_procedural(key: str) -> np.ndarray:
    _, pattern, index = key.split(":")
    folder = cache_dir() / "world" / f"textures-{VERSION}"
    path = folder / f"{pattern}-{index}.npy"
    if path.exists():
        return np.load(path)
    rng = np.random.default_rng([zlib.crc32(pattern.encode()), int(index)])
    rgb = np.clip(PATTERNS[pattern](rng), 0, 1)
    image = np.full((*rgb.shape[:2], 4), 255, np.uint8)
    image[..., :3] = np.round(rgb[..., :3] * 255)
    if rgb.shape[2] == 4:
        image[..., 3] = np.round(rgb[..., 3] * 255)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.stem}-{os.getpid()}.npy")
    np.save(scratch, image)
    scratch.replace(path)
    return image
