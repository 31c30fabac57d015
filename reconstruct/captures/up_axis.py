"""Which way is up in a capture, from how the photos were held."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras


def estimate_up(cameras: Cameras) -> Float[Tensor, "3"]:
    """Unit vector that is most nearly upright in all photos.

    People tilt cameras up and down but seldom roll them, so up is the direction that is most nearly at right angles
    to every camera's horizontal axis. Where the cameras hardly turn, that leaves the tilt open, and the mean of the
    cameras' own upward axes is taken.
    """
    right = cameras.world_from_cam[:, :3, 0].double()
    up = -cameras.world_from_cam[:, :3, 1].double().mean(0)
    values, vectors = torch.linalg.eigh(right.T @ right / len(right))
    if float(values[1]) > 0.05 and float(values[1]) > 5 * float(values[0]):
        axis = vectors[:, 0]
        up = axis if float(axis @ up) > 0 else -axis
    return torch.nn.functional.normalize(up, dim=0).float()
