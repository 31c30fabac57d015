"""Niantic's .spz: about 20 bytes a splat before harmonics, compressed. Written as version 3; 2, 3 and 4 are read.

Source: the nianticlabs/spz documentation. Version 2 and 3 are one gzip stream of a header of 16 bytes and the sections
positions (24-bit fixed point), alphas, colours, scales (8 bits), rotations (v2: xyz in 3 bytes; v3: smallest three in
4) and harmonics (8 bits in -1..1, coefficient by coefficient). Version 4 compresses every section by itself with zstd.
The axes are x right, y up, z back (RUB); the file does not tell the unit.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..gaussians import Gaussians
from .morton import morton_order
from .quaternions import SQRT_HALF, from_smallest_three, smallest_three
from .splat_file import (
    SplatFile,
    Traits,
    allocate,
    byte_from_unit,
    check_packed_count,
    chunks,
    count_beyond,
    logit_from_byte,
)

TRAITS = Traits(axes="y up")
_MAGIC = b"NGSP"
_COEFFICIENTS = (0, 3, 8, 15, 24)
_COLOR_SCALE = 0.15
_BLOCK = 1 << 20
_LEVEL = 4
"""Of deflate: 1 % larger files than the usual 6, in less than half the time."""
_MAX_TRAILER = 16 << 20
"""Bytes that extensions may add behind the sections."""
_ANTIALIASED, _EXTENSIONS = 1, 2


@dataclass(frozen=True)
class _Header:
    version: int
    count: int
    sh_degree: int
    fraction_bits: int
    flags: int

    @property
    def sections(self) -> dict[str, int]:
        """Bytes of each section, in file order."""
        per_splat = {
            "positions": 9, "alphas": 1, "colors": 3, "scales": 3,
            "rotations": 3 if self.version == 2 else 4, "sh": 3 * _COEFFICIENTS[self.sh_degree],
        }  # fmt: skip
        return {name: size * self.count for name, size in per_splat.items()}


def read(path: Path) -> SplatFile:
    """Read the splats, y up, in the file's order."""
    with path.open("rb") as file:
        start = file.read(32)
    if start.startswith(_MAGIC):
        header, sections = _read_zstd(path, start)
    elif start.startswith(b"\x1f\x8b"):
        header, sections = _read_gzip(path)
    else:
        raise InputError(
            f"{path} is not an .spz file: it begins neither with gzip nor with {_MAGIC.decode()}"
        )
    degree = min(header.sh_degree, 3)
    gaussians = allocate(header.count, degree)
    for part in chunks(header.count):
        _decode(gaussians[part], {name: data[part] for name, data in sections.items()}, header)
    notes = [] if degree == header.sh_degree else ["harmonics of degree 4 were left out"]
    notes += ["trained for antialiased rendering; this is not kept"] if header.flags & _ANTIALIASED else []
    notes += ["extensions in the file were ignored"] if header.flags & _EXTENSIONS else []
    return SplatFile(gaussians, notes=tuple(notes))


def file_order(gaussians: Gaussians) -> Int64[Tensor, "n"]:
    """The order in which splats are written: along a Z-curve."""
    return morton_order(gaussians.means)


def write(path: Path, file: SplatFile) -> tuple[str, ...]:
    """Write version 3 in Morton order; positions get as many fractional bits as their range leaves."""
    gaussians = file.gaussians
    largest = max(float(gaussians.means.abs().max()), 1e-6)
    bits = min(20, max(0, 22 - math.floor(math.log2(largest))))
    header = _Header(3, len(gaussians), gaussians.sh_degree, bits, 0)
    start = struct.pack("<4sIIBBBB", _MAGIC, 3, header.count, header.sh_degree, bits, 0, 0)
    sections = {
        name: np.empty((header.count, size // header.count), np.uint8)
        for name, size in header.sections.items()
    }
    order = file_order(gaussians)
    for part in chunks(header.count):
        for name, values in _encode(gaussians[order[part]], bits).items():
            sections[name][part] = values.numpy()
    with path.open("wb") as out:
        out.writelines(
            _gzip([start, *(values.data.cast("B") for values in sections.values() if values.size)])
        )
    notes = ["splats were put in Morton order"]
    for what, values, low, high in (
        ("colours", gaussians.sh[:, 0], -0.5 / _COLOR_SCALE, 0.5 / _COLOR_SCALE),
        ("harmonics", gaussians.sh[:, 1:], -1.0, 1.0),
        ("scales", gaussians.log_scales, -10.0, 255 / 16 - 10),
    ):
        if lost := count_beyond(values, low, high):
            notes.append(f"{lost} of {values.numel()} values of {what} were clamped to what .spz holds")
    if largest >= 1 << 23:
        notes.append(f"positions beyond {1 << 23} were clamped")
    return tuple(notes)


def _header(path: Path, data: bytes) -> _Header:
    magic, version, count, degree, bits, flags, _ = struct.unpack_from("<4sIIBBBB", data)
    if magic != _MAGIC or version not in (2, 3, 4) or degree > 4 or bits > 24:
        raise InputError(
            f"{path} is not an .spz file that is understood: magic {magic!r}, version {version}, "
            f"harmonics of degree {degree}, {bits} fractional bits"
        )
    header = _Header(version, count, degree, bits, flags)
    check_packed_count(path, count)
    return header


def _split(header: _Header, payload: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    parts, offset = {}, 0
    for name, size in header.sections.items():
        parts[name] = (
            payload[offset : offset + size].reshape(header.count, -1) if size else payload[:0].reshape(0, 0)
        )
        offset += size
    return parts


def _read_gzip(path: Path) -> tuple[_Header, dict[str, NDArray[np.uint8]]]:
    """Inflate the header, check its claim, inflate exactly as much as it claims, and let zlib check the sum."""
    stream = zlib.decompressobj(wbits=31)
    try:
        with path.open("rb") as file:
            start = _inflate(file, stream, 16)
            if len(start) < 16:
                raise InputError(f"{path} is damaged or cut short: no whole .spz header")
            header = _header(path, start.tobytes())
            if header.version == 4:
                raise InputError(f"{path} claims version 4 inside gzip, which no .spz file is")
            size = sum(header.sections.values())
            payload = _inflate(file, stream, size)
            if len(payload) < size:
                raise InputError(
                    f"{path} is cut short: {len(payload)} of {size} bytes for {header.count} splats"
                )
            _inflate(file, stream, _MAX_TRAILER)
            if not stream.eof:
                raise InputError(f"{path} is cut short, or holds more than {header.count} splats")
    except zlib.error as error:
        raise InputError(f"{path} is damaged: its gzip stream cannot be read ({error})") from error
    return header, _split(header, payload)


def _inflate(file: BinaryIO, stream: zlib._Decompress, size: int) -> NDArray[np.uint8]:
    """The next bytes of a gzip stream: ``size`` of them, or as many as there are."""
    data, filled = np.empty(size, np.uint8), 0
    while filled < size and not stream.eof:
        packed = stream.unconsumed_tail or file.read(_BLOCK)
        block = stream.decompress(packed, min(_BLOCK, size - filled))
        if not packed and not block:
            break
        data[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
        filled += len(block)
    return data[:filled]


def _read_zstd(path: Path, start: bytes) -> tuple[_Header, dict[str, NDArray[np.uint8]]]:
    """Version 4: a plain header, a table of stream sizes, a zstd stream for every section that is not empty."""
    try:
        import zstandard
    except ImportError as error:
        raise InputError(
            f"{path}: .spz version 4 needs the extra 'splats' (pip install 'cosmorama[splats]')"
        ) from error
    if len(start) < 32:
        raise InputError(f"{path} is damaged or cut short: no whole .spz header")
    header = _header(path, start)
    streams, table = start[15], struct.unpack_from("<I", start, 16)[0]
    sizes = {name: size for name, size in header.sections.items() if size}
    if header.version != 4 or streams != len(sizes):
        raise InputError(
            f"{path} is damaged: version {header.version} with {streams} streams, {len(sizes)} expected"
        )
    parts = {}
    with path.open("rb") as file:
        file.seek(table)
        toc = file.read(16 * streams)
        if len(toc) < 16 * streams:
            raise InputError(f"{path} is cut short: no whole table of streams")
        for (name, size), (packed, unpacked) in zip(sizes.items(), struct.iter_unpack("<QQ", toc)):
            if unpacked != size or packed > path.stat().st_size:
                raise InputError(
                    f"{path} is damaged: section {name} claims {unpacked} bytes, {size} expected"
                )
            try:
                reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file.read(packed))
                data = reader.read(size)
            except zstandard.ZstdError as error:
                raise InputError(f"{path} is damaged: section {name} cannot be read ({error})") from error
            if len(data) != size:
                raise InputError(f"{path} is cut short: section {name} has {len(data)} of {size} bytes")
            parts[name] = np.frombuffer(bytearray(data), np.uint8).reshape(header.count, -1)
    return header, {"sh": np.zeros((0, 0), np.uint8), **parts}


def _decode(target: Gaussians, sections: dict[str, NDArray[np.uint8]], header: _Header) -> None:
    parts = {name: torch.from_numpy(np.ascontiguousarray(data)) for name, data in sections.items()}
    low, middle, high = parts["positions"].unflatten(1, (3, 3)).int().unbind(2)
    fixed = low | middle << 8 | high << 16
    target.means[:] = torch.where(fixed >= 1 << 23, fixed - (1 << 24), fixed) / float(
        1 << header.fraction_bits
    )
    target.opacity_logits[:] = logit_from_byte(parts["alphas"][:, 0])
    target.sh[:, 0] = (parts["colors"].float() / 255 - 0.5) / _COLOR_SCALE
    target.log_scales[:] = parts["scales"].float() / 16 - 10
    if header.version == 2:
        xyz = parts["rotations"].float() / 127.5 - 1
        w = (1 - xyz.square().sum(dim=1, keepdim=True)).clamp_min(0).sqrt()
        target.quats[:] = torch.nn.functional.normalize(torch.cat([w, xyz], dim=1), dim=1)
    else:
        target.quats[:] = _unpack_rotations(parts["rotations"])
    rest = target.sh.shape[1] - 1
    if rest:
        target.sh[:, 1:] = (parts["sh"].unflatten(1, (-1, 3))[:, :rest].float() - 128) / 128


def _encode(chunk: Gaussians, bits: int) -> dict[str, UInt8[Tensor, "n b"]]:
    fixed = (chunk.means.double() * (1 << bits)).round().clamp(-(1 << 23), (1 << 23) - 1).int()
    positions = torch.stack([fixed & 255, fixed >> 8 & 255, fixed >> 16 & 255], dim=2).flatten(1)
    harmonics = (chunk.sh[:, 1:] * 128 + 128).round().clamp(0, 255).flatten(1)
    return {
        "positions": positions.to(torch.uint8),
        "alphas": byte_from_unit(chunk.opacities)[:, None],
        "colors": byte_from_unit(chunk.sh[:, 0] * _COLOR_SCALE + 0.5),
        "scales": ((chunk.log_scales + 10) * 16).round().clamp(0, 255).to(torch.uint8),
        "rotations": _pack_rotations(chunk.quats),
        "sh": harmonics.to(torch.uint8),
    }


def _pack_rotations(quats: Float[Tensor, "n 4"]) -> UInt8[Tensor, "n 4"]:
    """Two bits for the largest component of xyzw, then sign and nine bits for each of the others."""
    largest, others = smallest_three(quats[:, [1, 2, 3, 0]])
    magnitudes = (others.abs() / SQRT_HALF * 511).round().clamp_max(511).long()
    a, b, c = (magnitudes | (others < 0).long() << 9).unbind(1)
    packed = largest << 30 | a << 20 | b << 10 | c
    return torch.stack([packed >> shift & 255 for shift in (0, 8, 16, 24)], dim=1).to(torch.uint8)


def _unpack_rotations(rows: UInt8[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    b = rows.long()
    packed = b[:, 0] | b[:, 1] << 8 | b[:, 2] << 16 | b[:, 3] << 24
    fields = torch.stack([packed >> 20 & 1023, packed >> 10 & 1023, packed & 1023], dim=1)
    others = (fields & 511).float() / 511 * SQRT_HALF * torch.where(fields >= 512, -1.0, 1.0)
    return from_smallest_three(packed >> 30, others)[:, [3, 0, 1, 2]]


def _gzip(parts: list[bytes | memoryview]) -> Iterator[bytes]:
    """One gzip member whose blocks are deflated in two threads; each ends at a byte boundary (sync flush)."""
    blocks = [part[first : first + _BLOCK] for part in parts for first in range(0, len(part), _BLOCK)]

    def deflate(index: int) -> bytes:
        compress = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
        end = zlib.Z_FINISH if index == len(blocks) - 1 else zlib.Z_SYNC_FLUSH
        return compress.compress(blocks[index]) + compress.flush(end)

    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(deflate, range(len(blocks)))
    checksum = 0
    for block in blocks:
        checksum = zlib.crc32(block, checksum)
    yield struct.pack("<II", checksum, sum(map(len, blocks)) & 0xFFFFFFFF)
