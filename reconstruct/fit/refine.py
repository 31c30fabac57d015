"""What may be refined per view: small corrections of the pose, and how the image was exposed."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras


def initial_corrections(n_views: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """No correction: ``poses`` [c, 6] zeros, ``exposures`` [c, 3, 4] identities."""
    return {
        "poses": torch.zeros(n_views, 6, device=device),
        "exposures": torch.eye(3, 4, device=device).repeat(n_views, 1, 1),
    }


def corrected_cameras(cameras: Cameras, poses: Float[Tensor, "c 6"]) -> Cameras:
    """Cameras turned and moved in their own frames: world_from_cam @ exp(turn, move).

    Args:
        cameras: c cameras.
        poses: rotation vectors in radians, then translations in scene units.
    """
    turn, move = poses[:, :3], poses[:, 3:]
    top = torch.cat([rotation_from_vector(turn), move[..., None]], dim=-1)
    bottom = poses.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(poses), 1, 4)
    return replace(cameras, world_from_cam=cameras.world_from_cam @ torch.cat([top, bottom], dim=1))


def rotation_from_vector(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rodrigues' formula; smooth at 0."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(cross)


def expose(image: Float[Tensor, "h w 3"], exposure: Float[Tensor, "3 4"]) -> Float[Tensor, "h w 3"]:
    """Colour matrix and offset."""
    return image @ exposure[:, :3].T + exposure[:, 3]


def centre_exposures(exposures: Float[Tensor, "c 3 4"]) -> None:
    """Make their mean the identity, in place: else the splats' colours and the exposures could drift together."""
    exposures -= exposures.mean(0) - torch.eye(3, 4, device=exposures.device)
