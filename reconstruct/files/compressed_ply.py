"""PlayCanvas .compressed.ply: 16 bytes a splat in chunks of 256, and 8 bits for each higher harmonic.

Source: the format as SuperSplat and splat-transform describe and read it. Positions and log-scales are 11+10+11 bits
and colours 8 bits between the chunk's least and greatest, rotations three components of 10 bits, opacity 8 bits.
Harmonics above the constant lie between -4 and 4, channel by channel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..gaussians import Gaussians
from ..spherical_harmonics import rgb_from_sh, sh_degree, sh_from_rgb
from .morton import morton_order
from .ply import PlyElement, PlyHeader, axis_comments, read_ply_header
from .quaternions import SQRT_HALF, from_smallest_three, smallest_three
from .splat_file import (
    SplatFile,
    Traits,
    allocate,
    byte_from_unit,
    check_count,
    chunks,
    count_beyond,
    logit_from_byte,
)

TRAITS = Traits(axes="told", unit="told")
_CHUNK = 256
_GROUP = 256 * _CHUNK
_AXES = ("x", "y", "z")
_BOUNDS = tuple(
    f"{end}_{what}"
    for group in (_AXES, tuple(f"scale_{a}" for a in _AXES), ("r", "g", "b"))
    for end in ("min", "max")
    for what in group
)
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_MAX_LOG_SCALE = 20.0
_SH_RANGE = 8.0


def is_compressed(header: PlyHeader) -> bool:
    """Whether a .ply header describes this format."""
    return "chunk" in header.elements


def read(path: Path) -> SplatFile:
    """Unpack every splat, in the file's order."""
    header = read_ply_header(path)
    bounds, vertex, sh = _checked_elements(path, header)
    rest = 0 if sh is None else len(sh.dtype.names or ()) // 3
    table = np.fromfile(path, bounds.dtype, bounds.count, offset=bounds.offset)
    names = [name for name in _BOUNDS if name in (bounds.dtype.names or ())]
    limits = torch.from_numpy(np.stack([table[name].astype(np.float32) for name in names], axis=1))
    gaussians = allocate(vertex.count, sh_degree(1 + rest))
    with path.open("rb") as file:
        for part in chunks(vertex.count, _GROUP):
            file.seek(vertex.offset + part.start * vertex.dtype.itemsize)
            rows = np.fromfile(file, vertex.dtype, part.stop - part.start)
            chunk = torch.arange(part.start, part.stop) // _CHUNK
            _unpack(gaussians[part], [rows[name].astype(np.int64) for name in _PACKED], limits[chunk])
            if sh is not None:
                file.seek(sh.offset + part.start * sh.dtype.itemsize)
                levels = np.fromfile(file, sh.dtype, part.stop - part.start).view(np.uint8)
                values = torch.from_numpy(levels).view(len(rows), 3, rest).transpose(1, 2).float()
                values = torch.where(values == 0, -0.5, torch.where(values == 255, 255.5, values))
                gaussians.sh[part, 1:] = ((values + 0.5) / 256 - 0.5) * _SH_RANGE
    return SplatFile(gaussians, up=header.up, metres_per_unit=header.metres_per_unit)


def file_order(gaussians: Gaussians) -> Int64[Tensor, "n"]:
    """The order in which splats are written: along a Z-curve."""
    return morton_order(gaussians.means)


def write(path: Path, file: SplatFile) -> tuple[str, ...]:
    """Pack the splats in Morton order."""
    gaussians = file.gaussians
    count, rest = len(gaussians), gaussians.sh.shape[1] - 1
    order = file_order(gaussians)
    lines = ["ply", "format binary_little_endian 1.0", *axis_comments(file)]
    lines += [f"element chunk {-(-count // _CHUNK)}", *(f"property float {name}" for name in _BOUNDS)]
    lines += [f"element vertex {count}", *(f"property uint {name}" for name in _PACKED)]
    lines += [f"element sh {count}", *(f"property uchar f_rest_{i}" for i in range(3 * rest))] if rest else []
    packed = [_pack(gaussians[order[part]]) for part in chunks(count, _GROUP)]
    with path.open("wb") as out:
        out.write(("\n".join([*lines, "end_header"]) + "\n").encode("ascii"))
        for column in range(2):
            for group in packed:
                out.write(group[column].tobytes())
        for part in chunks(count, _GROUP) if rest else ():
            values = gaussians.sh[order[part], 1:].transpose(1, 2).flatten(1)
            levels = ((values / _SH_RANGE + 0.5) * 256).floor().clamp(0, 255)
            out.write(levels.to(torch.uint8).numpy().tobytes())
    beyond = count_beyond(gaussians.sh[:, 1:], -_SH_RANGE / 2, _SH_RANGE / 2)
    clamped = (f"{beyond} harmonics beyond 4 were clamped",) if beyond else ()
    return ("splats were put in Morton order", *clamped)


def _checked_elements(path: Path, header: PlyHeader) -> tuple[PlyElement, PlyElement, PlyElement | None]:
    bounds, vertex, sh = (header.elements.get(name) for name in ("chunk", "vertex", "sh"))
    if bounds is None or vertex is None:
        raise InputError(f"{path} is not a .compressed.ply file: it lacks the chunk or the vertex element")
    check_count(path, vertex.count, path.stat().st_size - vertex.offset, vertex.dtype.itemsize)
    names = bounds.dtype.names or ()
    if any(name not in names for name in _BOUNDS[:12]) or bounds.count != -(-vertex.count // _CHUNK):
        raise InputError(f"{path} has a damaged chunk table: {bounds.count} chunks for {vertex.count} splats")
    if any(name in names for name in _BOUNDS[12:]) and any(name not in names for name in _BOUNDS[12:]):
        raise InputError(f"{path} has a damaged chunk table: only some of the colour bounds are there")
    if any(vertex.dtype.fields is None or name not in vertex.dtype.fields for name in _PACKED):
        raise InputError(f"{path} is not a .compressed.ply file: the vertices lack packed_* properties")
    if any(vertex.dtype[name].kind != "u" or vertex.dtype[name].itemsize != 4 for name in _PACKED):
        raise InputError(f"{path} has packed_* properties that are not 32-bit unsigned numbers")
    if sh is not None:
        columns = tuple(f"f_rest_{i}" for i in range(len(sh.dtype.names or ())))
        right = sh.dtype.names == columns and all(sh.dtype[name] == np.uint8 for name in columns)
        if not right or len(columns) not in (9, 24, 45) or sh.count != vertex.count:
            raise InputError(f"{path} has harmonics that are not 9, 24 or 45 bytes for every splat")
    return bounds, vertex, sh


def _unpack(target: Gaussians, packed: list[NDArray[np.int64]], limits: Float[Tensor, "n b"]) -> None:
    """Fill a part of the splats from its packed numbers and the bounds of each splat's chunk."""
    position, rotation, scale, color = (torch.from_numpy(p) for p in packed)
    target.means[:] = _lerp(_units(position, (11, 10, 11)), limits[:, 0:3], limits[:, 3:6])
    target.log_scales[:] = _lerp(_units(scale, (11, 10, 11)), limits[:, 6:9], limits[:, 9:12])
    others = (_units(rotation, (10, 10, 10)) - 0.5) * (2 * SQRT_HALF)
    target.quats[:] = from_smallest_three(rotation >> 30, others)
    rgb = _units(color >> 8, (8, 8, 8))
    if limits.shape[1] > 12:
        rgb = _lerp(rgb, limits[:, 12:15], limits[:, 15:18])
    target.sh[:, 0] = sh_from_rgb(rgb)
    target.opacity_logits[:] = logit_from_byte(color & 255)


def _pack(splats: Gaussians) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Bounds and packed numbers of whole chunks; only the last group may end in a part of one."""
    means, log_scales = splats.means, splats.log_scales.clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE)
    limits, units = [], []
    for values in (means, log_scales, rgb_from_sh(splats.sh[:, 0])):
        low, high = _bounds(values)
        limits += [low, high]
        low, high = (bound.repeat_interleave(_CHUNK, dim=0)[: len(splats)] for bound in (low, high))
        units.append((values - low) / torch.where(high > low, high - low, 1.0))
    largest, others = smallest_three(splats.quats)
    alpha = byte_from_unit(splats.opacities).long()
    packed = [
        _levels(units[0], (11, 10, 11)),
        largest << 30 | _levels(others * SQRT_HALF + 0.5, (10, 10, 10)),
        _levels(units[1], (11, 10, 11)),
        _levels(units[2], (8, 8, 8)) << 8 | alpha,
    ]
    return torch.cat(limits, dim=1).numpy(), torch.stack(packed, dim=1).numpy().astype(np.uint32)


def _bounds(values: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "c 3"], Float[Tensor, "c 3"]]:
    """Least and greatest of every chunk of rows; a last short chunk is filled with its last row."""
    missing = -len(values) % _CHUNK
    filled = torch.cat([values, values[-1:].expand(missing, 3)]).view(-1, _CHUNK, 3)
    return filled.amin(dim=1), filled.amax(dim=1)


def _lerp(
    units: Float[Tensor, "n 3"], low: Float[Tensor, "n 3"], high: Float[Tensor, "n 3"]
) -> Float[Tensor, "n 3"]:
    return low * (1 - units) + high * units


def _units(packed: Tensor, bits: tuple[int, int, int]) -> Float[Tensor, "n 3"]:
    """Three fields, the first in the highest bits, as 0..1."""
    shifts = (bits[1] + bits[2], bits[2], 0)
    fields = [(packed >> shift & (1 << b) - 1).float() / ((1 << b) - 1) for shift, b in zip(shifts, bits)]
    return torch.stack(fields, dim=1)


def _levels(units: Float[Tensor, "n 3"], bits: tuple[int, int, int]) -> Tensor:
    """The inverse of ``_units``, rounded and clamped."""
    top = torch.tensor([(1 << b) - 1 for b in bits])
    a, b, c = (units * top).round().clamp_min(0).minimum(top.float()).long().unbind(1)
    return a << bits[1] + bits[2] | b << bits[2] | c
