"""INRIA .ply: the raw parameters of 3D Gaussian Splatting as float32, nothing lost.

Source: the layout that the reference implementation of Kerbl et al. (2023) writes. The harmonics above the
constant are stored channel by channel (all of red, then green, then blue). The format says nothing about axes or
units; they travel as header comments (``comment up_axis X Y Z``, ``comment metres_per_unit S``), which other
readers skip.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..spherical_harmonics import sh_degree
from .splat_file import SplatFile, Traits, allocate, check_count, chunks

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
TRAITS = Traits(axes="told", unit="told")
_MAX_HEADER = 1 << 16
_SCALES = ("scale_0", "scale_1", "scale_2")
_ROTATIONS = ("rot_0", "rot_1", "rot_2", "rot_3")
_DC = ("f_dc_0", "f_dc_1", "f_dc_2")


@dataclass(frozen=True)
class PlyElement:
    """One element of a header: so many rows of one type."""

    name: str
    count: int
    dtype: np.dtype
    offset: int
    """Where its rows begin in the file."""


@dataclass(frozen=True)
class PlyHeader:
    """The parsed header of a binary .ply file whose elements all have fixed sizes."""

    elements: dict[str, PlyElement]
    comments: tuple[str, ...]

    @property
    def up(self) -> Float[Tensor, "3"] | None:
        """Unit up direction from the comments: ours, or the ``Vertical Axis: z`` of nerfstudio."""
        for comment in self.comments:
            words = comment.lower().replace(":", " ").split()
            if words[:1] == ["up_axis"] and len(words) == 4:
                up = torch.tensor([_number(word) for word in words[1:]])
                length = float(up.norm())
                return up / length if math.isfinite(length) and length > 1e-6 else None
            if words[:2] == ["vertical", "axis"] and len(words) == 3 and words[2] in ("x", "y", "z"):
                return torch.eye(3)["xyz".index(words[2])]
        return None

    @property
    def metres_per_unit(self) -> float | None:
        """Length of one unit from the comments."""
        for comment in self.comments:
            words = comment.split()
            if words[:1] == ["metres_per_unit"] and len(words) == 2:
                value = _number(words[1])
                return value if math.isfinite(value) and value > 0 else None
        return None


def read_ply_header(path: Path) -> PlyHeader:
    """Parse and check the header; every element is known to lie inside the file.

    Raises:
        InputError: not a binary .ply, a header that cannot be read, or rows that the file is too short for.
    """
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER)
        size = file.seek(0, 2)
    if not start.startswith((b"ply\n", b"ply\r\n")):
        raise InputError(f"{path} is not a .ply file: it does not begin with the line 'ply'")
    end = start.find(b"end_header")
    newline = start.find(b"\n", end)
    if end < 0 or newline < 0:
        raise InputError(f"{path} is not a readable .ply file: its header has no end")
    lines = start[:end].decode("latin-1").splitlines()[1:]
    order = _byte_order(path, lines)
    declared: list[tuple[str, int, list[tuple[str, str]]]] = []
    comments = []
    for line in lines:
        words = line.split()
        if words[:1] in (["comment"], ["obj_info"]):
            comments.append(" ".join(words[1:]))
        elif words[:1] == ["element"] and len(words) == 3 and words[2].isdecimal() and len(words[2]) < 19:
            declared.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"] and len(words) == 3 and words[1] in _TYPES and declared:
            declared[-1][2].append((words[2], order + _TYPES[words[1]]))
        elif words and words[0] != "format":
            raise InputError(f"{path} has a .ply header line that splats do not have: {line[:60]!r}")
    return PlyHeader(_elements(path, declared, newline + 1, size), tuple(comments))


def read(path: Path) -> SplatFile:
    """Read the raw parameters; unknown properties and elements are skipped."""
    header = read_ply_header(path)
    element = header.elements.get("vertex")
    if element is None:
        raise InputError(f"{path} has no vertex element, so it holds no splats")
    names = element.dtype.names or ()
    missing = [name for name in ("x", "y", "z", "opacity", *_SCALES, *_ROTATIONS, *_DC) if name not in names]
    if missing:
        raise InputError(
            f"{path} is a .ply file without splats (a mesh or point cloud?): it lacks {missing[0]}"
        )
    check_count(path, element.count, path.stat().st_size - element.offset, element.dtype.itemsize)
    per_channel = _harmonics(path, names)
    kept = min(per_channel, 15)
    notes = ("harmonics of degree 4 were left out",) if per_channel > kept else ()
    groups = [("x", "y", "z"), _SCALES, _ROTATIONS, _DC, tuple(f"f_rest_{i}" for i in range(3 * per_channel))]
    means, scales, rotations, constant, rest = (_columns(names, group) for group in groups)
    gaussians = allocate(element.count, sh_degree(1 + kept))
    with path.open("rb") as file:
        file.seek(element.offset)
        for part in chunks(element.count):
            rows = torch.from_numpy(_read_rows(file, element, part.stop - part.start))
            gaussians.means[part], gaussians.opacity_logits[part] = (
                rows[:, means],
                rows[:, names.index("opacity")],
            )
            gaussians.log_scales[part], gaussians.quats[part] = rows[:, scales], rows[:, rotations]
            gaussians.sh[part, 0] = rows[:, constant]
            if kept:
                gaussians.sh[part, 1:] = (
                    rows[:, rest].unflatten(1, (3, per_channel))[..., :kept].transpose(1, 2)
                )
    return SplatFile(gaussians, up=header.up, metres_per_unit=header.metres_per_unit, notes=notes)


def write(path: Path, file: SplatFile) -> tuple[str, ...]:
    """Write the raw parameters; nothing is lost."""
    gaussians = file.gaussians
    rest = gaussians.sh.shape[1] - 1
    names = ["x", "y", "z", "nx", "ny", "nz", *_DC, *(f"f_rest_{i}" for i in range(3 * rest)), "opacity"]
    names += [f"scale_{i}" for i in range(3)] + [f"rot_{i}" for i in range(4)]
    lines = ["ply", "format binary_little_endian 1.0", *axis_comments(file)]
    lines += [f"element vertex {len(gaussians)}", *(f"property float {name}" for name in names), "end_header"]
    with path.open("wb") as out:
        out.write(("\n".join(lines) + "\n").encode("ascii"))
        for part in chunks(len(gaussians)):
            chunk = gaussians[part]
            rows = np.zeros((len(chunk), len(names)), "<f4")
            rows[:, 0:3] = chunk.means.numpy()
            rows[:, 6:9] = chunk.sh[:, 0].numpy()
            rows[:, 9 : 9 + 3 * rest] = chunk.sh[:, 1:].transpose(1, 2).flatten(1).numpy()
            rows[:, -8] = chunk.opacity_logits.numpy()
            rows[:, -7:-4] = chunk.log_scales.numpy()
            rows[:, -4:] = chunk.quats.numpy()
            out.write(rows.data)
    return ()


def axis_comments(file: SplatFile) -> list[str]:
    """Header lines that carry the up direction and the unit."""
    up = [] if file.up is None else [f"up_axis {' '.join(f'{value:.9g}' for value in file.up.tolist())}"]
    unit = [] if file.metres_per_unit is None else [f"metres_per_unit {file.metres_per_unit:.9g}"]
    return [f"comment {words}" for words in (*up, *unit)]


def _byte_order(path: Path, lines: list[str]) -> str:
    formats = [line.split()[1:2] for line in lines if line.startswith("format ")]
    orders = {"binary_little_endian": "<", "binary_big_endian": ">"}
    if not formats or not formats[0] or formats[0][0] not in orders:
        found = " ".join(formats[0]) if formats else "none"
        raise InputError(
            f"{path} is not a binary .ply file (format {found[:40]!r}); splats are kept in binary ones"
        )
    return orders[formats[0][0]]


def _elements(
    path: Path, declared: list[tuple[str, int, list[tuple[str, str]]]], offset: int, size: int
) -> dict[str, PlyElement]:
    elements = {}
    for name, count, properties in declared:
        if not properties or len({p for p, _ in properties}) != len(properties) or name in elements:
            raise InputError(
                f"{path} has a damaged .ply header: element {name[:40]!r} is empty or repeats itself"
            )
        dtype = np.dtype(properties)
        if count * dtype.itemsize > size - offset:
            raise InputError(
                f"{path} is damaged or cut short: element {name[:40]!r} claims {count} rows of "
                f"{dtype.itemsize} bytes, {max(size - offset, 0)} bytes are left"
            )
        elements[name] = PlyElement(name, count, dtype, offset)
        offset += count * dtype.itemsize
    return elements


def _harmonics(path: Path, names: tuple[str, ...]) -> int:
    """How many harmonics above the constant each channel has."""
    total = sum(name.startswith("f_rest_") for name in names)
    if total not in (0, 9, 24, 45, 72) or any(f"f_rest_{i}" not in names for i in range(total)):
        raise InputError(
            f"{path} has {total} f_rest properties; splats have 0, 9, 24, 45 or 72, numbered from 0"
        )
    return total // 3


def _columns(names: tuple[str, ...], wanted: tuple[str, ...]) -> slice | list[int]:
    """Where properties stand in a row; a slice, which costs no copy, where they stand together in order."""
    places = [names.index(name) for name in wanted]
    together = places == list(range(places[0], places[0] + len(places))) if places else False
    return slice(places[0], places[-1] + 1) if together else places


def _read_rows(file: BinaryIO, element: PlyElement, count: int) -> NDArray[np.float32]:
    """The next rows, every property as float32."""
    raw = np.fromfile(file, dtype=element.dtype, count=count)
    names = element.dtype.names or ()
    native = "<f4" if sys.byteorder == "little" else ">f4"
    if all(element.dtype[name] == np.dtype(native) for name in names):
        return raw.view(np.float32).reshape(count, len(names))
    with np.errstate(over="ignore"):
        return np.stack([raw[name].astype(np.float32) for name in names], axis=1)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan
