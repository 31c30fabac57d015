"""Guesses from planes: what the photo shows goes on as a plane at each of its cells, and rays meet these planes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras
from ...reconstruct.planes import FARTHEST, Hits, Surface, hit_planes

PLANE_WIDTHS = (0.06, 0.15, 0.5)
"""Distances along a plane, relative to that from the camera."""


def plane_votes(
    directions: Float[Tensor, "v q 3"],
    origins: Float[Tensor, "v 3"],
    photo: Surface,
    colors: Float[Tensor, "n 3"],
    shown: Float[Tensor, "r c"],
    camera: Cameras,
) -> tuple[dict[str, Float[Tensor, "v q 3"]], dict[str, Float[Tensor, "v q c"]]]:
    """Colours and geometry by name, for V views of Q cells each, in which planes weigh by their distance.

    The name of several geometry maps is their names with spaces between.

    Args:
        directions: of the views' rays, z 1 in the view's own frame.
        origins: where the views are taken from.
        photo: its cells, whose planes are met.
        colors: of the photo's cells.
        shown: the photo's z depth, in larger cells, before which no plane is met.
        camera: of the photo, which frame all is in.
    """
    # View by view: what is small stays in the cache.
    votes = [
        _vote(hit_planes(rays, origin, photo, shown, camera), colors, photo.normals)
        for rays, origin in zip(directions, origins, strict=True)
    ]
    mixed, geometry = zip(*votes, strict=True)
    return _stacked(mixed), _stacked(geometry)


def _stacked(parts: tuple[dict[str, Tensor], ...]) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def _vote(
    hits: Hits, photo: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
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
        colors[name] = weights @ photo
        if name != "nearest":
            mass = (largest + total.log()).clamp(-10, 10) / 5
            nearness = 1 / (weights * depth).sum(-1, keepdim=True).clamp(max=20)
            geometry[f"{name}_mass {name}_nearness"] = torch.cat([mass, nearness], dim=-1)
        return weights

    for i, width in enumerate(PLANE_WIDTHS):
        weights = vote(f"plane{i}", penalty - hits.distance / width)
        if i > 0:
            geometry[f"normal{i}_x normal{i}_y normal{i}_z"] = weights @ normals
        if i == 1:
            variance = (weights @ photo.square() - colors["plane1"].square()).clamp(min=0)
            geometry["contrast"] = variance.sum(-1, keepdim=True).sqrt()
    upright = normals[:, 1].abs() < 0.5
    near = penalty - hits.distance / 0.25
    for name, kind in (("upright", upright), ("level", ~upright)):
        vote(name, near + torch.where(kind, 0.0, -20.0))
    depth = torch.where(hits.valid & (hits.distance < 1), depth, FARTHEST)
    nearest = depth.amin(-1, keepdim=True)
    vote("nearest", -(depth / nearest - 1) / 0.1 - hits.distance / 0.5)
    geometry["nearest_nearness"] = 1 / nearest
    return colors, geometry
