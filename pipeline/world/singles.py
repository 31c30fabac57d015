"""Single photos as people take them, for learning depth from one: overviews, furniture, close-ups, tilts, walls and corners,
and down over worktops and tables."""

from __future__ import annotations

import numpy as np

from .light import LightField
from .paths import FreeSpace, choose_look, look_at_roll, probe_rays
from .render import View
from .scene import Placement, Scene
from .shapes import inside_outline

KINDS = ("overview", "thing", "close", "tilted", "wall", "over", "filling")
INDOOR_SHARES = (0.24, 0.21, 0.1, 0.08, 0.2, 0.17, 0.0)
OUTDOOR_SHARES = (0.42, 0.38, 0.1, 0.1, 0.0, 0.0, 0.0)
FILLING_SHARE = 0.7
"""Share of ``filling`` views where close ones are asked for; the others keep their shares of the rest."""
SMALL_INDOORS, SMALL_OUTDOORS = 0.7, 2.5
"""Largest side in metres of what fills a picture: things one holds a camera to; people, animals, bushes."""
NEAREST_FILLING = 0.1
"""Metres between the camera and what is before it in such a picture."""
TOPS = (0.65, 1.15)
"""Heights in metres of what one looks down upon: worktops, tables, desks, sideboards."""
GROUNDS = ("", "ground", "road", "pavement", "house", "terrace", "floor", "window")
"""Labels that nobody walks up to."""
TRIES = 60
LEAST_RELIEF = 0.3
"""Bare corners and floors stay below this; few people photograph them."""
BARE_SHARE = 0.02
"""Chance that one below it is taken all the same."""
CHOICES = 2
"""Of so many views worth taking, the one with the most relief is taken: people point cameras at where things are."""


def plan_singles(
    scene: Scene,
    field: LightField,
    rng: np.random.Generator,
    *,
    frames: int,
    width: int,
    height: int,
    close: bool = False,
) -> list[list[View]]:
    """Views without a path, each with its own place, lens and exposure: ``frames`` shots of one view.

    Fewer come back where the scene leaves no room for a camera. ``close``: most show one thing that fills the picture.
    """
    space = FreeSpace.of(field)
    things = [p for p in scene.placements if p.label not in GROUNDS and not p.background]
    appeal = np.array([_appeal(thing, scene) for thing in things])
    shares = np.array(INDOOR_SHARES if scene.indoor else OUTDOOR_SHARES)
    if close:
        shares = (1 - FILLING_SHARE) * shares + FILLING_SHARE * (np.array(KINDS) == "filling")
    shots = []
    for _ in range(frames):
        kind = KINDS[rng.choice(len(KINDS), p=shares)]
        appeals = appeal / max(appeal.sum(), 1e-9)
        view = _single(kind, scene, field, space, (things, appeals), rng, width, height)
        if view is not None:
            shots.append([view])
    return shots


def _single(kind, scene, field, space, things, rng, width, height) -> View | None:
    clearance = {"filling": 0.08, "close": 0.12}.get(kind, 0.25)
    candidates = []
    for _ in range(TRIES):
        aim = _aim(kind, scene, things, rng)
        if aim is None or not _free(scene, space, aim[0], clearance):
            continue
        pose = look_at_roll(*aim, np.radians(rng.normal(0, 2.5 if rng.random() < 0.85 else 9)))
        intrinsics = _lens(rng, width, height)
        rays = probe_rays(pose, intrinsics, width, height)
        distance, seen = field.look(np.repeat(pose[None, :3, 3], len(rays), 0), rays)
        depth = (distance * (rays @ pose[:3, 2])).reshape(12, 16)
        if kind == "filling":
            worth = _shows(aim, depth) and distance.min() > NEAREST_FILLING
        else:
            worth = _worth_taking(scene, distance, rng) and (
                relief(depth) > LEAST_RELIEF or rng.random() < BARE_SHARE
            )
        if worth:
            hit = np.isfinite(distance)
            candidates.append((relief(depth), pose, intrinsics, seen[hit] if hit.mean() > 0.25 else seen))
            if len(candidates) == (1 if kind == "filling" else CHOICES):
                break
    if not candidates:
        return None
    _, pose, intrinsics, light = max(candidates, key=lambda c: c[0])
    return View(
        pose, intrinsics, width, height, float(rng.random()), choose_look(light, rng, shade=field.shade)
    )


def _appeal(thing: Placement, scene: Scene) -> float:
    """How often a thing is photographed: large ones more, what hangs from the ceiling hardly."""
    low, high = thing.start_bounds
    if scene.indoor and low[2] > 1.9:
        return 0.1
    return float(np.clip(np.sqrt((high - low).max()), 0.4, 1.6))


def relief(depth: np.ndarray) -> float:
    """Share of a grid [H, W] of depths (inf: sky) where the surface is no plane.

    The inverse depth of a plane is linear in the pixel, so second differences of it vanish.
    """
    inverse = 1 / np.maximum(depth, 1e-3)
    middle = inverse[1:-1, 1:-1]
    across = np.abs(inverse[1:-1, 2:] + inverse[1:-1, :-2] - 2 * middle)
    down = np.abs(inverse[2:, 1:-1] + inverse[:-2, 1:-1] - 2 * middle)
    return float((np.maximum(across, down) > 0.08 * np.median(inverse)).mean())


def _aim(
    kind: str, scene: Scene, things: tuple[list[Placement], np.ndarray], rng
) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the camera is and what it points at, in world coordinates."""
    if kind in ("thing", "close") and things[0]:
        thing = things[0][rng.choice(len(things[0]), p=things[1])]
        return _at_thing(thing, scene, rng, close=kind == "close")
    if kind == "wall":
        return _at_wall(scene, rng)
    if kind == "filling":
        limit = SMALL_INDOORS if scene.indoor else SMALL_OUTDOORS
        small = [p for p in things[0] if np.ptp(p.start_bounds, axis=0).max() < limit]
        return _filled_by(small[rng.integers(len(small))], scene, rng) if small else None
    tops = [p for p in things[0] if TOPS[0] < p.start_bounds[1][2] < TOPS[1] and p.model.size[:2].max() > 0.8]
    if kind == "over" and tops:
        return _over(tops[rng.choice(len(tops))], rng)
    low, high = np.array(scene.low), np.array(scene.high)
    eye = rng.uniform(low, high)
    if scene.indoor:
        eye[2] = min(_eye_height(rng), high[2] - 0.3)
    else:
        eye[:2] = ((low + high) / 2 + (eye - (low + high) / 2) * 0.7)[:2]
        eye[2] = rng.choice([_eye_height(rng), rng.uniform(2, 7)], p=[0.88, 0.12])
    yaw = rng.uniform(0, 2 * np.pi)
    if scene.indoor and rng.random() < 0.7:  # rather across the room than into the wall beside
        across = (low + high) / 2 - eye
        yaw = np.arctan2(across[1], across[0]) + rng.normal(0, 0.5)
    pitch = rng.normal(-18, 12) if scene.indoor else rng.normal(-3, 7)
    if kind == "tilted":
        pitch = rng.uniform(-68, -20) if rng.random() < 0.85 else rng.uniform(8, 40)
    pitch = np.radians(pitch)
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    return eye, eye + forward


def _at_thing(thing: Placement, scene: Scene, rng, *, close: bool) -> tuple[np.ndarray, np.ndarray]:
    low, high = thing.start_bounds
    size = np.clip(high - low, 0.05, 6.0)
    around = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(around), np.sin(around)])
    reach = 0.5 * float(np.abs(direction) @ size[:2])
    largest = float(size.max())
    away = (
        rng.uniform(0.3, 1.1)
        if close
        else rng.uniform(0.5, 2.2) * np.clip(largest, 0.5, 1.6 if scene.indoor else 6.0) + 0.3
    )
    centre = (low + high) / 2
    eye = np.array([*(centre[:2] + (reach + away) * direction), 0.0])
    eye[2] = centre[2] + away * rng.uniform(-0.1, 0.9) if close else _eye_height(rng)
    eye[2] = np.clip(eye[2], 0.15, scene.high[2] - 0.25)
    return eye, centre + rng.normal(0, 0.2, 3) * size


def _filled_by(thing: Placement, scene: Scene, rng) -> tuple[np.ndarray, np.ndarray]:
    """From so near that the thing fills much of the picture: on a table, a shelf or the ground, from above or the side."""
    low, high = thing.start_bounds
    around = rng.uniform(0, 2 * np.pi)
    up = np.radians(rng.uniform(5, 85) if scene.indoor else rng.uniform(-5, 45))
    direction = np.array([np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)])
    away = max(0.18, float((high - low).max()) * rng.uniform(0.8 if scene.indoor else 0.4, 2.5))
    target = (low + high) / 2 + rng.normal(0, 0.15, 3) * (high - low)
    return (low + high) / 2 + direction * away, target


def _over(thing: Placement, rng) -> tuple[np.ndarray, np.ndarray]:
    """Down at a top and its front, often at one end or a corner of a run: the floor is hidden or cut off.

    What fills the lower part of such a picture stands upright; without them nearly everything there is floor.
    """
    length, depth = thing.model.size[:2]
    along = rng.uniform(-0.5, 0.5) if rng.random() < 0.5 else rng.choice([-0.5, 0.5]) * rng.uniform(0.7, 1)
    foot = thing.matrix @ np.array([along * length, -depth / 2, 0.0, 1.0])
    angle = np.clip(rng.normal(0, 0.6), -1.2, 1.2)
    direction = thing.matrix[:3, :3] @ np.array([np.sin(angle), -np.cos(angle), 0.0])
    eye, target = foot[:3] + direction * rng.uniform(0.7, 2.4), foot[:3].copy()
    eye[2] = np.clip(rng.normal(1.5, 0.14), 1.2, 1.9)
    target[2] = thing.start_bounds[1][2] + rng.uniform(-0.45, 0.25)
    return eye, target


def _at_wall(scene: Scene, rng) -> tuple[np.ndarray, np.ndarray]:
    """A stretch or a corner of a room with what stands there, from a few steps away."""
    index = rng.integers(len(scene.outline))
    before, corner, after = (scene.outline[(index + i) % len(scene.outline)] for i in (-1, 0, 1))
    along = (after - corner) / np.linalg.norm(after - corner)
    inward = np.array([-along[1], along[0]])
    foot = corner + (after - corner) * rng.random()
    if rng.random() < 0.4:
        foot = corner
        back = (before - corner) / np.linalg.norm(before - corner)
        inward = (along + back) / np.linalg.norm(along + back)
    angle = rng.normal(0, 0.5)
    c, s = np.cos(angle), np.sin(angle)
    direction = np.array([c * inward[0] - s * inward[1], s * inward[0] + c * inward[1]])
    eye = np.array([*(foot + direction * rng.uniform(0.9, 3.2)), _eye_height(rng)])
    target = np.array([*foot, rng.uniform(0.2, 1.6)])
    return eye, target + np.array([*(along * rng.normal(0, 0.25)), 0.0])


def _eye_height(rng) -> float:
    """Metres: mostly a standing or sitting person's."""
    which = rng.random()
    if which < 0.6:
        return float(np.clip(rng.normal(1.5, 0.14), 1.1, 1.9))
    return float(rng.uniform(0.35, 1.25) if which < 0.88 else rng.uniform(1.7, 2.3))


def _lens(rng, width: int, height: int) -> np.ndarray:
    """Intrinsics; the wider side sees 26 to 100 degrees."""
    field = np.radians(np.clip(rng.normal(63, 13), 40, 100) if rng.random() < 0.9 else rng.uniform(26, 40))
    focal = max(width, height) / (2 * np.tan(field / 2))
    centre = np.array([width, height]) / 2
    if rng.random() < 0.2:
        centre = centre + rng.normal(0, 0.02, 2) * [width, height]
    return np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]])


def _free(scene: Scene, space: FreeSpace, eye: np.ndarray, clearance: float) -> bool:
    if scene.indoor and len(scene.outline) and not inside_outline(scene.outline, eye[None, :2])[0]:
        return False
    return bool(space.at(eye[None])[0] > clearance)


def _shows(aim: tuple[np.ndarray, np.ndarray], depth: np.ndarray) -> bool:
    """Whether the middle of a grid [12, 16] of depths shows what the camera points at, and not what stands before it."""
    away = np.linalg.norm(aim[1] - aim[0])
    return bool(0.5 * away < np.median(depth[5:7, 7:9]) < 1.3 * away)


def _worth_taking(scene: Scene, distance: np.ndarray, rng) -> bool:
    """Something is seen, nothing presses on the lens, and it is not one blank wall (or only now and then)."""
    finite = distance[np.isfinite(distance)]
    if len(finite) < len(distance) * (0.6 if scene.indoor else 0.2):
        return False
    near, low, high = np.percentile(finite, [1, 10, 90])
    if near < 0.15:
        return False
    return bool(np.log(high / low) > 0.35 or rng.random() < 0.06)
