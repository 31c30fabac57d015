"""Photo files in: any common format, upright, in sRGB, with a focal length.

Source of the focal length rule: EXIF 2.32; FocalLengthIn35mmFilm is relative to the 43.27 mm diagonal of the frame.
"""

from __future__ import annotations

import io
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import ExifTags, Image, ImageCms, ImageOps
from torch import Tensor

from ..reconstruct.cameras import Cameras, focal_px_from_fov, pinhole_intrinsics
from ..reconstruct.captures.clip import SUFFIXES
from ..reconstruct.errors import InputError
from ..reconstruct.reading import read_limited
from .scan_rim import without_rim

log = logging.getLogger(__name__)

DEFAULT_FOV_DEG = 60.0
"""Over the long side, where neither EXIF nor the user tells: about a 31 mm lens on a full frame."""
MIN_FOV_DEG, MAX_FOV_DEG = 0.5, 150.0
"""Over the long side; beyond these a scene has no sensible shape."""
FILM_DIAGONAL_MM = 43.27
MIN_SIDE, MAX_SIDE, MAX_PIXELS, MAX_ASPECT = 32, 30_000, 200_000_000, 10.0
MAX_BYTES = 1 << 30
"""Of a photo file."""


@dataclass(frozen=True)
class Photo:
    """An upright photo at working resolution."""

    image: Float[Tensor, "h w 3"]
    """sRGB in [0, 1]."""
    focal_px: float
    """In pixels of ``image``."""
    focal_source: Literal["given", "exif", "default", "found"]
    """``found`` from several photos."""
    original_size: tuple[int, int]
    """Width and height of the upright photo in the file."""

    @property
    def camera(self) -> Cameras:
        """A batch of one: identity pose, which makes the photo's camera the world."""
        height, width = self.image.shape[:2]
        return Cameras(
            torch.eye(4)[None], pinhole_intrinsics(self.focal_px, width, height)[None], width, height
        )


def load_photo(
    path: Path | str, *, long_side: int | None = None, focal_px: float | None = None, enlarge: bool = True
) -> Photo:
    """Read a photo (JPEG, PNG, WebP, HEIC, AVIF, TIFF, ...; 8 or 16 bit; grey, colour, alpha).

    A scanner's dark rim is painted over, see ``without_rim``.

    Args:
        path: the file.
        long_side: shrink to this many pixels; smaller photos are enlarged to it. Default: as in the file.
        enlarge: smaller photos are, otherwise they stay as they are.
        focal_px: focal length in pixels of the file's own resolution; default from EXIF, else from
            ``DEFAULT_FOV_DEG`` over the long side.

    Raises:
        InputError: not a readable image, or of an absurd size or focal length.
    """
    path = Path(path)
    opened = _open_checked(path, focal_px)
    try:
        exif = opened.getexif()
        upright = ImageOps.exif_transpose(_to_srgb(opened))
        rgb = without_rim(_float_rgb(upright))
    except InputError:
        raise
    except Exception as error:  # decoders raise anything from OSError to struct.error on broken files
        raise InputError(f"{path}: broken image ({error})") from None
    height, width = rgb.shape[:2]
    focal, source = _focal_px(exif, width, height, focal_px)
    scale = 1.0 if long_side is None else long_side / max(width, height)
    scale = scale if enlarge else min(scale, 1.0)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != (width, height):
        rgb = _resize(rgb, size)
    image = torch.from_numpy(np.ascontiguousarray(rgb)).clamp(0, 1)
    return Photo(image, focal * size[0] / width, source, (width, height))


def check_photo(path: Path | str, *, focal_px: float | None = None) -> None:
    """Refuse what can be told to be no usable photo without decoding it; arguments and errors as in ``load_photo``."""
    _open_checked(Path(path), focal_px)


def check_focal(focal_px: float, long_side: int) -> None:
    """Refuse a focal length that no lens has.

    Args:
        focal_px: in pixels.
        long_side: of the picture, in pixels.

    Raises:
        InputError: not a positive number, or a field of view below ``MIN_FOV_DEG`` or above ``MAX_FOV_DEG``.
    """
    if not (math.isfinite(focal_px) and focal_px > 0):
        raise InputError(f"focal length must be a positive number of pixels, not {focal_px}")
    fov = _fov_deg(focal_px, long_side)
    if not MIN_FOV_DEG <= fov <= MAX_FOV_DEG:
        raise InputError(
            f"a focal length of {focal_px:g} pixels means a field of view of {fov:.4g} degrees "
            f"over {long_side} pixels; it must be {MIN_FOV_DEG:g} to {MAX_FOV_DEG:g}"
        )


def _fov_deg(focal_px: float, length_px: int) -> float:
    return 2 * math.degrees(math.atan(length_px / (2 * focal_px)))


def _open_checked(path: Path, focal_px: float | None) -> Image.Image:
    """Open without decoding and refuse absurd sizes before any memory is spent on them."""
    if path.suffix.lower() in SUFFIXES and path.is_file():
        raise InputError(f"{path}: a clip, where a photo is wanted")
    data = read_limited(path, MAX_BYTES)
    _register_heif()
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        opened = Image.open(io.BytesIO(data))
        width, height = opened.size
    except Exception as error:
        hint = " (HEIC needs the photo extra)" if path.suffix.lower() in (".heic", ".heif") else ""
        reason = (
            "not an image that can be read" if "cannot identify" in str(error) else f"broken image ({error})"
        )
        raise InputError(f"{path}: {reason}{hint}") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{path}: {width}x{height} pixels is too small; at least {MIN_SIDE} on each side")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: {width}x{height} pixels is too large; at most {MAX_SIDE} on a side and 200 megapixels"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(f"{path}: {width}x{height} is too long and thin; at most {MAX_ASPECT:.0f} to 1")
    if focal_px is not None:
        check_focal(focal_px, max(width, height))
    return opened


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _to_srgb(image: Image.Image) -> Image.Image:
    """Apply an embedded colour profile (phones write Display P3); broken profiles are ignored."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        log.warning("the photo's colour profile was ignored: %s", error)
        return image
    assert converted is not None
    converted.info = {**image.info}
    converted.info.pop("icc_profile")
    converted.getexif().update(image.getexif())
    return converted


def _float_rgb(image: Image.Image) -> Float[np.ndarray, "h w 3"]:
    """Any Pillow mode as float32 RGB in [0, 1]; alpha is laid over white."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's 32-bit mode also comes from 16-bit files
        grey = np.asarray(image).astype(np.float32) / 65535.0
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode == "F":
        grey = np.nan_to_num(np.asarray(image, dtype=np.float32))
        return np.repeat((grey / max(1.0, float(grey.max())))[..., None], 3, axis=-1)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA")).astype(np.float32) / 255.0
        return rgba[..., :3] * rgba[..., 3:] + (1.0 - rgba[..., 3:])
    return np.asarray(image.convert("RGB")).astype(np.float32) / 255.0


def _resize(rgb: Float[np.ndarray, "h w 3"], size: tuple[int, int]) -> Float[np.ndarray, "h2 w2 3"]:
    """Lanczos per channel in floating point, so 16 bits stay 16 bits."""
    channels = [Image.fromarray(rgb[..., c]).resize(size, Image.Resampling.LANCZOS) for c in range(3)]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def _focal_px(
    exif: Image.Exif, width: int, height: int, given: float | None
) -> tuple[float, Literal["given", "exif", "default"]]:
    if given is not None:
        return given, "given"
    try:
        film_mm = float(exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm, 0))
    except (TypeError, ValueError, ZeroDivisionError):
        film_mm = 0.0
    long_side = max(width, height)
    focal_px = film_mm * math.hypot(width, height) / FILM_DIAGONAL_MM
    if focal_px > 0 and MIN_FOV_DEG <= _fov_deg(focal_px, long_side) <= MAX_FOV_DEG:
        return focal_px, "exif"
    return focal_px_from_fov(DEFAULT_FOV_DEG, long_side), "default"
