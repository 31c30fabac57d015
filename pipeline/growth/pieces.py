"""What a scene shows from a camera, and the pieces of pictures that it lacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.cameras import Cameras
from ...reconstruct.depth_completion import complete_depth
from ...reconstruct.gaussians import Gaussians
from ...reconstruct.hidden import BEHIND
from ...reconstruct.mesh.grid import DepthPicture
from ...reconstruct.planes import PhotoPlanes, continued_depth
from ...reconstruct.rasterize import rasterize
from ...reconstruct.windows import window_max
from ..generators import COVERED, Memory, ViewRequest

DENSE = 0.75
"""Pixels of a surface that are covered less than this get a splat of their own."""
OVERLAP = 2
"""Pixels by which pieces of known depth reach over the rim of a hole, so that no crack is left between views."""
RIM = 1 / 64
"""Share of a picture's long side over which depth in a hole leaves that of the hole's rim."""
BEHIND_TRUTH = 1.1
"""What the scene shows lies behind a hole if it is so many times as far away as what is known to be there."""


def show(
    gaussians: Gaussians, cameras: Cameras, *, overlap: int = 0
) -> tuple[Memory, Float[Tensor, "v h w"]]:
    """What the scene shows from some cameras with gaps of a pixel or two closed, and its alpha with the gaps.

    Surfaces seen closer or more frontally than they were lifted come apart into dots; what lies between the dots is
    surface too, not a hole to fill.

    Args:
        gaussians: the scene.
        cameras: that look at it.
        overlap: pixels by which holes are taken for wider than they are.
    """
    with torch.no_grad():
        seen = rasterize(gaussians, cameras)
    depth = torch.where(seen.median_depth > 0, seen.median_depth, seen.depth)
    around = torch.cat([seen.color, seen.alpha[..., None], (seen.alpha * depth)[..., None]], dim=-1)
    around = F.avg_pool2d(around.permute(0, 3, 1, 2), 5, 1, 2).permute(0, 2, 3, 1)
    dense = seen.alpha > DENSE
    coverage = torch.where(dense, seen.alpha, around[..., 3])
    if overlap:
        holes = torch.stack([window_max(hole, overlap) for hole in (coverage <= COVERED).float()])
        coverage = coverage * (1 - holes)
    nothing = coverage < 0.02
    color = torch.where(dense[..., None], seen.color, around[..., :3]) / coverage.clamp_min(0.02)[..., None]
    depth = torch.where(dense, depth, around[..., 4] / around[..., 3].clamp_min(0.02))
    memory = Memory(
        color.masked_fill(nothing[..., None], 0.0).clamp(0, 1), depth.masked_fill(nothing, 0.0), coverage
    )
    return memory, seen.alpha


def missing_piece(
    request: ViewRequest,
    alpha: Float[Tensor, "v h w"],
    picture: Float[Tensor, "h w 3"],
    photo: PhotoPlanes,
    others: Sequence[DepthPicture] = (),
) -> DepthPicture:
    """The pixels of a generated picture that the scene does not cover yet.

    Gaps in a surface are at the surface's depth; in holes the planes of what the photo shows go on, behind what
    surrounds the hole.

    Args:
        request: what was asked for; only its first view is read.
        alpha: what the scene covers there, with the gaps.
        picture: what was generated.
        photo: whose planes go on, and of which nothing may be hidden.
        others: further photos of which nothing may be hidden.
    """
    memory, camera = request.memory, request.cameras[[0]]
    depth, known = memory.depth[0], memory.known[0]
    missing = uncovered(memory, alpha)
    if not missing.any() or not known.any():
        return DepthPicture(picture, depth.clamp_min(1e-6), camera, torch.zeros_like(known))
    depth = _on_planes(complete_depth(depth, known, request.support[0]), known, camera, photo)
    for shown in (photo, *others):
        depth[missing] = _behind_photo(depth, missing, camera, shown)
    return DepthPicture(picture, depth, camera, missing)


def known_piece(
    memory: Memory,
    alpha: Float[Tensor, "v h w"],
    picture: Float[Tensor, "h w 3"],
    depth: Float[Tensor, "h w"],
    camera: Cameras,
) -> DepthPicture:
    """The pixels of a picture with true depth where the scene shows nothing, or what lies behind.

    Args:
        memory: what the scene shows from the camera; only its first view is read.
        alpha: of the same, with the gaps.
        picture: what is seen there.
        depth: of what is seen there.
        camera: a batch of one.
    """
    through = memory.depth[0] > BEHIND_TRUTH * depth
    missing = window_max((uncovered(memory, alpha) | through).float(), OVERLAP) > 0
    return DepthPicture(picture, depth, camera, missing)


def uncovered(memory: Memory, alpha: Float[Tensor, "v h w"]) -> Bool[Tensor, "h w"]:
    """Pixels of the first view that need splats; arguments as those of ``known_piece``."""
    return ~memory.known[0] | (alpha[0] < DENSE)


def _on_planes(
    depth: Float[Tensor, "h w"],
    known: Bool[Tensor, "h w"],
    camera: Cameras,
    photo: PhotoPlanes,
) -> Float[Tensor, "h w"]:
    """Depth that leaves the rim of each hole smoothly, for the planes that the photo shows parts of."""
    continued = continued_depth(~known, camera, photo)
    away = torch.from_numpy(distance_transform_edt(~known.numpy())).float()  # pyright: ignore[reportArgumentType]
    smooth = torch.exp(-away / (RIM * max(known.shape)))
    mixed = torch.lerp(continued.clamp_min(1e-9).log(), depth.clamp_min(1e-9).log(), smooth).exp()
    return torch.where(continued > 0, mixed, depth)


def _behind_photo(
    depth: Float[Tensor, "h w"],
    mask: Bool[Tensor, "h w"],
    camera: Cameras,
    photo: PhotoPlanes | DepthPicture,
    *,
    steps: int = 12,
) -> Float[Tensor, "m"]:
    """Depths of the masked pixels, pushed away along their rays until they hide nothing that the photo shows."""
    origins, directions = (rays[0][mask] for rays in camera.rays())
    limit = photo.depth.clamp_max(float(photo.depth.max()) / BEHIND)
    depth = depth[mask]
    for _ in range(steps):
        place, z, inside = photo.camera.locate(origins + depth[:, None] * directions)
        hides = inside & (z < BEHIND * limit[place])
        if not hides.any():
            break
        depth = torch.where(hides, depth * 1.12, depth)
    return depth
