"""Where to stand so that a picture shows what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .light import LightField
from .paths import FreeSpace, careful_look, look_at_roll, probe_rays, way_free
from .render import Renderer, View
from .scene import Placement, Scene
from .sentence import Wish
from .shapes import inside_outline
from .singles import relief
from .wishes import ON_TOP

SMALL = (128, 96)
"""Size of the pictures that are judged."""
CANDIDATES = 40
TRIES = 500
ENOUGH = 0.025
"""Share of the picture from which a thing is well seen; small things need less, see ``_wanted_share``."""
NEAREST = 0.5
"""Metres between the camera and what is before it."""
STEEPEST = 0.5
"""Most that one looks down, metres per metre."""
STANDING_ROOM = 0.3
"""Metres between eyes and everything else."""
APART = 1.2
"""Least metres between two places to stand."""
STROLL = 6.0
"""Metres that one walks from the first place at most."""
DEPTH_WEIGHT = 0.15
"""How much it counts that a view is no bare wall, see ``relief``."""


@dataclass(frozen=True)
class Viewpoint:
    """A view and how good it is."""

    score: float
    """Mean over the wishes of how well each is seen, 0..1, and up to ``DEPTH_WEIGHT`` for depth."""
    view: View
    seen: frozenset[int]
    """Placements asked for that are in the picture."""


def best_view(
    renderer: Renderer,
    scene: Scene,
    field: LightField,
    wishes: Mapping[int, Wish],
    rng: np.random.Generator,
    *,
    intrinsics: np.ndarray,
    width: int,
    height: int,
) -> Viewpoint | None:
    """The best of some views at eye level; None where there is no free place to stand.

    Args:
        renderer: holds the scene.
        scene: what was built.
        field: its light.
        wishes: what must be seen, by index of the placement.
        rng: decides.
        intrinsics: of the view, for its size.
        width: of the view, pixels.
        height: likewise.
    """
    space = FreeSpace.of(field)
    best: Viewpoint | None = None
    found = 0
    for _ in range(TRIES):
        pose = _pose(scene, space, list(wishes), rng)
        if pose is None:
            continue
        rays = probe_rays(pose, intrinsics, width, height)
        distance, light = field.look(np.repeat(pose[None, :3, 3], len(rays), 0), rays)
        hit = np.isfinite(distance)
        if hit.mean() < (0.9 if scene.indoor else 0.3) or distance[hit].min() < NEAREST:
            continue
        look = careful_look(light[hit], shade=field.shade)
        view = View(pose, intrinsics, width, height, look=look)
        depth = (distance * (rays @ pose[:3, 2])).reshape(12, 16)
        values = _visible(renderer, scene, view, wishes)
        score = sum(values.values()) / max(len(wishes), 1) + DEPTH_WEIGHT * relief(depth)
        if best is None or score > best.score:
            best = Viewpoint(score, view, frozenset(i for i, value in values.items() if value > 0.2))
        found += 1
        if found == CANDIDATES:
            break
    return best


def standing_places(
    scene: Scene, field: LightField, home: np.ndarray, most: int, *, spacing: float = 0.25
) -> np.ndarray:
    """Eyes [n, 3] in a scene from which all of it is seen: far from each other, in sight of the first one.

    Args:
        scene: where.
        field: of its light.
        home: [3], the first place.
        most: n at most; fewer where there is no room.
        spacing: metres between the places that are tried.
    """
    reach = np.arange(-STROLL, STROLL + spacing, spacing)
    eyes = home + np.stack([*np.meshgrid(reach, reach), np.zeros((len(reach),) * 2)], axis=-1).reshape(-1, 3)
    inside = (eyes > np.array(scene.low)).all(1) & (eyes < np.array(scene.high)).all(1)
    if scene.indoor and len(scene.outline):
        inside &= inside_outline(scene.outline, eyes[:, :2])
    eyes = eyes[inside & (FreeSpace.of(field).at(eyes) > STANDING_ROOM)]
    eyes = eyes[[way_free(field, home, eye) for eye in eyes]]
    places = [home]
    while len(places) < most and len(eyes):
        apart = np.min([np.linalg.norm(eyes - place, axis=1) for place in places], axis=0)
        if apart.max() < APART:
            break
        places.append(eyes[apart.argmax()])
    return np.stack(places)


def _pose(scene: Scene, space: FreeSpace, wanted: list[int], rng: np.random.Generator) -> np.ndarray | None:
    """Someone's eyes and what they look at: one of the wishes, or the middle of all, from across the place."""
    low, high = np.array(scene.low), np.array(scene.high)
    eye = rng.uniform(low, high)
    eye[2] = rng.uniform(1.25, 1.65)
    if not scene.indoor:
        eye[:2] *= 0.6
    elif len(scene.outline) and not inside_outline(scene.outline, eye[None, :2])[0]:
        return None
    if space.at(eye[None])[0] < 0.3:
        return None
    middles = [np.mean(scene.placements[i].start_bounds, axis=0) for i in wanted]
    if not middles:
        target = rng.uniform(low, high) * [0.5, 0.5, 0.0] + [0.0, 0.0, rng.uniform(0.5, 1.2)]
    else:
        target = middles[rng.integers(len(middles))] if rng.random() < 0.3 else np.mean(middles, axis=0)
    target = target + rng.normal(0, 0.25, 3)
    away = float(np.linalg.norm((target - eye)[:2]))
    if away < (1.8 if middles else 1.0) or target[2] - eye[2] < -STEEPEST * away:
        return None
    return look_at_roll(eye, target, 0.0)


def _visible(renderer: Renderer, scene: Scene, view: View, wishes: Mapping[int, Wish]) -> dict[int, float]:
    """How well each wish is seen, 0..1; less on the wrong side or cut off by the frame."""
    if not wishes:
        return {}
    width, height = SMALL
    scale = np.diag([width / view.width, height / view.height, 1.0])
    seen = renderer.render(View(view.world_from_cam, scale @ view.intrinsics, width, height)).instances
    values = {}
    for index, wish in wishes.items():
        mask = seen == index + 1
        value = min(float(mask.mean()) / _wanted_share(wish), 1.0) * _framed(scene.placements[index], view)
        if value and wish.side:
            x = np.flatnonzero(mask.any(axis=0)).mean() / width
            value *= 1.0 if (x < 0.45 if wish.side == "left" else x > 0.55) else 0.5
        values[index] = value
    return values


def _framed(placement: Placement, view: View) -> float:
    """0.5 to 1 by how many corners of a thing's box are inside the frame."""
    low, high = placement.start_bounds
    corners = np.array(
        [[x, y, z, 1.0] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    points = (corners @ np.linalg.inv(view.world_from_cam).T)[:, :3]
    pixels = points @ view.intrinsics.T
    pixels = pixels[:, :2] / np.maximum(pixels[:, 2:], 1e-3)
    inside = (points[:, 2] > 0) & (pixels > 0).all(1) & (pixels < [view.width, view.height]).all(1)
    return 0.5 + 0.5 * float(inside.mean())


def _wanted_share(wish: Wish) -> float:
    return ENOUGH / 5 if wish.role in ON_TOP else ENOUGH
