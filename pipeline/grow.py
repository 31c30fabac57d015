"""Grow a scene outwards from a photo: look where cameras will go, generate what is missing there, fold it in.

The scene itself is the memory. Each group of cameras is shown what the scene has so far, the generator completes the
pictures, and only pixels that the scene did not cover become new splats. What was seen once stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from ..reconstruct.cameras import Cameras
from ..reconstruct.depth_completion import complete_depth
from ..reconstruct.gaussians import Gaussians, cat_gaussians
from ..reconstruct.hidden import support_behind
from ..reconstruct.lift import lift
from ..reconstruct.mesh.grid import DepthPicture
from ..reconstruct.rasterize import rasterize
from ..reconstruct.windows import window_max
from .generators import Memory, ViewGenerator, ViewRequest
from .generators.blend import blend_generated

COVERED = 0.5
"""Pixels whose neighbourhood is covered at least this much on average show a surface; others are holes to fill."""
DENSE = 0.75
"""Pixels of a surface that are covered less than this get a splat of their own."""
OVERLAP = 2
"""Pixels by which pieces of known depth reach over the rim of a hole, so that no crack is left between views."""
BEHIND_TRUTH = 1.1
"""What the scene shows lies behind a hole if it is so many times as far away as what is known to be there."""
BEHIND = 1.02
"""Generated splats that the photo can see must lie at least this much further away than what it shows."""


@dataclass(frozen=True)
class Growth:
    """A scene after growing, and the pictures it grew by."""

    gaussians: Gaussians
    cameras: Cameras
    """V generated views, in the order they were generated."""
    images: Float[Tensor, "v h w 3"]
    support: Float[Tensor, "v h w"]
    """How much of each pixel the scene covered before it was generated, 0..1."""
    pieces: list[DepthPicture]
    """What each view added, for meshes."""


def show(gaussians: Gaussians, cameras: Cameras) -> tuple[Memory, Float[Tensor, "v h w"]]:
    """What the scene shows from some cameras with gaps of a pixel or two closed, and its alpha with the gaps.

    Surfaces seen closer or more frontally than they were lifted come apart into dots; what lies between the dots is
    surface too, not a hole to fill.
    """
    with torch.no_grad():
        seen = rasterize(gaussians, cameras)
    depth = torch.where(seen.median_depth > 0, seen.median_depth, seen.depth)
    around = torch.cat([seen.color, seen.alpha[..., None], (seen.alpha * depth)[..., None]], dim=-1)
    around = F.avg_pool2d(around.permute(0, 3, 1, 2), 5, 1, 2).permute(0, 2, 3, 1)
    dense = seen.alpha > DENSE
    coverage = torch.where(dense, seen.alpha, around[..., 3])
    nothing = coverage < 0.02
    color = torch.where(dense[..., None], seen.color, around[..., :3]) / coverage.clamp_min(0.02)[..., None]
    depth = torch.where(dense, depth, around[..., 4] / around[..., 3].clamp_min(0.02))
    memory = Memory(
        color.masked_fill(nothing[..., None], 0.0).clamp(0, 1), depth.masked_fill(nothing, 0.0), coverage
    )
    return memory, seen.alpha


def grow(
    gaussians: Gaussians,
    photo: Float[Tensor, "h w 3"],
    photo_depth: Float[Tensor, "h w"],
    photo_camera: Cameras,
    cameras: Cameras,
    generator: ViewGenerator,
    *,
    seed: int,
    text: str | None = None,
    depth_of: Callable[[Cameras], Float[Tensor, "v h w"]] | None = None,
    on_view: Callable[[int, Gaussians, Cameras, Tensor], bool] | None = None,
) -> Growth:
    """Generate views for the cameras, group by group, and fold each group into the scene.

    Args:
        gaussians: the scene so far; it must show the photo from ``photo_camera``.
        photo: the photo, which always wins.
        photo_depth: its depth.
        photo_camera: a batch of one.
        cameras: where to generate, in this order.
        generator: makes the pictures.
        seed: for the generator; group i gets ``seed + i``.
        text: a description, for generators that take one.
        depth_of: z depth of what cameras see, where somebody knows it; default completed from what surrounds a hole.
        on_view: called with views done, the scene so far, and the camera and picture of the newest view; if it returns
            True, growing stops there.
    """
    images, support, pieces = [photo.new_zeros(0, *photo.shape)], [photo.new_zeros(0, *photo.shape[:2])], []
    stop = False
    for start in range(0, len(cameras), generator.group_size):
        group = cameras[start : start + generator.group_size]
        (memory, alpha), before = show(gaussians, group), len(pieces)
        request = ViewRequest(
            group, memory, photo[None], photo_camera, seed + start, text, photo_depths=photo_depth[None]
        )
        pictures = generator(request)
        for index, camera in enumerate(group):
            shown = (memory, alpha) if index == 0 else show(gaussians, camera)
            if index and depth_of is None:
                pictures[index] = _agreeing(shown[0], pictures[index])
            picture = pictures[index]
            if depth_of is None:
                piece = missing_piece(*shown, picture, camera, photo_depth, photo_camera)
            else:
                piece = known_piece(*shown, picture, depth_of(camera)[0], camera)
            gaussians = cat_gaussians([gaussians, lift(picture, piece.depth, camera, mask=piece.mask)])
            pieces.append(piece)
            stop = on_view is not None and on_view(len(pieces), gaussians, camera, picture)
            if stop:
                break
        images.append(pictures[: len(pieces) - before])
        support.append(memory.coverage[: len(pieces) - before])
        if stop:
            break
    return Growth(gaussians, cameras[: len(pieces)], torch.cat(images), torch.cat(support), pieces)


def _agreeing(memory: Memory, picture: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """A picture of a group with what the pictures before it added to the scene: what came first stays."""
    known = (memory.coverage > COVERED) & (memory.depth > 0)
    return blend_generated(memory.color, known, picture[None])[0]


def missing_piece(
    memory: Memory,
    alpha: Float[Tensor, "v h w"],
    picture: Float[Tensor, "h w 3"],
    camera: Cameras,
    photo_depth: Float[Tensor, "h w"],
    photo_camera: Cameras,
) -> DepthPicture:
    """The pixels of a generated picture that the scene does not cover yet.

    Gaps in a surface are at the surface's depth, holes are filled with depth behind what surrounds them.

    Args:
        memory: what the scene shows from the camera; only its first view is read.
        alpha: of the same, with the gaps.
        picture: what was generated there.
        camera: a batch of one.
        photo_depth: of the photo, which nothing may hide.
        photo_camera: a batch of one.
    """
    depth = memory.depth[0]
    known = _known(memory)
    missing = uncovered(memory, alpha)
    if not missing.any() or not known.any():
        return DepthPicture(picture, depth.clamp_min(1e-6), camera, torch.zeros_like(known))
    support = support_behind(depth, known, camera, photo_camera, photo_depth[None])
    depth = complete_depth(depth, known, support)
    depth[missing] = _behind_photo(depth, missing, camera, photo_depth, photo_camera)
    return DepthPicture(picture, depth, camera, missing)


def known_piece(
    memory: Memory,
    alpha: Float[Tensor, "v h w"],
    picture: Float[Tensor, "h w 3"],
    depth: Float[Tensor, "h w"],
    camera: Cameras,
) -> DepthPicture:
    """The pixels of a picture with true depth where the scene shows nothing, or what lies behind.

    Arguments as those of ``missing_piece``, and the depth.
    """
    through = memory.depth[0] > BEHIND_TRUTH * depth
    missing = window_max((uncovered(memory, alpha) | through).float(), OVERLAP) > 0
    return DepthPicture(picture, depth, camera, missing)


def uncovered(memory: Memory, alpha: Float[Tensor, "v h w"]) -> Bool[Tensor, "h w"]:
    """Pixels of the first view that need splats; arguments as those of ``missing_piece``."""
    return ~_known(memory) | (alpha[0] < DENSE)


def _known(memory: Memory) -> Bool[Tensor, "h w"]:
    return (memory.coverage[0] > COVERED) & (memory.depth[0] > 0)


def _behind_photo(
    depth: Float[Tensor, "h w"],
    mask: Bool[Tensor, "h w"],
    camera: Cameras,
    photo_depth: Float[Tensor, "h w"],
    photo_camera: Cameras,
    *,
    steps: int = 12,
) -> Float[Tensor, "m"]:
    """Depths of the masked pixels, pushed away along their rays until they hide nothing that the photo shows."""
    origins, directions = (rays[0][mask] for rays in camera.rays())
    width, height = photo_camera.width, photo_camera.height
    limit = photo_depth.clamp_max(float(photo_depth.max()) / BEHIND)
    depth = depth[mask]
    for _ in range(steps):
        pixels, z = photo_camera.project((origins + depth[:, None] * directions)[None])
        x, y = pixels[0].floor().long().unbind(-1)
        inside = (z[0] > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        hides = inside & (z[0] < BEHIND * limit[y.clamp(0, height - 1), x.clamp(0, width - 1)])
        if not hides.any():
            break
        depth = torch.where(hides, depth * 1.12, depth)
    return depth
