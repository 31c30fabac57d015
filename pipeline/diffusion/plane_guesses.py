"""Guesses from planes: what the photo shows goes on as a plane at each of its cells, and rays meet these planes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras

NEAREST, FARTHEST = 0.05, 50.0
"""Depths between which rays may meet planes."""
PLANE_WIDTHS = (0.06, 0.15, 0.5)
"""Distances along a plane, relative to that from the camera."""


@dataclass(frozen=True)
class Surface:
    """Cells of the photo in its own camera's frame and the scene's unit."""

    colors: Float[Tensor, "n 3"]
    points: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]


@dataclass(frozen=True)
class _Hits:
    """Where the rays of a view meet the planes through N cells of the photo."""

    nearness: Float[Tensor, "q n"]
    """1 / depth."""
    distance: Float[Tensor, "q n"]
    """From the cell to where its plane is met, relative to the depth."""
    valid: Tensor
    """bool [q n]: met from the front, and not before what the photo shows."""


def plane_votes(
    directions: Float[Tensor, "v q 3"],
    origins: Float[Tensor, "v 3"],
    photo: Surface,
    coarse: Surface,
    camera: Cameras,
    rows: int,
) -> tuple[dict[str, Float[Tensor, "v q 3"]], dict[str, Float[Tensor, "v q c"]]]:
    """Colours and geometry by name, for V views of Q cells each, in which planes weigh by their distance.

    The name of several geometry maps is their names with spaces between.

    Args:
        directions: of the views' rays, z 1 in the view's own frame.
        origins: where the views are taken from.
        photo: its cells, whose planes are met.
        coarse: the photo in ``rows`` rows of cells, before which no plane is met.
        camera: of the photo, which frame all is in.
        rows: of ``coarse``.
    """
    # View by view: what is small stays in the cache.
    votes = [
        _vote(_hit_planes(rays, origin, photo, coarse, camera, rows), photo)
        for rays, origin in zip(directions, origins, strict=True)
    ]
    colors, geometry = zip(*votes, strict=True)
    return _stacked(colors), _stacked(geometry)


def _stacked(parts: tuple[dict[str, Tensor], ...]) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def _vote(hits: _Hits, photo: Surface) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Colours [q 3] and geometry [q c] by name, in which the planes weigh by their distance in several ways."""
    colors: dict[str, Tensor] = {}
    geometry: dict[str, Tensor] = {}
    penalty = torch.where(hits.valid, 0.0, -30.0)
    depth = hits.nearness.reciprocal()

    def vote(name: str, logits: Tensor) -> Tensor:
        largest = logits.amax(-1, keepdim=True)
        weights = (logits - largest).exp_()
        total = weights.sum(-1, keepdim=True)
        weights /= total
        colors[name] = weights @ photo.colors
        if name != "nearest":
            mass = (largest + total.log()).clamp(-10, 10) / 5
            nearness = 1 / (weights * depth).sum(-1, keepdim=True).clamp(max=20)
            geometry[f"{name}_mass {name}_nearness"] = torch.cat([mass, nearness], dim=-1)
        return weights

    for i, width in enumerate(PLANE_WIDTHS):
        weights = vote(f"plane{i}", penalty - hits.distance / width)
        if i > 0:
            geometry[f"normal{i}_x normal{i}_y normal{i}_z"] = weights @ photo.normals
        if i == 1:
            variance = (weights @ photo.colors.square() - colors["plane1"].square()).clamp(min=0)
            geometry["contrast"] = variance.sum(-1, keepdim=True).sqrt()
    upright = photo.normals[:, 1].abs() < 0.5
    near = penalty - hits.distance / 0.25
    for name, kind in (("upright", upright), ("level", ~upright)):
        vote(name, near + torch.where(kind, 0.0, -20.0))
    depth = torch.where(hits.valid & (hits.distance < 1), depth, FARTHEST)
    nearest = depth.amin(-1, keepdim=True)
    vote("nearest", -(depth / nearest - 1) / 0.1 - hits.distance / 0.5)
    geometry["nearest_nearness"] = 1 / nearest
    return colors, geometry


def _hit_planes(
    rays: Float[Tensor, "q 3"],
    origin: Float[Tensor, "3"],
    photo: Surface,
    coarse: Surface,
    camera: Cameras,
    rows: int,
) -> _Hits:
    away = origin - photo.points
    ahead = -(away * photo.normals).sum(-1)
    facing = rays @ photo.normals.T
    facing = torch.where(facing.abs() < 1e-3, 1e-3, facing)
    nearness = facing / ahead
    in_front = (nearness > 0) & (nearness < 1 / NEAREST) & (facing < 0)
    nearness = torch.where(nearness > 0, nearness, 1 / NEAREST).clamp_(1 / FARTHEST, 1 / NEAREST)
    # |origin + depth * ray - point| / depth, without a tensor of points
    distance = nearness * away.square().sum(-1) + 2 * (rays @ away.T)
    distance = (distance.mul_(nearness) + rays.square().sum(-1, keepdim=True)).clamp_(min=0).sqrt_()
    focal = camera.intrinsics[0].diagonal()[:2].tolist()
    size, center = (camera.width, camera.height), camera.intrinsics[0, :2, 2].tolist()
    z = torch.addcmul(rays[:, 2:], nearness, origin[2])
    inside, place = z > 0, []
    for axis in (0, 1):
        across = torch.addcmul(rays[:, axis, None], nearness, origin[axis]) / z
        across = across.mul_(focal[axis] / size[axis]).add_(center[axis] / size[axis])
        inside &= (across > 0) & (across < 1)
        place.append(across.nan_to_num_(0.0).clamp_(0, 0.999))
    columns = len(coarse.points) // rows
    cells = place[1].mul_(rows).int() * columns + place[0].mul_(columns).int()
    shown = coarse.points[:, 2].index_select(0, cells.flatten()).view_as(z)
    return _Hits(nearness, distance, in_front & ~(inside & (z < 0.93 * shown * nearness)))
