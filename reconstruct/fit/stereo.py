"""Depth of posed photos by PatchMatch stereo: a start for splats where there is no sparse cloud.

Every pixel holds a plane. The planes of the pixel before and of the one above are tried, and random changes; windows
are warped over the plane into the neighbouring photos, and what correlates best with the better ones of them stays.
Coarse photos come first, from random planes. A depth is kept where the neighbours' own depths confirm it.

Sources: Bleyer et al., PatchMatch Stereo (2011); Galliani et al., Massively Parallel Multiview Stereopsis (2015); Zheng
et al., PatchMatch Based Joint View Selection and Depthmap Estimation (2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from ..cameras import Cameras
from ..rasterize.cpu.parallel import run_parallel
from .stereo_kernel import patch_match

BASELINE = 0.2
"""Wanted distance of a neighbour, relative to the distance of what the cameras look at."""
MAX_ANGLE_DEG = 60.0
NEIGHBOURS = 12
"""Photos that each is compared with."""
BEST = 2
"""Of them, those that agree best make a plane's score."""
MIN_CORRELATION = 0.5
NEAREST, FARTHEST = 0.1, 30.0
"""Depths that are tried, relative to the viewing distance."""
LEVELS = ((4, 8, 6, 3), (2, 4, 3, 2), (1, 2, 2, 2))
"""Divisor of the image size; sweeps; random changes at each visit; every so manieth sweep looks at all neighbours."""
STEEPEST_START = 1.3
"""Largest slant of the first random planes, in radians."""


@dataclass(frozen=True)
class DepthMaps:
    """What stereo found at its own image size."""

    cameras: Cameras
    depth: Float[Tensor, "c h w"]
    consistent: Bool[Tensor, "c h w"]
    """Where the neighbours' depths agree."""
    neighbours: Int[Tensor, "c k"]
    """Which photos each was compared with."""


def stereo_depths(cameras: Cameras, images: Float[Tensor, "c h w 3"]) -> DepthMaps:
    """Depth of every photo.

    Args:
        cameras: at least 2.
        images: of a size that is worth matching, 100 to 400 pixels; colours in [0, 1].
    """
    distance = viewing_distance(cameras)
    near, far = 1 / (NEAREST * distance), 1 / (FARTHEST * distance)
    chosen = choose_neighbours(cameras, distance)
    grey = images.mean(-1)
    planes = _random_planes(cameras, LEVELS[0][0], near, far)
    partners = torch.zeros(planes.shape[:3], dtype=torch.int32)
    scores = torch.full(planes.shape[:3], -1.0)
    for divisor, *effort in LEVELS:
        width, height = _size(cameras, divisor)
        if planes.shape[1:3] != (height, width):
            planes, partners = _enlarge(planes, height, width), _enlarge(partners, height, width)
        smaller = F.interpolate(grey[:, None], (height, width), mode="area")[:, 0]
        scores = _match(
            cameras.resized(width, height), smaller, chosen, (near, far), effort, planes, partners
        )
    depth = torch.where(scores > MIN_CORRELATION, 1 / planes[..., 0], 0.0)
    return DepthMaps(cameras, depth, consistent(cameras, depth, chosen), chosen)


def viewing_distance(cameras: Cameras) -> float:
    """How far away the things are that the cameras look at, roughly.

    The point nearest to all optical axes, if they meet in front of the cameras; else a few times the spread of the
    cameras, whose axes are then nearly parallel or point outwards.
    """
    position, forward = cameras.positions.double(), cameras.forward.double()
    across = torch.eye(3, dtype=torch.float64) - forward[:, :, None] * forward[:, None, :]
    spread = float((position - position.mean(0)).norm(dim=-1).mean())
    focus = torch.linalg.lstsq(across.sum(0), (across @ position[..., None]).sum(0)).solution[:, 0]
    ahead = ((focus - position) * forward).sum(-1)
    if bool((ahead > 0).float().mean() > 0.9) and float(ahead.median()) < 20 * spread:
        return float(ahead.median())
    return max(4 * spread, 1e-6)


def choose_neighbours(cameras: Cameras, distance: float, count: int = NEIGHBOURS) -> Int[Tensor, "c k"]:
    """For every camera the others that look the same way from a useful distance."""
    apart = torch.cdist(cameras.positions, cameras.positions)
    cosine = cameras.forward @ cameras.forward.T
    penalty = (apart / (BASELINE * distance)).clamp_min(1e-3).log().abs()
    penalty = penalty + 100 * (cosine < math.cos(math.radians(MAX_ANGLE_DEG)))
    penalty.fill_diagonal_(math.inf)
    return penalty.topk(min(count, len(cameras) - 1), dim=1, largest=False).indices


def consistent(
    cameras: Cameras,
    depth: Float[Tensor, "c h w"],
    neighbours: Int[Tensor, "c k"],
    *,
    tolerance: float = 0.02,
) -> Bool[Tensor, "c h w"]:
    """Where at least two neighbours (one, if there is only one) put the same surface, to within ``tolerance``."""
    needed = min(2, neighbours.shape[1])
    kept = []
    for i in range(len(cameras)):
        points = cameras[i].unproject(depth[i][None])[0].reshape(-1, 3)
        votes = torch.zeros(len(points), dtype=torch.int32)
        for j in neighbours[i].tolist():
            pixels, z = cameras[j].project(points[None])
            seen = lookup(depth[j], pixels[0], mode="nearest")
            votes += ((z[0] > 0) & (seen > 0) & ((seen - z[0]).abs() < tolerance * z[0])).int()
        kept.append((votes >= needed).reshape(depth[i].shape) & (depth[i] > 0))
    return torch.stack(kept)


def _size(cameras: Cameras, divisor: int) -> tuple[int, int]:
    return max(8, round(cameras.width / divisor)), max(8, round(cameras.height / divisor))


def _random_planes(cameras: Cameras, divisor: int, near: float, far: float) -> Float[Tensor, "c h w 3"]:
    """Inverse depths spread evenly, and slopes of inverse depth along x and y per pixel."""
    generator = torch.Generator().manual_seed(0)
    width, height = _size(cameras, divisor)
    focal = cameras.resized(width, height).intrinsics[:, 0, 0, None, None, None]
    inverse = far + (near - far) * torch.rand(len(cameras), height, width, 1, generator=generator)
    slant = STEEPEST_START * (2 * torch.rand(len(cameras), height, width, 2, generator=generator) - 1)
    return torch.cat([inverse, slant.tan() * inverse / focal], dim=-1)


def _enlarge(values: Tensor, height: int, width: int) -> Tensor:
    """To the next level's size; slopes are per pixel and so get smaller, and planes go through the new centres."""
    rows = (torch.arange(height) + 0.5) * values.shape[1] / height
    columns = (torch.arange(width) + 0.5) * values.shape[2] / width
    larger = values[:, rows.long()][:, :, columns.long()].contiguous()
    if values.ndim == 4:
        off_x, off_y = (columns - columns.floor() - 0.5)[None, :], (rows - rows.floor() - 0.5)[:, None]
        larger[..., 0] += larger[..., 1] * off_x + larger[..., 2] * off_y
        larger[..., 1] *= values.shape[2] / width
        larger[..., 2] *= values.shape[1] / height
    return larger


def _match(
    cameras: Cameras,
    grey: Float[Tensor, "c h w"],
    neighbours: Int[Tensor, "c k"],
    depths: tuple[float, float],
    effort: Sequence[int],
    planes: Float[Tensor, "c h w 3"],
    partners: Int[Tensor, "c h w"],
) -> Float[Tensor, "c h w"]:
    """Improve ``planes``, and which neighbours agree best, in place; the planes' scores."""
    relative = cameras.cam_from_world[neighbours] @ cameras.world_from_cam[:, None]
    k = cameras.intrinsics[neighbours]
    rotations = k @ relative[..., :3, :3] @ torch.linalg.inv(cameras.intrinsics)[:, None]
    shifts = (k @ relative[..., :3, 3:])[..., 0]
    scores = torch.full_like(grey, -1)
    best = min(BEST, neighbours.shape[1])
    arrays = (grey, neighbours, rotations, shifts, cameras.intrinsics[:, 0, 0])
    run_parallel(
        patch_match, *(t.contiguous().numpy() for t in arrays), *depths, *effort, best, planes.numpy(),
        scores.numpy(), partners.numpy().view(np.uint32),
    )  # fmt: skip
    return scores


def lookup(
    image: Float[Tensor, "h w"], pixels: Float[Tensor, "*n 2"], mode: str = "bilinear"
) -> Float[Tensor, "*n"]:
    """Values at pixel coordinates (centres at +0.5); 0 outside."""
    size = pixels.new_tensor([image.shape[1], image.shape[0]])
    grid = (2 * pixels / size - 1).reshape(1, -1, pixels.shape[-2], 2)
    sampled = F.grid_sample(image[None, None], grid, mode=mode, padding_mode="zeros", align_corners=False)
    return sampled.reshape(pixels.shape[:-1])
