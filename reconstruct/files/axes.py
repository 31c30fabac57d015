"""Between a scene's own axes and those of formats that prescribe theirs.

SPZ, glTF and USD want y up, with x right and z towards the viewer; a scene made from a photo has x right, y down and
z forward, half a turn about x away. A scene with another up direction is first turned, by the smallest rotation,
until its up is -y.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..gaussians import Gaussians
from ..motion import Motion
from ..transform import rotate_quats, rotation_between, sh_rotations, transform_gaussians, transform_motion
from .splat_file import PHOTO_UP, SplatFile

HALF_TURN_X = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


def y_up_from_scene(up: Float[Tensor, "3"] | None) -> Float[Tensor, "3 3"]:
    """The rotation, float64, from a scene with this up direction (default -y) to y up."""
    if up is None:
        return HALF_TURN_X
    return HALF_TURN_X @ rotation_between(up, torch.tensor(PHOTO_UP))


def to_y_up(
    gaussians: Gaussians, motion: Motion | None, up: Float[Tensor, "3"] | None
) -> tuple[Gaussians, Motion | None, str]:
    """Turned splats and motion, and a note that says so."""
    rotation = y_up_from_scene(up)
    turned = None if motion is None else transform_motion(motion, rotation)
    told = "up taken as -y since it is not known" if up is None else f"up was ({_words(up)})"
    return transform_gaussians(gaussians, rotation), turned, f"axes were turned to y up ({told})"


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


def _words(direction: Float[Tensor, "3"]) -> str:
    return ", ".join(f"{value:.3g}" for value in direction.tolist())
