"""Reading and writing splats in any format, chosen by suffix."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..gaussians import Gaussians
from ..motion import Motion
from . import compressed_ply, ply
from .atomic import atomic_write
from .axes import fit_to_format, from_y_up
from .ply import read_ply_header
from .splat_file import MAX_SPLATS, SplatFile, at_most, drop_unusable

log = logging.getLogger(__name__)

CODECS = {
    ".ply": "ply",
    ".compressed.ply": "compressed_ply",
    ".splat": "splat",
    ".ksplat": "ksplat",
    ".spz": "spz",
    ".sog": "sog",
    ".glb": "gltf",
    ".usdc": "usd",
    ".usdz": "usd",
}
SPLAT_SUFFIXES = tuple(CODECS)
"""Suffixes that are read and written."""


def splat_suffix(path: str | Path) -> str | None:
    """The suffix of a splat format (``.compressed.ply`` is one), or None."""
    name = Path(path).name.lower()
    return max((s for s in SPLAT_SUFFIXES if name.endswith(s)), key=len, default=None)


def read_splats(path: str | Path, *, max_splats: int = MAX_SPLATS) -> SplatFile:
    """Read splats of any format, by suffix.

    Formats that prescribe their own axes are turned into x right, y down, z forward, with ``up`` set. Splats that no
    renderer can show are dropped, with a note and a warning in the log.

    Args:
        path: the file.
        max_splats: files that claim more are refused before memory is taken for them.

    Raises:
        InputError: no such file, an unknown suffix, or a file that is damaged, too large or not what its suffix says.
    """
    path = Path(path)
    suffix, module = _codec(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file")
    try:
        if suffix.endswith(".ply"):  # the name of a .ply file does not tell whether it is compressed
            module = compressed_ply if compressed_ply.is_compressed(read_ply_header(path)) else ply
        with at_most(max_splats):
            file = module.read(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    gaussians, motion, notes = drop_unusable(file.gaussians, file.motion, str(path))
    if len(gaussians) < len(file.gaussians):
        log.warning("%s: %s", path, notes[-1])
    file = replace(file, gaussians=gaussians, motion=motion, notes=file.notes + notes)
    return from_y_up(file) if module.TRAITS.axes == "y up" else file


def write_splats(
    path: str | Path,
    gaussians: Gaussians,
    *,
    motion: Motion | None = None,
    up: Float[Tensor, "3"] | None = None,
    metres_per_unit: float | None = None,
    sh_degree: int | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write splats in the format of the suffix; the file appears whole or not at all.

    Args:
        path: the file to write; its suffix says the format.
        gaussians: any device; splats that no renderer can show are dropped with a note.
        motion: written where the format can hold it.
        up: the world's up direction; None means unknown.
        metres_per_unit: length of one scene unit; None means unknown.
        sh_degree: leave out harmonics above this degree; default keeps all that the format holds.
        overwrite: replace an existing file.

    Returns:
        The axes and lengths of what was written, and what was lost or truncated, one line each.

    Raises:
        InputError: an unknown suffix, a file that exists, or splats that are all unusable.
    """
    path = Path(path)
    suffix, module = _codec(path)
    if metres_per_unit is not None and not 0 < metres_per_unit < math.inf:
        raise InputError(f"metres_per_unit must be a number above 0, not {metres_per_unit}")
    if sh_degree is not None and not 0 <= sh_degree <= 3:
        raise InputError(f"sh_degree must be 0 to 3, not {sh_degree}")
    gaussians = gaussians.detach().to("cpu")
    motion = None if motion is None else _on_cpu(motion)
    if up is not None:
        up = torch.nn.functional.normalize(up.detach().to("cpu", torch.float32), dim=0)
        if not float(up.norm()) > 0.5:
            raise InputError(f"the up direction must not be {up.tolist()}")
    gaussians, motion, notes = drop_unusable(gaussians, motion, f"what was to be written to {path}")
    if sh_degree is not None and sh_degree < gaussians.sh_degree:
        notes += (f"harmonics were truncated from degree {gaussians.sh_degree} to {sh_degree} as asked",)
        gaussians = replace(gaussians, sh=gaussians.sh[:, : (sh_degree + 1) ** 2])
    file = fit_to_format(SplatFile(gaussians, motion, up, metres_per_unit, notes), suffix, module.TRAITS)
    with atomic_write(path, overwrite=overwrite) as temporary:
        return file.notes + module.write(temporary, file)


def _codec(path: Path) -> tuple[str, ModuleType]:
    suffix = splat_suffix(path)
    if suffix is None:
        raise InputError(f"{path}: not a known splat format; known are {', '.join(SPLAT_SUFFIXES)}")
    return suffix, import_module(f".{CODECS[suffix]}", __package__)


def _on_cpu(motion: Motion) -> Motion:
    times, means, quats = (t.detach().cpu() for t in (motion.times, motion.means, motion.quats))
    return replace(motion, times=times, means=means, quats=quats)
