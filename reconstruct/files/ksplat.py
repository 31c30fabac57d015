"""mkkellogg's .ksplat: read at every compression level, written at level 0 (float32), harmonics up to degree 2.

Source: GaussianSplats3D, the viewer whose format it is. A header of 4096 bytes, a header of 1024 for each section,
then per section the lengths of its partly filled buckets, the bucket centres and the splats. Levels 1 and 2 hold
positions as 16 bits around the centre of a splat's bucket, scales, rotations and harmonics as half floats (level 2:
harmonics in 8 bits). Harmonics lie degree by degree, each channel by channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..gaussians import Gaussians
from ..spherical_harmonics import rgb_from_sh, sh_from_rgb
from .splat_file import SplatFile, Traits, allocate, byte_from_unit, check_count, chunks, logit_from_byte

TRAITS = Traits()
_HEADER, _SECTION_HEADER, _MAX_SECTIONS = 4096, 1024, 1024
_FILE = np.dtype({
    "names": ["major", "minor", "max_sections", "sections", "max_splats", "splats", "level", "center", "sh_range"],
    "formats": ["u1", "u1", "<u4", "<u4", "<u4", "<u4", "<u2", ("<f4", 3), ("<f4", 2)],
    "offsets": [0, 1, 4, 8, 12, 16, 20, 24, 36],
    "itemsize": _HEADER,
})  # fmt: skip
_SECTION = np.dtype({
    "names": ["splats", "max_splats", "bucket_size", "buckets", "block_size", "bucket_bytes", "range", "bytes",
              "full_buckets", "partial_buckets", "sh_degree"],
    "formats": ["<u4", "<u4", "<u4", "<u4", "<f4", "<u2", "<u4", "<u4", "<u4", "<u4", "<u2"],
    "offsets": [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40],
    "itemsize": _SECTION_HEADER,
})  # fmt: skip
_COEFFICIENTS = (0, 3, 8, 15)
_DEFAULT_SH_RANGE = 1.5


@dataclass(frozen=True)
class _Section:
    """Where one section's splats lie and how to place them."""

    count: int
    rows: np.dtype
    offset: int
    sh_degree: int
    step: float
    zero: int
    bucket_of_splat: NDArray[np.int64] | None
    centers: NDArray[np.float32] | None


def read(path: Path) -> SplatFile:
    """Read the splats of every section."""
    size = path.stat().st_size
    if size < _HEADER + _SECTION_HEADER:
        raise InputError(f"{path} is too short to be a .ksplat file: {size} bytes")
    header = np.fromfile(path, _FILE, 1)[0]
    sections = int(header["max_sections"])
    level = int(header["level"])
    if int(header["major"]) != 0 or int(header["minor"]) < 1 or level > 2:
        raise InputError(
            f"{path} is not a .ksplat file that is understood: version {header['major']}.{header['minor']}, "
            f"compression level {level}"
        )
    if not 1 <= sections <= _MAX_SECTIONS or _HEADER + sections * _SECTION_HEADER > size:
        raise InputError(f"{path} is damaged or cut short: it claims {sections} sections in {size} bytes")
    layout = _layout(path, np.fromfile(path, _SECTION, sections, offset=_HEADER), level, size)
    low, high = (
        float(v) or end for v, end in zip(header["sh_range"], (-_DEFAULT_SH_RANGE, _DEFAULT_SH_RANGE))
    )
    gaussians = allocate(sum(s.count for s in layout), max((s.sh_degree for s in layout), default=0))
    start = 0
    with path.open("rb") as file:
        for section in layout:
            for part in chunks(section.count):
                file.seek(section.offset + part.start * section.rows.itemsize)
                rows = np.fromfile(file, section.rows, part.stop - part.start)
                target = gaussians[start + part.start : start + part.stop]
                _decode(target, rows, section, part, (low, high) if level == 2 else None)
            start += section.count
    return SplatFile(gaussians)


def write(path: Path, file: SplatFile) -> tuple[str, ...]:
    """Write one section at level 0; colours and opacities have 8 bits, harmonics go up to degree 2."""
    gaussians = file.gaussians
    degree, count = min(gaussians.sh_degree, 2), len(gaussians)
    rows_type = _rows_type(0, degree)
    header, section = np.zeros(1, _FILE), np.zeros(1, _SECTION)
    header["minor"], header["max_sections"], header["sections"] = 1, 1, 1
    header["max_splats"] = header["splats"] = section["splats"] = section["max_splats"] = count
    header["center"] = gaussians.means.double().mean(dim=0).numpy()
    header["sh_range"] = (-_DEFAULT_SH_RANGE, _DEFAULT_SH_RANGE)
    section["bytes"], section["sh_degree"] = count * rows_type.itemsize % (1 << 32), degree
    with path.open("wb") as out:
        out.write(header.tobytes() + section.tobytes())
        for part in chunks(count):
            chunk = gaussians[part]
            rows = np.zeros(len(chunk), rows_type)
            rows["mean"], rows["scale"] = chunk.means.numpy(), chunk.scales.numpy()
            rows["quat"] = torch.nn.functional.normalize(chunk.quats, dim=1).numpy()
            rows["rgba"][:, :3] = byte_from_unit(rgb_from_sh(chunk.sh[:, 0])).numpy()
            rows["rgba"][:, 3] = byte_from_unit(chunk.opacities).numpy()
            for band in range(1, degree + 1):
                coefficients = chunk.sh[:, band * band : (band + 1) ** 2]
                rows[f"sh{band}"] = coefficients.transpose(1, 2).flatten(1).numpy()
            out.write(rows.data)
    notes = ["colours were clamped to 0..1 and rounded to 8 bits"]
    if degree < gaussians.sh_degree:
        notes.append("harmonics of degree 3 were left out: .ksplat holds degree 2")
    return tuple(notes)


def _rows_type(level: int, degree: int) -> np.dtype:
    real, position = ("<f4", "<f4") if level == 0 else ("<f2", "<u2")
    harmonic = "u1" if level == 2 else real
    fields = [("mean", position, 3), ("scale", real, 3), ("quat", real, 4), ("rgba", "u1", 4)]
    return np.dtype(fields + [(f"sh{band}", harmonic, 3 * (2 * band + 1)) for band in range(1, degree + 1)])


def _layout(path: Path, sections: NDArray, level: int, size: int) -> list[_Section]:
    """Check every section's claims against the file's size; splats may fill less than a section's room."""
    layout, offset = [], _HEADER + len(sections) * _SECTION_HEADER
    for section in sections:
        room, partial, buckets = (int(section[k]) for k in ("max_splats", "partial_buckets", "buckets"))
        count, degree = int(section["splats"]), int(section["sh_degree"])
        if degree > 3:
            raise InputError(f"{path} has harmonics of degree {degree}; splats go up to 3")
        rows = _rows_type(level, degree)
        bucket_bytes = int(section["bucket_bytes"]) * buckets
        data = offset + 4 * partial + bucket_bytes
        end = data + room * rows.itemsize
        if end > size or count > room:
            raise InputError(
                f"{path} is damaged or cut short: a section of {count} splats does not fit into it"
            )
        if count:
            check_count(path, count, size - data, rows.itemsize)
            placed = _buckets(path, section, offset, count) if level else (None, None)
            zero = int(section["range"]) or 32767
            step = float(section["block_size"]) / 2 / zero
            layout.append(_Section(count, rows, data, degree, step, zero, *placed))
        offset = end
    check_count(path, sum(s.count for s in layout), size, 1)
    return layout


def _buckets(
    path: Path, section: np.void, offset: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The bucket of every splat, and the bucket centres."""
    full, partial, buckets = (int(section[k]) for k in ("full_buckets", "partial_buckets", "buckets"))
    if (
        int(section["bucket_bytes"]) != 12
        or full + partial > buckets
        or full * int(section["bucket_size"]) > 1 << 40
    ):
        raise InputError(
            f"{path} is damaged: its buckets ({full} full, {partial} partly full of {buckets}) make no sense"
        )
    lengths = np.fromfile(path, "<u4", partial, offset=offset).astype(np.int64)
    centers = np.fromfile(path, ("<f4", 3), buckets, offset=offset + 4 * partial)
    ends = np.concatenate([np.full(full, int(section["bucket_size"]), np.int64), lengths]).cumsum()
    if not len(ends) or ends[-1] < count:
        raise InputError(f"{path} is damaged: its buckets hold fewer than the {count} splats of the section")
    return np.searchsorted(ends, np.arange(count), side="right"), centers


def _decode(
    target: Gaussians, rows: NDArray, section: _Section, part: slice, sh_range: tuple[float, float] | None
) -> None:
    means = torch.from_numpy(rows["mean"].astype(np.float32))
    if section.bucket_of_splat is not None and section.centers is not None:
        centers = torch.from_numpy(section.centers[section.bucket_of_splat[part]])
        means = (means - section.zero) * section.step + centers
    target.means[:] = means
    target.log_scales[:] = torch.from_numpy(rows["scale"].astype(np.float32)).log()
    target.quats[:] = torch.from_numpy(rows["quat"].astype(np.float32))
    target.sh[:, 0] = sh_from_rgb(torch.from_numpy(rows["rgba"][:, :3]) / 255)
    target.opacity_logits[:] = logit_from_byte(rows["rgba"][:, 3])
    target.sh[:, 1:] = 0
    for band in range(1, section.sh_degree + 1):
        values = torch.from_numpy(rows[f"sh{band}"].astype(np.float32))
        if sh_range is not None:
            values = sh_range[0] + values / 255 * (sh_range[1] - sh_range[0])
        target.sh[:, band * band : (band + 1) ** 2] = values.unflatten(1, (3, -1)).transpose(1, 2)
