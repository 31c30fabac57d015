"""What lies beyond a photo's edges, as a wider picture from its own place shows it.

It comes before all other views: from nowhere else is so much of what surrounds the photo seen, and so little of it from
the side. Views along a path then find it there, and need not each add a strip of their own.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.cameras import Cameras, cat_cameras
from ...reconstruct.depth_completion import complete_depth
from ...reconstruct.depth_edges import widen_foreground
from ...reconstruct.gaussians import Gaussians, cat_gaussians
from ...reconstruct.lift import lift
from ...reconstruct.mesh.grid import DepthPicture
from ..depth import FAR_DEPTH_M, SKY_DEPTH_M, DepthEstimator
from ..generators import Memory, ViewRequest
from ..generators.inpaint import InpaintGenerator
from .grow import Growth
from .patches import lay_patches

MARGIN = 0.195
"""Of the photo's width and height that is added on each side, at the photo's resolution."""
MOST = 3.0
"""Times that the photo's depth and that of the wider picture may differ."""


def grow_frame(
    gaussians: Gaussians,
    photo: DepthPicture,
    estimator: DepthEstimator,
) -> Growth:
    """Splats and a piece for what a wider lens would show.

    Args:
        gaussians: the photo's splats, one for each pixel.
        photo: with its depth.
        estimator: of the wider picture's depth.

    Returns:
        The scene, a splat for each pixel of the wider picture, and four views of the photo's size: its corners.
    """
    height, width = photo.depth.shape
    down, across = (round(MARGIN * side) for side in (height, width))
    sides = (across, across, down, down)
    wide = _window(photo.camera, -down, -across, height + 2 * down, width + 2 * across)
    color = F.pad(photo.image.permute(2, 0, 1), sides).permute(1, 2, 0)
    covered = F.pad(torch.ones_like(photo.depth), sides)
    memory = Memory(color[None], F.pad(photo.depth, sides)[None], covered[None])
    request = ViewRequest(
        wide, memory, photo.image[None], photo.camera, 0, photo_depths=photo.depth[None], outside=True
    )
    known = memory.known[0]
    picture = lay_patches(InpaintGenerator()(request)[0], known, ~known)
    piece = DepthPicture(picture, depth_around(picture, memory.depth[0], wide, estimator), wide, ~known)
    corners = [(y, x) for y in (0, 2 * down) for x in (0, 2 * across)]
    splats = cat_gaussians([gaussians, lift(piece.image, piece.depth, wide, mask=piece.mask)])
    order = torch.empty(known.shape, dtype=torch.int64)
    order[known], order[~known] = torch.arange(len(splats)).split(
        [len(gaussians), len(splats) - len(gaussians)]
    )
    return Growth(
        splats[order.flatten()],
        cat_cameras([_window(wide, y, x, height, width) for y, x in corners]),
        _cut(piece.image, corners, height, width),
        _cut(covered, corners, height, width),
        [piece],
    )


def depth_around(
    picture: Float[Tensor, "h w 3"],
    depth: Float[Tensor, "h w"],
    camera: Cameras,
    estimator: DepthEstimator,
) -> Float[Tensor, "h w"]:
    """What is known of a picture's depth, and elsewhere an estimate that goes on from there.

    Estimates of two pictures differ by a factor that changes slowly: it is known inside, and continued.

    Args:
        picture: all of it.
        depth: 0 where it is unknown.
        camera: of the picture.
        estimator: of depth.
    """
    guess = widen_foreground(estimator(picture, float(camera.intrinsics[0, 0, 0])).depth_m)
    known, far = depth > 0, guess > SKY_DEPTH_M
    solid = known & ~far & (depth < SKY_DEPTH_M)
    factor = torch.where(solid, depth / guess, 1.0).clamp(1 / MOST, MOST)
    factor = complete_depth(factor, solid, solid) if solid.any() else factor
    around = torch.where(far, guess, guess * factor).clamp_max(FAR_DEPTH_M)
    return torch.where(known, depth, around)


def _window(camera: Cameras, top: int, left: int, height: int, width: int) -> Cameras:
    """What a camera sees in a rectangle of its picture, which may reach beyond it."""
    intrinsics = camera.intrinsics.clone()
    intrinsics[:, 0, 2] -= left
    intrinsics[:, 1, 2] -= top
    return replace(camera, intrinsics=intrinsics, width=width, height=height)


def _cut(
    picture: Float[Tensor, "h w *c"], corners: list[tuple[int, int]], height: int, width: int
) -> Float[Tensor, "n hc wc *c"]:
    return torch.stack([picture[y : y + height, x : x + width] for y, x in corners])
