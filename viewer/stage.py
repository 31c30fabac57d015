"""How a scene stands in the viewer: its scale, up, first camera and clipping planes.

viser stores covariances in half precision, so scenes are shown in metres where the scale is known, and
otherwise so that what the first camera sees is a few units away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..reconstruct.cameras import Cameras, focal_px_from_fov, look_at, pinhole_intrinsics
from ..reconstruct.gaussians import Gaussians, rotation_from_wxyz
from ..reconstruct.scene import Scene

TYPICAL_DISTANCE = 3.0
"""Display units from the first camera to what it looks at, where the true scale is not known."""
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
    home = scene.home or default_home(scene.gaussians, scene.up)
    distance = median_depth(scene.gaussians, home)
    scale = scene.metres_per_unit or TYPICAL_DISTANCE / distance
    if not 0.05 < distance * scale < 500:  # a unit so far from human size cannot be walked in
        scale = TYPICAL_DISTANCE / distance
    reach = (scene.gaussians.means - home.positions[0]).norm(dim=-1)
    far = (
        float(torch.quantile(reach[:: max(1, len(reach) // 100_000)], 0.999)) * scale if len(reach) else 10.0
    )
    return Stage(scale, scene.up, home, distance, 0.01, max(100.0, 4 * far))


def median_depth(gaussians: Gaussians, camera: Cameras) -> float:
    """Median depth of the splats that a camera (a batch of one) sees; a guess if it sees none."""
    means = gaussians.means[:: max(1, len(gaussians) // 50_000)]
    pixels, depth = camera.project(means[None])
    pixels, depth = pixels[0], depth[0]
    size = pixels.new_tensor([camera.width, camera.height])
    seen = (depth > 1e-9) & ((pixels >= 0) & (pixels <= size)).all(-1)
    if bool(seen.any()):
        return float(depth[seen].median())
    reach = (means - camera.positions).norm(dim=-1)
    return max(float(reach.median()), 1e-9) if len(reach) else TYPICAL_DISTANCE


def default_home(gaussians: Gaussians, up: Float[Tensor, "3"]) -> Cameras:
    """A camera that sees the bulk of a scene of which no camera is known, slightly from above."""
    means = gaussians.means[:: max(1, len(gaussians) // 100_000)]
    if not len(means):
        means = torch.zeros(1, 3)
    low, high = torch.quantile(means, torch.tensor([0.02, 0.98]), dim=0)
    centre = (low + high) / 2
    radius = max(float(torch.quantile((means - centre).norm(dim=-1), 0.95)), 1e-9)
    side = torch.eye(3)[int(up.abs().argmin())]
    back = torch.nn.functional.normalize(torch.linalg.cross(side, up), dim=0)
    position = centre + radius * (2.5 * back + 0.4 * up)
    intrinsics = pinhole_intrinsics(focal_px_from_fov(50, 720), 960, 720)
    return Cameras(look_at(position[None], centre[None], up), intrinsics[None], 960, 720)


def fov_y_to_show(camera: Cameras, aspect: float) -> float:
    """Vertical field of view in radians with which a window shows the whole picture of a camera."""
    fy, fx = float(camera.intrinsics[0, 1, 1]), float(camera.intrinsics[0, 0, 0])
    half = max(camera.height / (2 * fy), camera.width / (2 * fx) / aspect)
    return 2 * float(np.arctan(half))


def camera_from_viser(
    wxyz: np.ndarray, position: np.ndarray, fov_y: float, width: int, height: int, scale: float
) -> Cameras:
    """Our camera (a batch of one) for the state of a browser's camera, whose position is in display units."""
    pose = torch.eye(4)
    pose[:3, :3] = rotation_from_wxyz(torch.tensor(np.asarray(wxyz), dtype=torch.float32))
    pose[:3, 3] = torch.tensor(np.asarray(position) / scale, dtype=torch.float32)
    focal = focal_px_from_fov(float(np.rad2deg(fov_y)), height)
    return Cameras(pose[None], pinhole_intrinsics(focal, width, height)[None], width, height)
