"""Camera paths through key frames."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..reconstruct.cameras import Cameras
from ..reconstruct.gaussians import rotation_from_wxyz, wxyz_from_rotation


def camera_path(keys: Cameras, frames: int, *, loop: bool = False) -> Cameras:
    """Cameras on a smooth way through key cameras, the same time apart.

    Positions follow a uniform Catmull-Rom spline, rotations the same weights on quaternions of one
    hemisphere, normalised; intrinsics run linearly. The path passes every key.

    Args:
        keys: at least one camera.
        frames: how many cameras to return.
        loop: return to the first key at the end.
    """
    k = len(keys)
    if k == 0 or frames < 1:
        raise ValueError(f"a path needs key cameras and frames, not {k} and {frames}")
    segments = k if loop else k - 1
    if segments <= 0:
        return keys[[0] * frames]
    at = torch.linspace(0, segments, frames + 1)[:-1] if loop else torch.linspace(0, segments, frames)
    first = at.floor().long().clamp(0, segments - 1)
    t = at - first
    index = first[:, None] + torch.tensor([-1, 0, 1, 2])
    index = index % k if loop else index.clamp(0, k - 1)
    weights = catmull_rom_weights(t)
    positions = (weights[..., None] * keys.positions[index]).sum(1)
    quats = wxyz_from_rotation(keys.world_from_cam[:, :3, :3])[index]
    same_side = torch.where((quats * quats[:, 1:2]).sum(-1, keepdim=True) < 0, -quats, quats)
    poses = torch.eye(4).repeat(frames, 1, 1)
    poses[:, :3, :3] = rotation_from_wxyz((weights[..., None] * same_side).sum(1))
    poses[:, :3, 3] = positions
    intrinsics = torch.lerp(keys.intrinsics[index[:, 1]], keys.intrinsics[index[:, 2]], t[:, None, None])
    return Cameras(poses, intrinsics, keys.width, keys.height)


def catmull_rom_weights(t: Float[Tensor, "f"]) -> Float[Tensor, "f 4"]:
    """Weights of the four points around a segment at 0 <= t <= 1 (Catmull and Rom, 1974)."""
    t2, t3 = t * t, t * t * t
    return torch.stack([-t3 + 2 * t2 - t, 3 * t3 - 5 * t2 + 2, -3 * t3 + 4 * t2 + t, t3 - t2], dim=-1) / 2
