"""Where a scene is first seen from, and at what scale; on NumPy arrays, so that it is known before torch is there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]
"""sRGB in 0..1."""
BLACK: Color = (0.0, 0.0, 0.0)
TYPICAL_DISTANCE = 3.0
"""Display units from the first camera to what it looks at, where the true scale is not known."""
NEAR_DISPLAY = 0.01
"""The near plane in display units."""
_DIM = 0.35
"""Of the scene's mean colour: seen as "nothing there", yet no hole of black."""
_SH0 = 0.28209479177387814
"""The constant basis function of ``reconstruct.spherical_harmonics``."""


@dataclass(frozen=True)
class Home:
    """One pinhole camera."""

    world_from_cam: NDArray[np.float32]
    """[4, 4], OpenCV axes."""
    intrinsics: NDArray[np.float32]
    """[3, 3] in pixels."""
    width: int
    height: int


def default_home(means: NDArray[np.float32], up: NDArray[np.float32]) -> Home:
    """A camera that sees the bulk of a scene of which no camera is known, slightly from above.

    Args:
        means: [n, 3] centres of the splats; none will do.
        up: [3] unit vector.
    """
    means = means[:: max(1, len(means) // 100_000)]
    if not len(means):
        means = np.zeros((1, 3), np.float32)
    low, high = np.quantile(means, [0.02, 0.98], axis=0)
    centre = (low + high) / 2
    radius = max(float(np.quantile(np.linalg.norm(means - centre, axis=-1), 0.95)), 1e-9)
    back = np.cross(np.eye(3)[int(np.abs(up).argmin())], up)
    back /= np.linalg.norm(back)
    pose = np.eye(4, dtype=np.float32)
    pose[:3, 3] = centre + radius * (2.5 * back + 0.4 * up)
    forward = -(2.5 * back + 0.4 * up) / np.linalg.norm(2.5 * back + 0.4 * up)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    focal = 720 / (2 * math.tan(math.radians(25)))
    return Home(pose, np.array([[focal, 0, 480], [0, focal, 360], [0, 0, 1]], np.float32), 960, 720)


def median_depth(means: NDArray[np.float32], home: Home) -> float:
    """Median depth of the splats that a camera sees; a guess if it sees none.

    Args:
        means: [n, 3] centres of the splats.
        home: the camera.
    """
    means = means[:: max(1, len(means) // 50_000)]
    seen = (means - home.world_from_cam[:3, 3]) @ home.world_from_cam[:3, :3]
    depth = seen[:, 2]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        pixels = (seen @ home.intrinsics.T)[:, :2] / depth[:, None]
        inside = (depth > 1e-9) & ((pixels >= 0) & (pixels <= (home.width, home.height))).all(-1)
    if inside.any():
        return float(np.median(depth[inside]))
    return max(float(np.median(np.linalg.norm(seen, axis=-1))), 1e-9) if len(seen) else TYPICAL_DISTANCE


def display_scale(metres_per_unit: float | None, distance: float) -> float:
    """Display units per scene unit: metres, unless that is so far from human size that one cannot walk in it.

    Args:
        metres_per_unit: None where the scale is not known.
        distance: from the first camera to what it looks at, scene units.
    """
    scale = metres_per_unit or TYPICAL_DISTANCE / distance
    return scale if 0.05 < distance * scale < 500 else TYPICAL_DISTANCE / distance


def backdrop_color(constants: NDArray[np.float32], opacity_logits: NDArray[np.float32]) -> Color:
    """A dim colour of the scene, for where there is nothing.

    Args:
        constants: [n, 3], the harmonics' constants.
        opacity_logits: [n].
    """
    step = max(1, len(constants) // 50_000)
    solid = constants[::step][opacity_logits[::step] > 0]
    if not len(solid):
        return BLACK
    red, green, blue = (_DIM * (0.5 + _SH0 * solid).clip(0, 1).mean(0)).tolist()
    return red, green, blue


def half_height_to_show(home: Home, aspect: float) -> float:
    """Half the height, at distance 1, of a window of this aspect that shows the whole picture of a camera."""
    half_width = home.width / (2 * float(home.intrinsics[0, 0]))
    return max(home.height / (2 * float(home.intrinsics[1, 1])), half_width / aspect)
