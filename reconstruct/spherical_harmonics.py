"""Real spherical harmonics for view-dependent colour, in the order and sign of 3D Gaussian Splatting.

Colour = clamp(0.5 + sum_k sh[k] * Y_k(direction), 0), direction from the camera to the splat.
Source: Kerbl et al., 3D Gaussian Splatting (2023); polynomial forms as in Sloan, Efficient Spherical Harmonic
Evaluation (JCGT 2013).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

C0 = 0.28209479177387814
C1 = 0.4886025119029199


def sh_from_rgb(rgb: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """The constant coefficient that shows ``rgb`` from everywhere."""
    return (rgb - 0.5) / C0


def rgb_from_sh(sh0: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Colour of the constant coefficient alone, not clamped."""
    return sh0 * C0 + 0.5


def sh_degree(coefficients: int) -> int:
    """Degree of a basis with this many coefficients: 1, 4, 9 or 16."""
    degree = {1: 0, 4: 1, 9: 2, 16: 3}.get(coefficients)
    if degree is None:
        raise ValueError(f"spherical harmonics have 1, 4, 9 or 16 coefficients, not {coefficients}")
    return degree


def sh_basis(directions: Float[Tensor, "*n 3"], degree: int) -> Float[Tensor, "*n k"]:
    """Basis values Y_k at unit directions, k = (degree + 1)^2."""
    x, y, z = directions.unbind(-1)
    basis = [torch.full_like(x, C0)]
    if degree >= 1:
        basis += [-C1 * y, C1 * z, -C1 * x]
    if degree >= 2:
        basis += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2 * z * z - x * x - y * y),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ]
    if degree >= 3:
        basis += [
            -0.5900435899266435 * y * (3 * x * x - y * y),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * z * z - x * x - y * y),
            0.3731763325901154 * z * (2 * z * z - 3 * x * x - 3 * y * y),
            -0.4570457994644658 * x * (4 * z * z - x * x - y * y),
            1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]
    return torch.stack(basis, dim=-1)


def eval_sh(
    sh: Float[Tensor, "*n k 3"], directions: Float[Tensor, "*n 3"], degree: int | None = None
) -> Float[Tensor, "*n 3"]:
    """View-dependent colour, clamped at 0 from below.

    Args:
        sh: coefficients.
        directions: from the camera to the splat, any length > 0.
        degree: use only the bands up to this degree; default all.
    """
    degree = sh_degree(sh.shape[-2]) if degree is None else min(degree, sh_degree(sh.shape[-2]))
    basis = sh_basis(torch.nn.functional.normalize(directions, dim=-1), degree)
    return ((basis[..., None] * sh[..., : basis.shape[-1], :]).sum(-2) + 0.5).clamp_min(0.0)
