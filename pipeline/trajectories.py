"""Camera paths that leave the photo's camera, look around, and come back to it.

Every path is a loop over time 0..1 that starts at the home camera. Its extent follows the scene's depth, so that
parallax looks alike whatever the scale: lengths are fractions of the distance to what is near.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..reconstruct.cameras import Cameras, look_at
from ..reconstruct.errors import InputError
from ..reconstruct.transforms_json import cameras_from_images, read_transforms

TrajectoryName = Literal["orbit", "spiral", "dolly", "pan", "look-around"]


@dataclass(frozen=True)
class Reach:
    """How far the scene's depth allows a path to go."""

    near: float
    """Depth that a tenth of the pixels are nearer than."""
    focus: float
    """Depth that the paths turn around: the median."""

    @property
    def step(self) -> float:
        """Length unit of all paths: enough parallax to see behind things, too little to run into them."""
        return min(self.near, 0.6 * self.focus)


def reach_of(depth: Float[Tensor, "h w"], *, far: Bool[Tensor, "h w"] | None = None) -> Reach:
    """From the photo's own depth; the sky does not count unless there is nothing else."""
    if far is not None and not far.all():
        depth = depth[~far]
    near, focus = torch.quantile(
        depth.flatten()[:: max(1, depth.numel() // 100_000)], torch.tensor([0.1, 0.5])
    )
    return Reach(float(near), float(focus))


def plan_trajectory(
    trajectory: str, home: Cameras, reach: Reach, frames: int, *, extent: float = 1.0, once: bool = False
) -> Cameras:
    """Cameras along a named path, or those of a transforms.json.

    Args:
        trajectory: one of ``TrajectoryName`` or a path to a transforms.json in the world of ``home``.
        home: a batch of one, where named paths start and end.
        reach: from ``reach_of``.
        frames: how many cameras a named path has; the first is ``home``, unless ``once``.
        extent: scales a named path; 1 is what the default generator can fill.
        once: do not go back where a named path passes every place twice; cameras then stand evenly along it.

    Raises:
        InputError: not a known name and not a readable transforms.json.
    """
    given = _given_cameras(trajectory)
    if given is not None:
        return given
    phase = 2 * math.pi * torch.arange(frames) / frames
    if once and trajectory in _ONE_WAY:
        phase = _ONE_WAY[trajectory](frames)
    local = _PATHS[trajectory](phase, reach, extent)
    return Cameras(
        home.world_from_cam[0] @ local, home.intrinsics.expand(frames, 3, 3), home.width, home.height
    )


def check_trajectory(trajectory: str) -> None:
    """Tell at once of a path that ``plan_trajectory`` cannot plan.

    Raises:
        InputError: not a known name and not a readable transforms.json.
    """
    _given_cameras(trajectory)


def _given_cameras(trajectory: str) -> Cameras | None:
    """Those of a transforms.json; None for a known name."""
    if trajectory in get_args(TrajectoryName):
        return None
    if trajectory.endswith(".json") or Path(trajectory).exists():
        return cameras_from_images(read_transforms(trajectory))
    names = ", ".join(get_args(TrajectoryName))
    raise InputError(f"trajectory {trajectory!r} is neither a transforms.json nor one of: {names}")


def _orbit(phase: Tensor, reach: Reach, extent: float) -> Tensor:
    """An arc to the left and right around the focus, with a little rise."""
    angle = extent * math.atan(0.3 * reach.step / reach.focus) * phase.sin()
    rise = extent * 0.06 * reach.step * (phase.cos() - 1)
    focus = torch.tensor([0.0, 0.0, reach.focus])
    offset = torch.stack([angle.sin(), torch.zeros_like(angle), -angle.cos()], dim=-1) * reach.focus
    offset[:, 1] = rise
    return look_at(focus + offset, focus.expand_as(offset))


def _spiral(phase: Tensor, reach: Reach, extent: float) -> Tensor:
    """Circles in the image plane while moving in and out, as forward-facing captures are usually shown."""
    radius = extent * 0.22 * reach.step
    x, y, z = radius * phase.sin(), 0.5 * radius * (phase.cos() - 1), 0.6 * radius * (1 - phase.cos())
    position = torch.stack([x, y, z], dim=-1)
    return look_at(position, torch.tensor([0.0, 0.0, reach.focus]).expand_as(position))


def _dolly(phase: Tensor, reach: Reach, extent: float) -> Tensor:
    """Straight ahead and back."""
    z = extent * 0.25 * reach.step * (1 - phase.cos())
    return _posed(z_forward=z)


def _pan(phase: Tensor, reach: Reach, extent: float) -> Tensor:
    """Turn left and right on the spot."""
    return _posed(yaw=extent * math.radians(14) * phase.sin())


def _look_around(phase: Tensor, reach: Reach, extent: float) -> Tensor:
    """Turn as if looking about, with the small shift of a head."""
    yaw = extent * math.radians(12) * phase.sin()
    pitch = extent * math.radians(4) * (2 * phase).sin()
    return _posed(yaw=yaw, pitch=pitch, x_right=extent * 0.12 * reach.step * phase.sin())


_PATHS: dict[str, Callable[[Tensor, Reach, float], Tensor]] = {
    "orbit": _orbit, "spiral": _spiral, "dolly": _dolly, "pan": _pan, "look-around": _look_around,
}  # fmt: skip

_ONE_WAY: dict[str, Callable[[int], Tensor]] = {
    "dolly": lambda frames: torch.linspace(1, -1, frames).arccos(),
    "pan": lambda frames: torch.linspace(-1, 1, frames).arcsin(),
}
"""Phases at which paths on a line are at even distances, each place once."""


def _posed(
    *, yaw: Tensor | None = None, pitch: Tensor | None = None,
    x_right: Tensor | None = None, z_forward: Tensor | None = None,
) -> Float[Tensor, "n 4 4"]:  # fmt: skip
    """Poses from yaw (to the right) and pitch (up) in radians and a position, each [n] or None for zero."""
    given = next(v for v in (yaw, pitch, x_right, z_forward) if v is not None)
    zero = torch.zeros_like(given)
    yaw, pitch, x, z = (zero if v is None else v for v in (yaw, pitch, x_right, z_forward))
    position = torch.stack([x, zero, z], dim=-1)
    direction = torch.stack([yaw.sin() * pitch.cos(), -pitch.sin(), yaw.cos() * pitch.cos()], dim=-1)
    return look_at(position, position + direction)
