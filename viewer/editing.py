"""Cleaning and placing a scene; every function returns a new scene or a mask and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..reconstruct.gaussians import Gaussians
from ..reconstruct.scene import Scene
from ..reconstruct.transform import rotation_between, transform_gaussians, transform_motion


def keep_splats(scene: Scene, mask: Bool[Tensor, "n"]) -> Scene:
    """The scene with only the splats of the mask."""
    motion = scene.motion
    if motion is not None:
        motion = replace(motion, means=motion.means[:, mask], quats=motion.quats[:, mask])
    return replace(scene, gaussians=scene.gaussians[mask], motion=motion)


def inside_box(
    means: Float[Tensor, "n 3"], world_from_box: Float[Tensor, "4 4"], size: Float[Tensor, "3"]
) -> Bool[Tensor, "n"]:
    """Which points lie in a box.

    Args:
        means: points.
        world_from_box: rigid pose of the box's centre.
        size: lengths of its sides.
    """
    rotation, centre = world_from_box[:3, :3], world_from_box[:3, 3]
    return (((means - centre) @ rotation).abs() <= size / 2).all(-1)


def faint(gaussians: Gaussians, opacity: float) -> Bool[Tensor, "n"]:
    """Splats less opaque than this."""
    return gaussians.opacities < opacity


def oversized(gaussians: Gaussians, size: float) -> Bool[Tensor, "n"]:
    """Splats whose largest standard deviation exceeds a length."""
    return gaussians.scales.amax(-1) > size


def isolated(means: Float[Tensor, "n 3"], radius: float, neighbours: int) -> Bool[Tensor, "n"]:
    """Points with fewer others than ``neighbours`` around them.

    Counts the points in the 3x3x3 cubes of side ``radius`` about each point, which needs neither a tree nor
    n^2 memory.

    Args:
        means: points.
        radius: side of a cube, > 0.
        neighbours: how many others a point needs to stay.
    """
    if not len(means):
        return torch.zeros(0, dtype=torch.bool)
    cell = ((means - means.amin(0)).double() / radius).floor().long() + 1
    span = cell.amax(0) + 2
    strides = torch.stack([span[1] * span[2], span[2], torch.ones_like(span[0])])
    ids, inverse, counts = torch.unique((cell * strides).sum(-1), return_inverse=True, return_counts=True)
    around = torch.zeros_like(counts)
    steps = torch.tensor([-1, 0, 1])
    for offset in torch.cartesian_prod(steps, steps, steps):
        wanted = ids + (offset * strides).sum()
        at = torch.searchsorted(ids, wanted).clamp_max(len(ids) - 1)
        around += torch.where(ids[at] == wanted, counts[at], 0)
    return around[inverse] - 1 < neighbours


def typical_spacing(gaussians: Gaussians) -> float:
    """A length to measure isolation with: a few times the median splat."""
    return max(6 * float(gaussians.scales.amax(-1).median()), 1e-9) if len(gaussians) else 1.0


def move_scene(
    scene: Scene, rotation: Float[Tensor, "3 3"] | None = None, translation: Float[Tensor, "3"] | None = None
) -> Scene:
    """Splats, motion, cameras and up, moved by x -> rotation @ x + translation."""
    pose = torch.eye(4)
    if rotation is not None:
        pose[:3, :3] = rotation
    if translation is not None:
        pose[:3, 3] = translation
    return replace(
        scene,
        gaussians=transform_gaussians(scene.gaussians, rotation, translation),
        motion=None if scene.motion is None else transform_motion(scene.motion, rotation, translation),
        up=pose[:3, :3] @ scene.up,
        views=[replace(view, world_from_cam=pose @ view.world_from_cam) for view in scene.views],
    )


def with_origin(scene: Scene, point: Float[Tensor, "3"]) -> Scene:
    """The scene moved so that a point becomes the origin."""
    return move_scene(scene, translation=-point)


def shift_between(before: Scene, after: Scene) -> Float[Tensor, "3"]:
    """The way by which all splats have moved, as by ``with_origin``; zeros if they have changed in any other way."""
    here, there = before.gaussians.means, after.gaussians.means
    if len(here) != len(there) or not len(here) or here is there:
        return torch.zeros(3)
    ways = there - here
    way = ways[here.norm(dim=-1).argmin()]
    rounding = 4 * torch.finfo(here.dtype).eps * torch.maximum(here.abs(), there.abs())
    same = ((ways - way).abs() <= 1e-5 * (1 + way.abs().max()) + rounding).all()
    return way if same else torch.zeros(3)


def with_up(scene: Scene, up: Float[Tensor, "3"]) -> Scene:
    """The scene with another up direction; nothing moves."""
    return replace(scene, up=torch.nn.functional.normalize(up, dim=0))


def turned_upright(scene: Scene, up: Float[Tensor, "3"], target: Float[Tensor, "3"]) -> Scene:
    """The scene turned so that what is up in it points along ``target``."""
    return move_scene(with_up(scene, up), rotation_between(up, target).float())


def floor_direction(
    means: Float[Tensor, "n 3"],
    up: Float[Tensor, "3"],
    *,
    tolerance: float,
    generator: torch.Generator,
    tries: int = 200,
) -> Float[Tensor, "3"]:
    """Normal of the largest plane that is roughly level (within 30 degrees of ``up``), found by RANSAC.

    Source: Fischler and Bolles, Random Sample Consensus (1981).

    Args:
        means: points.
        up: rough guess; also the answer if there is no such plane.
        tolerance: distance up to which a point counts as on a plane.
        generator: for the random samples.
        tries: number of planes tried.
    """
    if len(means) < 3:
        return up
    sample = means[torch.randint(len(means), (min(len(means), 5000),), generator=generator)]
    a, b, c = sample[torch.randint(len(sample), (3, tries), generator=generator)]
    normals = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    normals = torch.where((normals @ up < 0)[:, None], -normals, normals)
    distance = (sample @ normals.T - (a * normals).sum(-1)).abs()
    support = (distance < tolerance).sum(0) * (normals @ up > 3**0.5 / 2)
    best = int(support.argmax())
    if not support[best]:
        return up
    on_plane = sample[distance[:, best] < tolerance]
    centred = (on_plane - on_plane.mean(0)).double()
    normal = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, 0].float()
    return normal if float(normal @ up) > 0 else -normal
