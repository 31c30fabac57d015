"""Gaussian splats: the raw parameters that are optimised, stored and exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .spherical_harmonics import sh_degree, sh_from_rgb


@dataclass(frozen=True)
class Gaussians:
    """N splats, as raw parameters (before ``exp``, ``sigmoid`` and normalisation)."""

    means: Float[Tensor, "n 3"]
    """Centres in the world, scene units."""
    quats: Float[Tensor, "n 4"]
    """Rotations wxyz, any length > 0."""
    log_scales: Float[Tensor, "n 3"]
    """Natural logarithms of the standard deviations along the splat's axes."""
    opacity_logits: Float[Tensor, "n"]
    """Opacity before the sigmoid."""
    sh: Float[Tensor, "n k 3"]
    """Spherical harmonics, k = 1, 4, 9 or 16."""

    @property
    def scales(self) -> Float[Tensor, "n 3"]:
        """Standard deviations, scene units."""
        return self.log_scales.exp()

    @property
    def opacities(self) -> Float[Tensor, "n"]:
        """Opacities in (0, 1)."""
        return self.opacity_logits.sigmoid()

    @property
    def sh_degree(self) -> int:
        """Degree of the stored harmonics, 0 to 3."""
        return sh_degree(self.sh.shape[1])

    @property
    def covariances(self) -> Float[Tensor, "n 3 3"]:
        """World-space covariances R S S^T R^T."""
        m = rotation_from_wxyz(self.quats) * self.scales[:, None, :]
        return m @ m.transpose(-1, -2)

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, index: slice | Bool[Tensor, "n"] | Int[Tensor, "m"]) -> Gaussians:
        return Gaussians(**{name: value[index] for name, value in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """The raw tensors by field name, in declaration order."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def to(self, device: torch.device | str) -> Gaussians:
        """The same splats on another device."""
        return Gaussians(**{name: value.to(device) for name, value in self.tensors().items()})

    def detach(self) -> Gaussians:
        """The same splats without gradients."""
        return Gaussians(**{name: value.detach() for name, value in self.tensors().items()})


def cat_gaussians(parts: Sequence[Gaussians]) -> Gaussians:
    """Join sets of splats; lower SH degrees are padded with zeros."""
    k = max(part.sh.shape[1] for part in parts)
    names = [f.name for f in fields(Gaussians)]

    def padded(part: Gaussians) -> dict[str, Tensor]:
        missing = k - part.sh.shape[1]
        sh = torch.cat([part.sh, part.sh.new_zeros(len(part), missing, 3)], dim=1) if missing else part.sh
        return {**part.tensors(), "sh": sh}

    tensors = [padded(part) for part in parts]
    return Gaussians(**{name: torch.cat([t[name] for t in tensors]) for name in names})


def gaussians_from_points(
    points: Float[Tensor, "n 3"],
    rgb: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n"],
    *,
    opacity: float = 0.1,
    sh_degree: int = 0,
) -> Gaussians:
    """Round splats at coloured points.

    Args:
        points: centres.
        rgb: colours in [0, 1].
        scales: standard deviations, > 0.
        opacity: the same for all, in (0, 1).
        sh_degree: higher bands start at zero.
    """
    n = len(points)
    sh = points.new_zeros(n, (sh_degree + 1) ** 2, 3)
    sh[:, 0] = sh_from_rgb(rgb)
    quats = points.new_zeros(n, 4)
    quats[:, 0] = 1.0
    logits = torch.logit(points.new_full((n,), opacity))
    return Gaussians(points, quats, scales.log()[:, None].repeat(1, 3), logits, sh)


def rotation_from_wxyz(quats: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 3 3"]:
    """Rotation matrices of quaternions of any length > 0."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def wxyz_from_rotation(rotation: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 4"]:
    """Unit quaternions (w >= 0) of rotation matrices.

    Takes the best conditioned of the four forms of Shepperd (1978), so it is exact near half turns too.
    """
    m = rotation
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    d0, d1, d2 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    e, f, g = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    candidates = torch.stack(
        [
            torch.stack([1 + trace, a, b, c], -1),
            torch.stack([a, 1 + d0 - d1 - d2, e, f], -1),
            torch.stack([b, e, 1 - d0 + d1 - d2, g], -1),
            torch.stack([c, f, g, 1 - d0 - d1 + d2], -1),
        ],
        dim=-2,
    )
    best = torch.stack([trace, d0, d1, d2], dim=-1).argmax(-1)
    index = best[..., None, None].expand(*best.shape, 1, 4)
    quats = torch.nn.functional.normalize(candidates.gather(-2, index)[..., 0, :], dim=-1)
    return torch.where(quats[..., :1] < 0, -quats, quats)
