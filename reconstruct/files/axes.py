"""Between a scene's own axes and unit and those of formats that prescribe theirs, and words that tell which.

SPZ, glTF and USD want y up, with x right and z towards the viewer; a scene made from a photo has x right, y down and
z forward, half a turn about x away. A scene with another up direction is first turned, by the smallest rotation,
until its up is -y.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..transform import rotate_quats, rotation_between, sh_rotations, transform_gaussians, transform_motion
from .splat_file import PHOTO_UP, SplatFile, Traits

HALF_TURN_X = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


def y_up_from_scene(up: Float[Tensor, "3"] | None) -> Float[Tensor, "3 3"]:
    """The rotation, float64, from a scene with this up direction (default -y) to y up."""
    if up is None:
        return HALF_TURN_X
    return HALF_TURN_X @ rotation_between(up, torch.tensor(PHOTO_UP))


def fit_to_format(file: SplatFile, suffix: str, traits: Traits) -> SplatFile:
    """A scene as a format wants it: axes turned, lengths scaled, motion left out, each with a note.

    Two notes are always there: one about axes, one about lengths.
    """
    notes = [*file.notes, _axes_note(file, traits), _lengths_note(file, traits)]
    if file.motion is not None and not traits.moves:
        file = replace(file, motion=None)
        notes.append(f"motion was left out: {suffix} holds one moment")
    unit = file.metres_per_unit or 1.0
    scale = unit if traits.unit == "metre" else 1.0
    rotation = y_up_from_scene(file.up) if traits.axes == "y up" else None
    if rotation is not None or scale != 1.0:
        file = replace(
            file,
            gaussians=transform_gaussians(file.gaussians, rotation, scale=scale),
            motion=None if file.motion is None else transform_motion(file.motion, rotation, scale=scale),
        )
    required = traits.unit in ("required", "metre")
    return replace(file, notes=tuple(notes), metres_per_unit=unit if required else file.metres_per_unit)


def from_y_up(file: SplatFile) -> SplatFile:
    """What was read from a y-up format, turned to x right, y down, z forward.

    The given positions and harmonics are overwritten: half a turn about x only changes signs, and a large file is
    not held twice.
    """
    gaussians = file.gaussians
    gaussians.means.mul_(torch.tensor([1.0, -1.0, -1.0]))
    for band, matrix in enumerate(sh_rotations(HALF_TURN_X, gaussians.sh_degree), start=1):
        gaussians.sh[:, band * band : (band + 1) ** 2].mul_(
            matrix.diagonal()[:, None].round().to(gaussians.sh)
        )
    motion = None if file.motion is None else transform_motion(file.motion, HALF_TURN_X)
    return replace(
        file,
        gaussians=replace(gaussians, quats=rotate_quats(gaussians.quats, HALF_TURN_X)),
        motion=motion,
        up=torch.tensor(PHOTO_UP),
        notes=(*file.notes, "axes were turned from y up to x right, y down, z forward (up is -y)"),
    )


def split_similarity(
    path: Path, matrix: NDArray[np.float64]
) -> tuple[Float[Tensor, "3 3"] | None, Float[Tensor, "3"] | None, float]:
    """Rotation, translation and scale of a prim's or node's matrix (acting on columns); None for what it does not do.

    Raises:
        InputError: a mirror image, a shear, several scales, or numbers that are not finite.
    """
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3]))) if np.isfinite(matrix).all() else 0.0
    rotation = matrix[:3, :3] / scale if scale > 0 else matrix[:3, :3]
    if not 1e-9 < scale < 1e9 or np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-4:
        raise InputError(f"{path} has a transform that is not rotation, translation and one scale")
    turn = None if np.allclose(rotation, np.eye(3), atol=1e-7) else torch.from_numpy(rotation)
    shift = torch.from_numpy(matrix[:3, 3].copy()) if matrix[:3, 3].any() else None
    return turn, shift, 1.0 if abs(scale - 1) < 1e-7 else scale


def direction_words(direction: Float[Tensor, "3"]) -> str:
    """``-y`` for a direction along an axis, else its three numbers."""
    values = direction.tolist()
    for axis, value in zip("xyz", values):
        if abs(value) > 1 - 1e-6:
            return ("-" if value < 0 else "+") + axis
    return f"({', '.join(f'{value:.3g}' for value in values)})"


def _axes_note(file: SplatFile, traits: Traits) -> str:
    if traits.axes == "y up":
        known = "not known and taken as -y" if file.up is None else direction_words(file.up)
        return f"axes: x right, y up, z back; turned from a scene whose up is {known}"
    if file.up is None:
        return "axes: as in the scene, whose up direction is not known"
    told = "told in the file" if traits.axes == "told" else "which the file cannot tell"
    return f"axes: as in the scene, up is {direction_words(file.up)}, {told}"


def _lengths_note(file: SplatFile, traits: Traits) -> str:
    unit = file.metres_per_unit
    if unit is None:
        taken = "; the file says metre" if traits.unit in ("required", "metre") else ""
        return f"lengths: as in the scene, whose unit is not known{taken}"
    if traits.unit == "metre":
        scaled = "" if unit == 1.0 else f"; multiplied by {unit:.6g}"
        return f"lengths: metres{scaled}"
    told = "which the file cannot tell" if traits.unit == "untold" else "told in the file"
    return f"lengths: as in the scene, 1 unit is {unit:.6g} m, {told}"
