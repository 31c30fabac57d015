"""PlayCanvas .sog (version 2): a zip of lossless WebP images, one pixel a splat, and a meta.json that explains them.

Source: the format's public description. Positions are 16 bits on a logarithmic scale, rotations three components of
8 bits, opacity 8 bits; scales and colours are indices into tables of 256 levels; the higher harmonics of a splat are
an index into a palette of at most 65,536 rows, whose entries are again one of 256 levels.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..gaussians import Gaussians
from .codebooks import nearest_level, scalar_codebook, vector_codebook
from .morton import morton_order
from .quaternions import SQRT_HALF, from_smallest_three, smallest_three
from .splat_file import (
    SplatFile,
    Traits,
    allocate,
    byte_from_unit,
    check_packed_count,
    chunks,
    logit_from_byte,
)

TRAITS = Traits(axes="told", unit="told")
_COEFFICIENTS = (0, 3, 8, 15)
_MAX_META = 1 << 20
_MAX_PALETTE = 1 << 16
_PALETTE_COLUMNS = 64
_BYTES_PER_SPLAT = 20
_FIRST_TAG = 252
"""Alpha of a rotation's pixel, plus the index (wxyz) of the largest component."""


@dataclass(frozen=True)
class _Archive:
    """An open .sog file; everything in it is checked before it is used."""

    path: Path
    zip: zipfile.ZipFile
    meta: dict[str, Any]
    count: int

    def table(self, section: str, key: str, length: int) -> Float[Tensor, "length"]:
        """A list of numbers from meta.json."""
        values = _section(self, section).get(key)
        values = values if isinstance(values, list) else []
        if len(values) != length or not all(type(v) in (int, float) and abs(v) < 1e30 for v in values):
            raise InputError(f"{self.path} has a damaged meta.json: {section}.{key} is not {length} numbers")
        return torch.tensor(values, dtype=torch.float64)

    def image(self, section: str, index: int, *, size: tuple[int, int] | None = None) -> UInt8[Tensor, "p 4"]:
        """Pixels, RGBA, row by row; at least one a splat, or exactly the given size.

        The size in the image's header is checked before it is decoded.
        """
        names = _section(self, section).get("files")
        if not isinstance(names, list) or len(names) <= index or not isinstance(names[index], str):
            raise InputError(f"{self.path} has a damaged meta.json: {section}.files has no entry {index}")
        limit = _BYTES_PER_SPLAT * self.count + 4 * _MAX_PALETTE * 64
        data = _member(self.path, self.zip, names[index], limit)
        try:
            with Image.open(io.BytesIO(data), formats=["WEBP"]) as picture:
                width, height = picture.size
                fits = (
                    (width, height) == size if size else self.count <= width * height <= 2 * self.count + 8192
                )
                if not fits:
                    raise InputError(
                        f"{self.path} is damaged: {names[index][:40]!r} has {width} x {height} pixels"
                    )
                pixels = np.array(picture.convert("RGBA"))
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.path} is damaged: {names[index][:40]!r} is not a WebP image") from error
        return torch.from_numpy(pixels).flatten(0, 1)


def read(path: Path) -> SplatFile:
    """Read the splats, in the file's order."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(_open(path, archive))
    except (zipfile.BadZipFile, struct.error, NotImplementedError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a .sog file: its zip archive cannot be read ({error})") from error


def file_order(gaussians: Gaussians) -> Int64[Tensor, "n"]:
    """The order in which splats are written: along a Z-curve."""
    return morton_order(gaussians.means)


def write(path: Path, file: SplatFile) -> tuple[str, ...]:
    """Write the splats in Morton order; axes and unit go into the ``asset`` of meta.json."""
    gaussians = file.gaussians
    order = file_order(gaussians)
    asset: dict[str, Any] = {"generator": "cosmorama"}
    asset |= {} if file.up is None else {"up_axis": file.up.tolist()}
    asset |= {} if file.metres_per_unit is None else {"metres_per_unit": file.metres_per_unit}
    meta: dict[str, Any] = {"version": 2, "asset": asset, "count": len(gaussians)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, pack in _SECTIONS.items():
            images, section = pack(gaussians, order)
            for image, pixels in images.items():
                archive.writestr(_entry(f"{image}.webp"), _webp(pixels))
            if images:
                meta[name] = {**section, "files": [f"{image}.webp" for image in images]}
        archive.writestr(_entry("meta.json"), json.dumps(meta, separators=(",", ":")))
    notes = ["splats were put in Morton order", "scales and colours were rounded to 256 levels"]
    if gaussians.sh_degree:
        notes.append(f"harmonics were gathered into a palette of {_palette_size(len(gaussians))}")
    return tuple(notes)


def _open(path: Path, archive: zipfile.ZipFile) -> _Archive:
    try:
        meta = json.loads(_member(path, archive, "meta.json", _MAX_META))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} has a meta.json that cannot be read") from error
    if not isinstance(meta, dict) or meta.get("version") != 2:
        raise InputError(f"{path} has a meta.json that is not of version 2 of .sog")
    count = meta.get("count")
    if type(count) is not int:
        raise InputError(f"{path} has a damaged meta.json: it does not tell the count of splats")
    check_packed_count(path, count)
    return _Archive(path, archive, meta, count)


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A file in the archive, by its exact name, and never more than ``limit`` bytes of it.

    Nothing is ever written to a path that an archive names, so a name with ``..`` finds nothing and does no harm.
    """
    try:
        with archive.open(name) as file:
            data = file.read(limit + 1)
    except KeyError as error:
        raise InputError(f"{path} is not a whole .sog file: it has no {name[:40]!r}") from error
    except (
        RuntimeError,
        zlib.error,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        struct.error,
        ValueError,
    ) as error:
        raise InputError(f"{path} is damaged: {name[:40]!r} cannot be unpacked ({error})") from error
    if len(data) > limit:
        raise InputError(f"{path} is damaged: {name[:40]!r} unpacks to more than {limit} bytes")
    return data


def _section(archive: _Archive, name: str) -> dict[str, Any]:
    section = archive.meta.get(name)
    if not isinstance(section, dict):
        raise InputError(f"{archive.path} has a damaged meta.json: no section {name!r}")
    return section


def _read(archive: _Archive) -> SplatFile:
    bands = _section(archive, "shN").get("bands") if "shN" in archive.meta else 0
    if type(bands) is not int or not 0 <= bands <= 3:
        raise InputError(
            f"{archive.path} has a damaged meta.json: shN.bands is {str(bands)[:20]!r}, not 0 to 3"
        )
    gaussians = allocate(archive.count, bands)
    _unpack_means(gaussians, archive)
    pixels = archive.image("quats", 0)[: archive.count]
    tags = pixels[:, 3].long() - _FIRST_TAG
    quats = from_smallest_three(tags.clamp_min(0), (pixels[:, :3].float() / 127.5 - 1) * SQRT_HALF)
    gaussians.quats[:] = torch.where(tags[:, None] < 0, torch.tensor([1.0, 0.0, 0.0, 0.0]), quats)
    pixels = archive.image("scales", 0)[: archive.count]
    gaussians.log_scales[:] = archive.table("scales", "codebook", 256).float()[pixels[:, :3].long()]
    pixels = archive.image("sh0", 0)[: archive.count]
    gaussians.sh[:, 0] = archive.table("sh0", "codebook", 256).float()[pixels[:, :3].long()]
    gaussians.opacity_logits[:] = logit_from_byte(pixels[:, 3])
    if bands:
        _unpack_harmonics(gaussians, archive, bands)
    return SplatFile(gaussians, up=_up(archive), metres_per_unit=_unit(archive))


def _unpack_means(target: Gaussians, archive: _Archive) -> None:
    low, high = (archive.image("means", i)[: archive.count, :3] for i in (0, 1))
    least, greatest = (archive.table("means", key, 3) for key in ("mins", "maxs"))
    for part in chunks(archive.count):
        fixed = low[part].double() + high[part].double() * 256
        logarithm = least + (greatest - least) * fixed / 65535
        target.means[part] = (logarithm.sign() * logarithm.abs().expm1()).float()


def _unpack_harmonics(target: Gaussians, archive: _Archive, bands: int) -> None:
    rows, coefficients = _section(archive, "shN").get("count"), _COEFFICIENTS[bands]
    if type(rows) is not int or not 1 <= rows <= _MAX_PALETTE:
        raise InputError(
            f"{archive.path} has a damaged meta.json: shN.count is {str(rows)[:20]!r}, not 1 to {_MAX_PALETTE}"
        )
    size = (_PALETTE_COLUMNS * coefficients, -(-rows // _PALETTE_COLUMNS))
    pixels = archive.image("shN", 0, size=size)[:, :3].unflatten(0, (-1, coefficients))
    palette = archive.table("shN", "codebook", 256).float()[pixels.long()]
    labels = archive.image("shN", 1)[: archive.count]
    index = labels[:, 0].long() | labels[:, 1].long() << 8
    if int(index.max()) >= rows:
        raise InputError(f"{archive.path} is damaged: harmonics beyond the {rows} rows of its palette")
    for part in chunks(archive.count):
        target.sh[part, 1:] = palette[index[part]]


def _up(archive: _Archive) -> Float[Tensor, "3"] | None:
    asset = archive.meta.get("asset")
    values = asset.get("up_axis") if isinstance(asset, dict) else None
    if not isinstance(values, list) or len(values) != 3 or not all(type(v) in (int, float) for v in values):
        return None
    up = torch.tensor([float(v) for v in values])
    length = float(up.norm())
    return up / length if math.isfinite(length) and length > 1e-6 else None


def _unit(archive: _Archive) -> float | None:
    asset = archive.meta.get("asset")
    value = asset.get("metres_per_unit") if isinstance(asset, dict) else None
    return float(value) if isinstance(value, int | float) and 0 < value < 1e18 else None


_Packed = tuple[dict[str, UInt8[Tensor, "h w 4"]], dict[str, Any]]


def _pack_means(gaussians: Gaussians, order: Tensor) -> _Packed:
    means = gaussians.means[order].double()
    logarithm = means.sign() * means.abs().log1p()
    least, greatest = logarithm.amin(dim=0), logarithm.amax(dim=0)
    extent = torch.where(greatest > least, greatest - least, 1.0)
    fixed = ((logarithm - least) / extent * 65535).round().int()
    images = {"means_l": _image(fixed & 255), "means_u": _image(fixed >> 8)}
    return images, {"mins": least.tolist(), "maxs": greatest.tolist()}


def _pack_quats(gaussians: Gaussians, order: Tensor) -> _Packed:
    largest, others = smallest_three(gaussians.quats[order])
    pixels = torch.cat([byte_from_unit(others / (2 * SQRT_HALF) + 0.5), largest[:, None] + _FIRST_TAG], dim=1)
    return {"quats": _image(pixels)}, {}


def _pack_scales(gaussians: Gaussians, order: Tensor) -> _Packed:
    levels = scalar_codebook(gaussians.log_scales)
    return {"scales": _image(nearest_level(gaussians.log_scales[order], levels))}, {
        "codebook": levels.tolist()
    }


def _pack_colors(gaussians: Gaussians, order: Tensor) -> _Packed:
    levels = scalar_codebook(gaussians.sh[:, 0])
    rgb = nearest_level(gaussians.sh[order, 0], levels)
    pixels = torch.cat([rgb, byte_from_unit(gaussians.opacities[order])[:, None]], dim=1)
    return {"sh0": _image(pixels)}, {"codebook": levels.tolist()}


def _pack_harmonics(gaussians: Gaussians, order: Tensor) -> _Packed:
    coefficients = gaussians.sh.shape[1] - 1
    if not coefficients:
        return {}, {}
    rows = _palette_size(len(gaussians))
    palette, label = vector_codebook(gaussians.sh[:, 1:].flatten(1), rows)
    levels = scalar_codebook(palette)
    height = -(-rows // _PALETTE_COLUMNS)
    entries = torch.zeros(height * _PALETTE_COLUMNS, coefficients, 3, dtype=torch.uint8)
    entries[:rows] = nearest_level(palette, levels).unflatten(1, (coefficients, 3))
    label = label[order]
    images = {
        "shN_centroids": _opaque(entries.view(height, _PALETTE_COLUMNS * coefficients, 3)),
        "shN_labels": _image(torch.stack([label & 255, label >> 8, torch.zeros_like(label)], dim=1)),
    }
    return images, {"count": rows, "bands": gaussians.sh_degree, "codebook": levels.tolist()}


def _palette_size(count: int) -> int:
    """A power of two, at most the number of splats and what 16 bits can tell apart."""
    return min(_MAX_PALETTE, 1 << count.bit_length() - 1)


def _image(values: Tensor) -> UInt8[Tensor, "h w 4"]:
    """Rows of 3 or 4 values as the pixels of an almost square image; sides are multiples of 4."""
    width = 4 * math.ceil(math.sqrt(len(values)) / 4)
    height = 4 * math.ceil(len(values) / width / 4)
    pixels = torch.zeros(height * width, values.shape[1], dtype=torch.uint8)
    pixels[: len(values)] = values.to(torch.uint8)
    pixels = pixels.view(height, width, -1)
    return pixels if pixels.shape[2] == 4 else _opaque(pixels)


def _opaque(pixels: UInt8[Tensor, "h w 3"]) -> UInt8[Tensor, "h w 4"]:
    return torch.cat([pixels, torch.full_like(pixels[..., :1], 255)], dim=2)


def _webp(pixels: UInt8[Tensor, "h w 4"]) -> bytes:
    """Lossless, colours kept under transparent pixels too."""
    out = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(out, "WEBP", lossless=True, exact=True, quality=50, method=3)
    return out.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry without the time of day, so that the same splats give the same bytes."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


_SECTIONS = {
    "means": _pack_means, "quats": _pack_quats, "scales": _pack_scales, "sh0": _pack_colors, "shN": _pack_harmonics,
}  # fmt: skip
"""What meta.json names, and what makes it."""
