"""What hides the holes in a picture of a scene from the photos that the scene is made of, and what may lie behind it.

A step to the side of the photo's camera uncovers holes beside things. The photo knows what stood before each of them;
that thing's surface is the last thing to fill the hole with, however wide the hole is.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .cameras import Cameras
from .depth_completion import background_support, complete_depth
from .windows import window_max

BEFORE = 1.05
"""What a photo shows stands before a point if it is this much nearer."""
BEHIND = 1.02
"""A photo does not show what is further away than this times its depth; what it hides must be."""
SAME = 1.1
"""Known pixels beside a hole are what hides it if they are no further away than this times its depth, and nearer to it
than to what lies behind."""
BESIDE_PX = 4
REACH = 0.09
"""How far from a hole what hides it is left out, along its surface, in lengths of the long side: what fills a hole from
the pixels around it would meet its far end."""
STRIDE_PX = 3
CONTINUES = 1.03
"""Pixels a stride apart are one surface if the further is at most this much further away."""


def hidden_from(
    photo: Cameras, depth: Float[Tensor, "hp wp"], points: Float[Tensor, "h w 3"]
) -> Bool[Tensor, "h w"]:
    """Which points of the world a photo does not show: outside its frame, or behind its surface.

    Args:
        photo: its camera, a batch of one.
        depth: z depth that it shows, 0 where that is unknown.
        points: in the world.
    """
    place, z, inside = photo.locate(points.reshape(-1, 3))
    return (~inside | (z > BEHIND * depth[place])).reshape(points.shape[:2])


def support_behind(
    depth: Float[Tensor, "h w"],
    known: Bool[Tensor, "h w"],
    camera: Cameras,
    photos: Cameras,
    photo_depths: Float[Tensor, "g hp wp"] | None,
) -> Bool[Tensor, "h w"]:
    """Known pixels that holes may be continued from: ``background_support`` without the surfaces that hide them.

    Beyond the photos' edges nothing is hidden: near things that an edge cuts off go on there.

    Args:
        depth: z depth as the camera sees it, > 0 where known.
        known: the rest is holes.
        camera: a batch of one.
        photos: the photos' cameras.
        photo_depths: of the photos; None where they are not known, which leaves nothing more out.
    """
    if photo_depths is None or known.all() or not known.any():
        return background_support(depth, known)
    beyond = beyond_photos(complete_depth(depth, known, known), ~known, camera, photos)
    support = background_support(torch.where(known, depth, 0.0), known | beyond) & known
    if not support.any():
        return known
    for _ in range(2):  # the first answer for what lies behind may be too near because of what stands before
        behind = complete_depth(depth, known, support)
        hider = hider_depth(behind, ~known & ~beyond, camera, photos, photo_depths)
        limit = torch.minimum(SAME * hider, (hider * behind).sqrt())
        better = support & ~_hiding_surface(depth, known, limit)
        if not better.any():
            break
        support = better
    return support


def beyond_photos(
    depth: Float[Tensor, "h w"], holes: Bool[Tensor, "h w"], camera: Cameras, photos: Cameras
) -> Bool[Tensor, "h w"]:
    """Holes whose surfaces, at the depth they are supposed at, lie beyond the edges of all photos, or at those edges.

    Args:
        depth: of the surfaces, as the camera sees it.
        holes: where to ask.
        camera: a batch of one.
        photos: the photos' cameras.
    """
    origins, directions = (rays[0][holes] for rays in camera.rays())
    points = origins + depth[holes][:, None] * directions
    beyond = holes.clone()
    for photo in photos:
        beyond[holes] &= ~photo.locate(points)[2]
    return holes & (window_max(beyond.float(), BESIDE_PX) > 0)


def hider_depth(
    behind: Float[Tensor, "h w"],
    holes: Bool[Tensor, "h w"],
    camera: Cameras,
    photos: Cameras,
    photo_depths: Float[Tensor, "g hp wp"],
) -> Float[Tensor, "h w"]:
    """Depth, as the camera sees it, of what stands in a photo before each hole; inf where there is nothing.

    Holes beyond the photos' edges are hidden by nothing.

    Args:
        behind: depth at which the holes' surfaces are supposed.
        holes: where to ask.
        camera: a batch of one.
        photos: the photos' cameras.
        photo_depths: of the photos.
    """
    origins, directions = (rays[0][holes] for rays in camera.rays())
    points = origins + behind[holes][:, None] * directions
    nearest = torch.full_like(behind, torch.inf)
    for photo, shown in zip(photos, photo_depths, strict=True):
        place, z, inside = photo.locate(points)
        before = shown[place]
        origin, direction = (rays[0][place] for rays in photo.rays())
        _, seen = camera.project((origin + before[:, None] * direction)[None])
        hides = inside & (BEFORE * before < z) & (seen[0] > 0)
        nearest[holes] = torch.where(hides, torch.minimum(seen[0], nearest[holes]), nearest[holes])
    return nearest


def _hiding_surface(
    depth: Float[Tensor, "h w"], known: Bool[Tensor, "h w"], limit: Float[Tensor, "h w"]
) -> Bool[Tensor, "h w"]:
    """Known pixels on surfaces that hide holes, nearer than the limit of the hole beside them, along ``REACH``."""
    reach = window_max(torch.where(limit.isfinite(), limit, 0.0), BESIDE_PX)
    surface = known & (depth < reach)
    for _ in range(0, round(REACH * max(depth.shape)), STRIDE_PX):
        reach = window_max(torch.where(surface, reach, 0.0), STRIDE_PX)
        around = window_max(torch.where(surface, depth, 0.0), STRIDE_PX)
        surface = surface | (known & (depth < CONTINUES * around) & (depth < reach))
    return surface
