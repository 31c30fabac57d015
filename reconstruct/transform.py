"""Moving splats to other axes: positions, rotations and view-dependent colour together.

A similarity x -> scale * rotation @ x + translation. Spherical harmonics turn within each degree: the coefficients
c' that satisfy Y(R d) . c' = Y(d) . c for every direction d show the turned splat as it was (Wigner's D matrices for
real harmonics; here solved from sampled directions in float64, which is exact because each degree is closed under
rotation).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from .gaussians import Gaussians, wxyz_from_rotation
from .motion import Motion
from .spherical_harmonics import sh_basis

_CHUNK = 1 << 14


def transform_gaussians(
    gaussians: Gaussians,
    rotation: Float[Tensor, "3 3"] | None = None,
    translation: Float[Tensor, "3"] | None = None,
    scale: float = 1.0,
) -> Gaussians:
    """Splats moved by x -> scale * rotation @ x + translation.

    Args:
        gaussians: splats.
        rotation: a proper rotation (determinant +1); default none.
        translation: default none.
        scale: > 0.

    Raises:
        ValueError: the rotation is not one (a mirror image has no counterpart in quaternions), or scale <= 0.
    """
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale must be a number above 0, not {scale}")
    quats, sh = gaussians.quats, gaussians.sh
    if rotation is not None:
        quats = rotate_quats(quats, rotation)
        sh = rotate_sh(sh, rotation)
    return replace(
        gaussians,
        means=_move(gaussians.means, rotation, translation, scale),
        quats=quats,
        log_scales=gaussians.log_scales + math.log(scale) if scale != 1.0 else gaussians.log_scales,
        sh=sh,
    )


def transform_motion(
    motion: Motion,
    rotation: Float[Tensor, "3 3"] | None = None,
    translation: Float[Tensor, "3"] | None = None,
    scale: float = 1.0,
) -> Motion:
    """The motion of splats that are moved by ``transform_gaussians`` with the same arguments."""
    quats = motion.quats if rotation is None else rotate_quats(motion.quats, rotation)
    return replace(motion, means=_move(motion.means, rotation, translation, scale), quats=quats)


def rotate_quats(quats: Float[Tensor, "*n 4"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "*n 4"]:
    """Quaternions wxyz of the rotations R(quats) followed by ``rotation``; lengths stay."""
    check_rotation(rotation)
    a, b, c, d = wxyz_from_rotation(rotation.double()).tolist()
    w, x, y, z = quats.unbind(-1)
    product = [
        a * w - b * x - c * y - d * z,
        a * x + b * w + c * z - d * y,
        a * y - b * z + c * w + d * x,
        a * z + b * y - c * x + d * w,
    ]
    return torch.stack(product, dim=-1)


def rotate_sh(sh: Float[Tensor, "n k 3"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "n k 3"]:
    """Harmonics that look, from the direction R d, as the given ones look from d."""
    degree = math.isqrt(sh.shape[-2]) - 1
    bands = [sh.new_ones(1, 1), *(matrix.to(sh) for matrix in sh_rotations(rotation, degree))]
    columns = torch.kron(torch.block_diag(*bands), torch.eye(3).to(sh)).T
    turned = torch.empty_like(sh)
    for first in range(0, sh.shape[0], _CHUNK):
        part = slice(first, first + _CHUNK)
        turned[part] = (sh[part].flatten(1) @ columns).view_as(sh[part])
    return turned


def sh_rotations(rotation: Float[Tensor, "3 3"], degree: int) -> list[Float[Tensor, "b b"]]:
    """The matrices, float64, that turn the coefficients of degree 1, 2, ... ``degree``."""
    check_rotation(rotation)
    directions = _directions(32)
    turned = directions @ rotation.double().cpu().T
    before, after = sh_basis(directions, degree), sh_basis(turned, degree)
    matrices = []
    for band in range(1, degree + 1):
        columns = slice(band * band, (band + 1) ** 2)
        matrix = torch.linalg.lstsq(after[:, columns], before[:, columns]).solution
        matrices.append(torch.where(matrix.abs() < 1e-13, 0.0, matrix))
    return matrices


def rotation_between(
    source: Float[Tensor, "3"], target: Float[Tensor, "3"], half_turn_axis: Float[Tensor, "3"] | None = None
) -> Float[Tensor, "3 3"]:
    """The smallest rotation that takes one unit direction to another, float64.

    Args:
        source: unit direction.
        target: unit direction.
        half_turn_axis: the axis to turn about where the two are opposite; default x, or y if they lie along x.
    """
    a, b = (torch.nn.functional.normalize(v.double(), dim=0) for v in (source, target))
    axis, cosine = torch.linalg.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-12:
        axis = torch.eye(3, dtype=torch.float64)[1 if abs(float(a[0])) > 0.9 else 0]
        axis = axis if half_turn_axis is None else half_turn_axis.double()
        axis = torch.nn.functional.normalize(axis - (axis @ a) * a, dim=0)
        return 2 * torch.outer(axis, axis) - torch.eye(3, dtype=torch.float64)
    x, y, z = axis.tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + cross + cross @ cross / (1 + cosine)  # Rodrigues' formula


def check_rotation(rotation: Float[Tensor, "3 3"]) -> None:
    """Raise ``ValueError`` unless the matrix is a proper rotation."""
    r = rotation.double()
    error = float((r @ r.T - torch.eye(3, dtype=r.dtype, device=r.device)).abs().max())
    if not error < 1e-4 or float(torch.linalg.det(r)) < 0:
        raise ValueError(f"not a proper rotation matrix: {rotation.tolist()}")


def _move(
    points: Float[Tensor, "*n 3"],
    rotation: Float[Tensor, "3 3"] | None,
    translation: Float[Tensor, "3"] | None,
    scale: float,
) -> Float[Tensor, "*n 3"]:
    if rotation is not None:
        points = points @ rotation.to(points).T
    if scale != 1.0:
        points = points * scale
    return points if translation is None else points + translation.to(points)


def _directions(count: int) -> Float[Tensor, "count 3"]:
    """Directions spread over the sphere (Fibonacci lattice), float64."""
    i = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * i / count
    angle = i * math.pi * (3 - math.sqrt(5))
    radius = (1 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], dim=-1)
