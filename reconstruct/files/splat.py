"""antimatter15's .splat: 32 bytes a splat, no header, no harmonics above the constant.

Position and scale are float32, colour and opacity 8 bits, rotation 4 x 8 bits (wxyz, 128 + 128 q). Source: the
web viewer that introduced it; opaque large splats come first, so that what loads first matters most.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ..errors import InputError
from ..gaussians import Gaussians
from ..spherical_harmonics import rgb_from_sh, sh_from_rgb
from .splat_file import SplatFile, Traits, allocate, byte_from_unit, check_count, chunks, logit_from_byte

TRAITS = Traits()
_ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])


def read(path: Path) -> SplatFile:
    """Read all rows; scales of zero become flat splats."""
    size = path.stat().st_size
    if size % _ROW.itemsize:
        raise InputError(f"{path} is damaged or not a .splat file: {size} bytes are not whole rows of 32")
    count = size // _ROW.itemsize
    check_count(path, count, size, _ROW.itemsize)
    gaussians = allocate(count, 0)
    with path.open("rb") as file:
        for part in chunks(count):
            rows = np.fromfile(file, _ROW, part.stop - part.start)
            gaussians.means[part] = torch.from_numpy(rows["mean"])
            gaussians.log_scales[part] = torch.from_numpy(rows["scale"]).log()
            gaussians.sh[part, 0] = sh_from_rgb(torch.from_numpy(rows["rgba"][:, :3]) / 255)
            gaussians.opacity_logits[part] = logit_from_byte(rows["rgba"][:, 3])
            gaussians.quats[part] = (torch.from_numpy(rows["quat"]).float() - 128) / 128
    return SplatFile(gaussians)


def file_order(gaussians: Gaussians) -> Int64[Tensor, "n"]:
    """The order in which splats are written: the largest and most opaque first."""
    size = gaussians.log_scales.sum(dim=1).exp()
    return (size * gaussians.opacities).argsort(descending=True, stable=True)


def write(path: Path, file: SplatFile) -> tuple[str, ...]:
    """Write position, scale, rotation, colour and opacity, the most visible splats first."""
    gaussians = file.gaussians
    order = file_order(gaussians)
    with path.open("wb") as out:
        for part in chunks(len(gaussians)):
            chunk = gaussians[order[part]]
            rows = np.empty(len(chunk), _ROW)
            rows["mean"], rows["scale"] = chunk.means.numpy(), chunk.scales.numpy()
            rows["rgba"][:, :3] = byte_from_unit(rgb_from_sh(chunk.sh[:, 0])).numpy()
            rows["rgba"][:, 3] = byte_from_unit(chunk.opacities).numpy()
            unit = torch.nn.functional.normalize(chunk.quats, dim=1)
            unit = torch.where(
                unit.abs().amax(dim=1, keepdim=True) == unit.amax(dim=1, keepdim=True), -unit, unit
            )
            rows["quat"] = (unit * 128 + 128).round().clamp(0, 255).to(torch.uint8).numpy()
            out.write(rows.data)
    notes = ["splats were put in order of visibility", "colours were clamped to 0..1 and rounded to 8 bits"]
    if gaussians.sh_degree:
        notes.append(f"harmonics of degree 1 to {gaussians.sh_degree} were left out: .splat holds none")
    return tuple(notes)
