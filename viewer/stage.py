"""How a scene stands in the viewer: its scale, up, first camera and clipping planes.

viser stores covariances in half precision, so scenes are shown in metres where the scale is known, and
otherwise so that what the first camera sees is a few units away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..reconstruct.cameras import Cameras, focal_px_from_fov, pinhole_intrinsics
from ..reconstruct.gaussians import rotation_from_wxyz
from ..reconstruct.scene import Scene
from .home import (
    BLACK,
    NEAR_DISPLAY,
    Color,
    Home,
    backdrop_color,
    default_home,
    display_scale,
    half_height_to_show,
    median_depth,
)

_SECONDS_AHEAD = 4.0
"""Time to walk to what the first camera looks at."""
_FASTEST = 5.0
"""Display units per second; a fast runner where they are metres."""


@dataclass(frozen=True)
class Stage:
    """Where things stand; lengths in scene units unless it says display."""

    scale: float
    """Display units per scene unit."""
    up: Float[Tensor, "3"]
    home: Cameras
    """The first camera, a batch of one."""
    pivot_distance: float
    """From the first camera to the point that the mouse turns about."""
    near_display: float
    far_display: float

    @property
    def near(self) -> float:
        """The near plane in scene units."""
        return self.near_display / self.scale

    @property
    def walking_speed(self) -> float:
        """Scene units per second: a few seconds to what the first camera looks at, but not faster than one can run."""
        return min(self.pivot_distance / _SECONDS_AHEAD, _FASTEST / self.scale)


def stage_scene(scene: Scene) -> Stage:
    """Choose scale, clipping and first camera of a scene."""
    means = scene.gaussians.means.numpy()
    home = home_of(scene.home) if scene.home else default_home(means, scene.up.numpy())
    distance = median_depth(means, home)
    scale = display_scale(scene.metres_per_unit, distance)
    camera = Cameras(
        torch.from_numpy(home.world_from_cam)[None],
        torch.from_numpy(home.intrinsics)[None],
        home.width,
        home.height,
    )
    reach = (scene.gaussians.means - camera.positions[0]).norm(dim=-1)
    far = (
        float(torch.quantile(reach[:: max(1, len(reach) // 100_000)], 0.999)) * scale if len(reach) else 10.0
    )
    return Stage(scale, scene.up, camera, distance, NEAR_DISPLAY, max(100.0, 4 * far))


def home_of(camera: Cameras) -> Home:
    """A camera (a batch of one) as arrays."""
    return Home(camera.world_from_cam[0].numpy(), camera.intrinsics[0].numpy(), camera.width, camera.height)


def backdrop_of(scene: Scene) -> Color:
    """Colour of what lies beyond a scene: a dim one of its own where views were generated, else black.

    Photos end somewhere, and pure black beside them looks like a fault; captures and files are shown as they are.
    """
    if not any(view.generated for view in scene.views):
        return BLACK
    return backdrop_color(scene.gaussians.sh[:, 0].numpy(), scene.gaussians.opacity_logits.numpy())


def fov_y_to_show(camera: Cameras, aspect: float) -> float:
    """Vertical field of view in radians with which a window shows the whole picture of a camera."""
    return 2 * math.atan(half_height_to_show(home_of(camera), aspect))


def camera_from_viser(
    wxyz: np.ndarray, position: np.ndarray, fov_y: float, width: int, height: int, scale: float
) -> Cameras:
    """Our camera (a batch of one) for the state of a browser's camera, whose position is in display units."""
    pose = torch.eye(4)
    pose[:3, :3] = rotation_from_wxyz(torch.tensor(np.asarray(wxyz), dtype=torch.float32))
    pose[:3, 3] = torch.tensor(np.asarray(position) / scale, dtype=torch.float32)
    focal = focal_px_from_fov(float(np.rad2deg(fov_y)), height)
    return Cameras(pose[None], pinhole_intrinsics(focal, width, height)[None], width, height)
