"""Projections of the synthetic world's renderer: of cameras and of the maps that shadows are looked up in."""

from __future__ import annotations

import numpy as np

from .scene import Scene

NEAR, FAR = 0.04, 3000.0


def clip_from_cam(intrinsics: np.ndarray, width: int, height: int) -> np.ndarray:
    """float64 [4, 4]: OpenGL projection whose framebuffer rows run from the picture's top to its bottom."""
    k, w, h = intrinsics, width, height
    return np.array(
        [
            [2 * k[0, 0] / w, 2 * k[0, 1] / w, 2 * k[0, 2] / w - 1, 0],
            [0, 2 * k[1, 1] / h, 2 * k[1, 2] / h - 1, 0],
            [0, 0, (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)],
            [0, 0, 1, 0],
        ]
    )


def sun_clip_of(scene: Scene) -> np.ndarray:
    """Orthographic projection along the sun's rays around the scene."""
    forward = -np.array(scene.sky.to_sun)
    up = np.array([0.0, 1.0, 0.0]) if abs(forward[2]) > 0.9 else np.array([0.0, 0.0, 1.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    low, high = np.array(scene.low), np.array(scene.high)
    corners = np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    local = corners @ rotation.T
    small, large = local.min(axis=0) - 0.1, local.max(axis=0) + 0.1
    clip = np.eye(4)
    for axis in range(3):
        scale = 2 / (large[axis] - small[axis])
        clip[axis, :3] = rotation[axis] * scale
        clip[axis, 3] = -(large[axis] + small[axis]) / 2 * scale
    return clip


def lamp_clip_of(scene: Scene, fov_deg: float = 155.0) -> np.ndarray:
    """Wide perspective projection straight down from the main lamp."""
    if not scene.lamps:
        return np.eye(4)
    f = 1 / np.tan(np.radians(fov_deg) / 2)
    near, far = 0.08, 12.0
    x, y, z = scene.lamps[0].position
    view = np.array([[1, 0, 0, -x], [0, -1, 0, y], [0, 0, -1, z], [0, 0, 0, 1.0]])
    projection = np.array(
        [
            [f, 0, 0, 0],
            [0, f, 0, 0],
            [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, 1, 0],
        ]
    )
    return projection @ view
