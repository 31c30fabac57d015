"""Where the camera goes: hand-held views and smooth paths through free space, and how each shot is exposed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.ndimage import distance_transform_edt

from .light import LightField
from .model import cross
from .render import Look, View
from .scene import Scene
from .shapes import inside_outline

ShotKind = Literal["mixed", "around", "single", "close"]
"""What a world's shots are for: walking and 4D, views around a place, depth from one photo."""
AROUND = 8
"""Views of an ``around`` shot, its home camera included."""
GREY = 0.27
"""Exposed value (before the shoulder) of the middle of a picture."""


@dataclass(frozen=True)
class FreeSpace:
    """Distance to the nearest surface, by voxel."""

    origin: np.ndarray
    cell: float
    distance: np.ndarray

    @classmethod
    def of(cls, field: LightField) -> FreeSpace:
        """From a scene's voxels."""
        return cls(
            field.grid.origin,
            field.grid.cell,
            distance_transform_edt(field.grid.solid == 0) * field.grid.cell,  # pyright: ignore[reportOperatorIssue]
        )  # pyright: ignore[reportOperatorIssue]

    def at(self, points: np.ndarray) -> np.ndarray:
        """Clearance [N] of points [N, 3] in metres; 0 outside the grid."""
        index = np.floor((points - self.origin) / self.cell).astype(int)
        inside = ((index >= 0) & (index < self.distance.shape)).all(axis=1)
        index = np.clip(index, 0, np.array(self.distance.shape) - 1)
        return np.where(inside, self.distance[tuple(index.T)], 0.0)


def look_at_roll(position: np.ndarray, target: np.ndarray, roll: float) -> np.ndarray:
    """``world_from_cam`` (OpenCV axes, world z up) with a roll in radians."""
    forward = target - position
    forward = forward / np.linalg.norm(forward)
    right = np.array([forward[1], -forward[0], 0.0])
    right /= max(np.linalg.norm(right), 1e-9)
    down = cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = c * right + s * down, -s * right + c * down
    matrix[:3, 2], matrix[:3, 3] = forward, position
    return matrix


def plan_shots(
    scene: Scene, field: LightField, rng: np.random.Generator, *, frames: int, width: int, height: int,
    around: bool = False,
) -> list[list[View]]:  # fmt: skip
    """Shots of a scene.

    One smooth path over half of the frames, a short one, and single views far apart. Every shot has its own lens, and
    time runs 0..1 over it; single views have random times. With ``around`` instead: home cameras, each with views from
    places a step away, all with one lens at one time, as someone would look about who wants to see behind things.
    """
    if around:
        return _shots_around(scene, field, rng, frames, width, height)
    lengths = [max(1, frames // 2)]
    while sum(lengths) < frames:
        lengths.append(min(frames - sum(lengths), 3 if len(lengths) == 1 else 1))
    space = FreeSpace.of(field)
    focus = None
    shots = []
    for length in lengths:
        shot, target = _plan_shot(scene, field, space, rng, length, width, height, focus)
        focus = target if focus is None and rng.random() < 0.7 else focus
        shots.append(shot)
    return shots


def _shots_around(
    scene: Scene, field: LightField, rng: np.random.Generator, frames: int, width: int, height: int
) -> list[list[View]]:
    """Shots of ``AROUND`` views, the first of each its home; the last may be shorter."""
    space, shots = FreeSpace.of(field), []
    for first in range(0, frames, AROUND):
        shot, _ = _plan_shot(scene, field, space, rng, 1, width, height, None)
        home = replace(shot[0], time=0.0)
        rays = probe_rays(home.world_from_cam, home.intrinsics, width, height)
        distance, _ = field.look(np.repeat(home.world_from_cam[None, :3, 3], len(rays), 0), rays)
        near, focus = np.percentile(np.minimum(distance, 30.0), [10, 50])
        views = [home]
        while len(views) < min(AROUND, frames - first):
            views.append(_near_home(home, field, space, min(near, 0.7 * focus), focus, rng))
        shots.append(views)
    return shots


def _near_home(
    home: View, field: LightField, space: FreeSpace, step: float, focus: float, rng: np.random.Generator
) -> View:
    """A view from up to ``step`` metres away, turned a little; nearer where the way is blocked.

    Cupboards are hollow: free space does not do, the way there must be free as well.
    """
    reach, eye, target = step * rng.choice([0.5, 1.0]), np.zeros(3), np.ones(3)
    for _ in range(20):
        offset = rng.uniform(-1, 1, 3) * [0.8, 0.3, 0.6] * reach
        aim = np.array([*(rng.uniform(-1, 1, 2) * [0.45, 0.15]), 1.0]) * focus
        eye, target = (home.world_from_cam[:3] @ np.append(point, 1.0) for point in (offset, aim))
        if space.at(eye[None])[0] > 0.25 and way_free(field, home.world_from_cam[:3, 3], eye):
            break
        reach *= 0.8
    return replace(home, world_from_cam=look_at_roll(eye, target, 0.0))


def way_free(field: LightField, start: np.ndarray, end: np.ndarray) -> bool:
    """Whether nothing stands between two places."""
    way = end - start
    length = float(np.linalg.norm(way))
    if length < 1e-6:
        return True
    distance, _ = field.look(start[None], (way / length)[None])
    return bool(distance[0] > length)


def _plan_shot(
    scene: Scene, field: LightField, space: FreeSpace, rng: np.random.Generator, length: int, width: int, height: int,
    focus: np.ndarray | None,
) -> tuple[list[View], np.ndarray]:  # fmt: skip
    """The best of some random shots; later tries are not judged as strictly."""
    best, best_score = None, -np.inf
    for attempt in range(30):
        candidate = _random_shot(
            scene, space, rng, length, width, height, focus if rng.random() < 0.6 else None
        )
        if candidate is None:
            continue
        poses, intrinsics, target = candidate
        score, seen = _judge(scene, field, poses, intrinsics, width, height)
        if score > best_score:
            best, best_score = (poses, intrinsics, target, seen), score
        if score > 0.75 - 0.02 * attempt:
            break
    if best is None:
        best = _fallback(scene, field, width, height, length)
    poses, intrinsics, target, seen = best
    look = choose_look(seen, rng, shade=field.shade)
    times = np.linspace(0, 1, length) if length > 1 else rng.random(1)
    return [View(p, intrinsics, width, height, float(t), look) for p, t in zip(poses, times)], target


def _random_shot(scene, space, rng, length, width, height, focus):
    """Poses, intrinsics and the point looked at; None when the way is blocked."""
    low, high = np.array(scene.low), np.array(scene.high)
    for _ in range(40):
        eye = rng.uniform(low, high)
        if scene.indoor:
            eye[2] = np.clip(rng.normal(1.4, 0.3), 0.4, high[2] - 0.3)
            if len(scene.outline) and not inside_outline(scene.outline, eye[None, :2])[0]:
                continue
        else:
            subject = _near_subject(scene, rng)
            if subject is None:
                eye[:2] = ((low + high) / 2 + (eye - (low + high) / 2) * 0.7)[:2]
            else:
                eye[:2] = subject[1]
                focus = subject[0] if focus is None and rng.random() < 0.75 else focus
            eye[2] = rng.choice(
                [rng.normal(1.5, 0.25), rng.uniform(0.3, 1.2), rng.uniform(2, 6)], p=[0.72, 0.16, 0.12]
            )
        if space.at(eye[None])[0] > 0.32:
            break
    else:
        return None
    target = focus if focus is not None else _target(scene, eye, rng)
    if np.linalg.norm(target[:2] - eye[:2]) < 0.5:
        return None
    fov_x = np.radians(
        np.clip(rng.normal(64, 14), 40, 100) if width >= height else np.clip(rng.normal(54, 9), 40, 80)
    )
    focal = width / (2 * np.tan(fov_x / 2))
    centre = np.array([width, height]) / 2
    if rng.random() < 0.2:
        centre = centre + rng.normal(0, 0.02, 2) * [width, height]
    intrinsics = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]])
    reach = (0.12, 1.1) if scene.indoor else (0.3, 3.0)
    move = rng.normal(0, 1, 3) * [1, 1, 0.25]
    move *= rng.uniform(*reach) / np.linalg.norm(move)
    bend = rng.normal(0, 0.15, 3) * np.linalg.norm(move)
    sweep = rng.normal(0, 0.12, 3) * np.linalg.norm(target - eye)
    roll = np.radians(rng.normal(0, 2.5)) if rng.random() < 0.8 else np.radians(rng.normal(0, 9))
    s = np.linspace(0, 1, length) if length > 1 else np.zeros(1)
    shake = np.cumsum(rng.normal(0, 0.004, (length, 3)), axis=0)
    eyes = eye + s[:, None] * move + (4 * s * (1 - s))[:, None] * bend + shake
    if (space.at(eyes) < 0.25).any():
        return None
    poses = [look_at_roll(e, target + sweep * t, roll + rng.normal(0, 0.005)) for e, t in zip(eyes, s)]
    return poses, intrinsics, target


def _near_subject(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Often: a person, an animal or a vehicle to look at [3], and a place to stand [2] within a few of its sizes."""
    things = [
        p for p in scene.placements if p.label not in ("", "ground", "road", "pavement", "house", "terrace")
    ]
    if not things or rng.random() < 0.3:
        return None
    low, high = things[rng.integers(len(things))].start_bounds
    size = float(np.clip(np.max(high - low), 0.5, 6.0))
    angle, distance = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.7, 3.0) + 0.6
    target = (low + high) / 2 + rng.normal(0, 0.15, 3) * size
    return target, target[:2] + distance * np.array([np.cos(angle), np.sin(angle)])


def _target(scene: Scene, eye: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mostly a piece of furniture, else a point a little below eye level."""
    things = [
        p for p in scene.placements if p.label and not p.background and p.label not in ("floor", "window")
    ]
    if things and rng.random() < 0.75:
        sizes = np.array([np.subtract(*p.start_bounds[::-1])[[0, 2]] for p in things])
        weights = (sizes + 0.1).prod(axis=1) ** 0.5
        low, high = things[rng.choice(len(things), p=weights / weights.sum())].start_bounds
        target = (low + high) / 2 + rng.normal(0, 0.2, 3)
        if np.linalg.norm(target - eye) > 0.9:
            return target
    angle = rng.uniform(0, 2 * np.pi)
    distance = 2.5 if scene.indoor else 9.0
    pitch = rng.normal(-0.16, 0.14) if scene.indoor else rng.normal(-0.04, 0.1)
    return eye + distance * np.array([np.cos(angle), np.sin(angle), np.tan(pitch)])


def probe_rays(pose: np.ndarray, intrinsics: np.ndarray, width: int, height: int) -> np.ndarray:
    """Unit directions [192, 3] through a 16 x 12 grid of pixels."""
    x, y = np.meshgrid((np.arange(16) + 0.5) / 16 * width, (np.arange(12) + 0.5) / 12 * height)
    cam = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ np.linalg.inv(intrinsics).T
    directions = cam @ pose[:3, :3].T
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _judge(scene, field, poses, intrinsics, width, height) -> tuple[float, np.ndarray]:
    """How good a shot is (about 0..1) and the light it sees [N, 3]."""
    scores, light = [], []
    for pose in (poses[0], poses[-1]) if len(poses) > 1 else (poses[0],):
        rays = probe_rays(pose, intrinsics, width, height)
        distance, seen = field.look(np.repeat(pose[None, :3, 3], len(rays), 0), rays)
        hit = np.isfinite(distance)
        light.append(seen[hit] if hit.mean() > 0.25 else seen)  # meter what is there, not the sky
        finite = distance[hit]
        if len(finite) < len(rays) * (0.5 if scene.indoor else 0.3):
            scores.append(-1.0)
            continue
        near, close, middle, away = np.percentile(finite, [4, 10, 50, 90])
        spread = np.log(away / max(close, 1e-3))
        edges = np.abs(np.diff(np.log(np.minimum(distance, 50.0).reshape(12, 16)), axis=1)).mean()
        score = (
            min(near / (0.5 if scene.indoor else 1.0), 1.0) * 0.4
            + min(spread, 1.2) * 0.25
            + min(edges * 4, 1.0) * 0.4
        )
        if scene.indoor and middle > 4.5:
            score -= 0.2
        scores.append(score)
    return min(scores), np.concatenate(light)


def _fallback(scene: Scene, field: LightField, width: int, height: int, length: int):
    """A view from the middle of the scene, for crowded scenes where nothing better was found."""
    eye = (np.array(scene.low) + np.array(scene.high)) / 2
    eye[2] = min(2.0, scene.high[2] - 0.3)
    pose = look_at_roll(eye, eye + np.array([1.0, 0.3, -0.25]), 0.0)
    focal = width / (2 * np.tan(np.radians(35)))
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    _, seen = _judge(scene, field, [pose], intrinsics, width, height)
    return [pose] * length, intrinsics, eye + [1.0, 0.3, -0.25], seen


def choose_look(seen: np.ndarray, rng: np.random.Generator, *, shade: float) -> Look:
    """Exposure and white balance from the light in view, as a camera would, with some error and taste.

    Args:
        seen: radiance [N, 3] along rays; only what lamps, windows and the sun light directly.
        rng: decides.
        shade: luminance of what they do not reach.
    """
    exposure, color = _metered(seen, shade)
    exposure *= 2 ** rng.normal(0, 0.35)
    cast = color ** -rng.uniform(0.3, 0.95)
    taste = np.exp(rng.normal(0, 0.05, 3))
    values = exposure * cast * taste
    return Look(
        exposure=(float(values[0]), float(values[1]), float(values[2])),
        contrast=float(rng.uniform(0.0, 0.45)),
        saturation=float(rng.uniform(0.75, 1.25)),
        black=float(max(0.0, rng.normal(0.0, 0.02))),
        vignette=float(rng.uniform(0.0, 0.6)),
    )


def careful_look(seen: np.ndarray, *, shade: float) -> Look:
    """Exposure and white balance of somebody who takes care; arguments as those of ``choose_look``."""
    exposure, color = _metered(seen, shade)
    values = 1.15 * exposure * color**-0.7
    return Look((float(values[0]), float(values[1]), float(values[2])), contrast=0.2, vignette=0.0)


def _metered(seen: np.ndarray, shade: float) -> tuple[float, np.ndarray]:
    """The exposure that makes the middle ``GREY``, and the light's colour [3] with mean 1."""
    seen = np.maximum(seen, shade)
    luminance = seen @ np.array([0.25, 0.6, 0.15])
    lit = luminance[luminance > 1e-6]
    if len(lit):
        lit = np.minimum(lit, 2.5 * np.median(lit))  # windows and lamps may burn out
    middle = float(np.exp(np.log(lit).mean()) * 0.5 + np.mean(lit) * 0.5) if len(lit) else 1.0
    mean = np.maximum(np.clip(seen, 0, 4 * middle).mean(axis=0), 1e-6)
    return GREY / max(middle * 1.35, 1e-4), mean / mean.mean()
