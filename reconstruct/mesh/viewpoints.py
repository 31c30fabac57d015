"""Where to look at a scene from, to see all of its surfaces."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, focal_px_from_fov, look_at, pinhole_intrinsics
from ..gaussians import Gaussians
from ..scene import Scene

ORBIT_FOV_DEG = 50.0
HEIGHTS_DEG = (-25.0, 10.0, 45.0)
"""Elevations of the rings of cameras around a scene that has none."""
PHOTO_SLOPE = 1.5
"""A scene is that of a photo if nearly all of it lies before the origin, within this slope of the z axis."""


def scene_viewpoints(scene: Scene, *, count: int = 48, long_side: int = 640) -> list[Cameras]:
    """Cameras, each a batch of one.

    A scene's own cameras are the best: splats are only known to be right from where photos looked. A file of splats
    alone is looked at from the origin and around it if it can be the scene of one photo, and else from a sphere.

    Args:
        scene: with splats.
        count: at most so many; of more cameras every k-th is taken.
        long_side: pixels; of a scene's own cameras at most what they have.
    """
    if scene.views:
        every = [Cameras(v.world_from_cam[None], v.intrinsics[None], v.width, v.height) for v in scene.views]
        step = max(1.0, len(every) / count)
        chosen = [every[int(i * step)] for i in range(min(count, len(every)))]
        return [_sized(camera, long_side) for camera in chosen]
    gaussians = scene.gaussians
    solid = gaussians[gaussians.opacities > 0.3] if bool((gaussians.opacities > 0.3).any()) else gaussians
    if _is_before_origin(solid.means):
        return list(_around_origin(solid, long_side))
    return list(_orbit(solid, scene.up, count, long_side))


def _sized(camera: Cameras, long_side: int) -> Cameras:
    scale = min(1.0, long_side / max(camera.width, camera.height))
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


def _is_before_origin(means: Float[Tensor, "n 3"]) -> bool:
    x, y, z = means.unbind(-1)
    before = (z > 0) & (x.abs() < PHOTO_SLOPE * z) & (y.abs() < PHOTO_SLOPE * z)
    return float(before.float().mean()) > 0.95


def _around_origin(gaussians: Gaussians, long_side: int) -> Cameras:
    """The photo's camera, whose lens shows nearly all of it, and eight around it that look at the same place."""
    means = gaussians.means
    means = means[means[:, 2] > 0]
    slopes = (means[:, :2].abs() / means[:, 2:]).quantile(0.98, dim=0)
    depth = float(means[:, 2].median())
    angles = torch.arange(8) * (math.pi / 4)
    ring = 0.12 * depth * torch.stack([angles.cos(), 0.5 * angles.sin(), torch.zeros(8)], dim=-1)
    positions = torch.cat([torch.zeros(1, 3), ring])
    poses = look_at(positions, torch.tensor([0.0, 0.0, depth]).expand(9, 3))
    wide, high = float(slopes[0].clamp_min(1e-3)), float(slopes[1].clamp_min(1e-3))
    width = long_side if wide >= high else max(1, round(long_side * wide / high))
    height = long_side if high >= wide else max(1, round(long_side * high / wide))
    k = pinhole_intrinsics(0.5 * long_side / max(wide, high), width, height)
    return Cameras(poses, k.expand(9, 3, 3).contiguous(), width, height)


def _orbit(gaussians: Gaussians, up: Float[Tensor, "3"], count: int, long_side: int) -> Cameras:
    """Rings of cameras that look at the middle, far enough away to have nine tenths of the splats in view."""
    centre = gaussians.means.median(dim=0).values
    radius = max(float((gaussians.means - centre).norm(dim=-1).quantile(0.9)), 1e-6)
    away = 1.1 * radius / math.sin(math.radians(ORBIT_FOV_DEG / 2))
    helper = torch.nn.functional.one_hot(up.abs().argmin(), 3).to(up)
    east = torch.nn.functional.normalize(torch.linalg.cross(up, helper), dim=0)
    north = torch.linalg.cross(up, east)
    positions = []
    for ring, degrees in enumerate(HEIGHTS_DEG):
        per_ring = max(3, count // len(HEIGHTS_DEG))
        height = math.radians(degrees)
        for i in range(per_ring):
            turn = 2 * math.pi * (i + ring / len(HEIGHTS_DEG)) / per_ring
            level = math.cos(height) * (math.cos(turn) * east + math.sin(turn) * north)
            positions.append(centre + away * (level + math.sin(height) * up))
    stacked = torch.stack(positions)
    k = pinhole_intrinsics(focal_px_from_fov(ORBIT_FOV_DEG, long_side), long_side, long_side)
    poses = look_at(stacked, centre.expand_as(stacked), up)
    return Cameras(poses, k.expand(len(stacked), 3, 3).contiguous(), long_side, long_side)
