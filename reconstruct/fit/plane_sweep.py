"""Depth of posed photos by plane sweep: a start for splats where there is no sparse cloud.

Each photo is compared with a few neighbours warped over planes of equal depth, by normalised cross-correlation of
small windows; a depth is kept where the neighbours' own depths confirm it.

Sources: Collins, A Space-Sweep Approach to True Multi-Image Matching (1996); Goesele et al., Multi-View Stereo
Revisited (2006) for the correlation over the best neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from ..cameras import Cameras
from ..rasterize.cpu.parallel import run_parallel
from .plane_sweep_kernel import sweep_views

BASELINE = 0.12
"""Wanted distance of a neighbour, relative to the distance of what the cameras look at."""
MAX_ANGLE_DEG = 40.0


@dataclass(frozen=True)
class DepthMaps:
    """What the sweep found at its own image size."""

    cameras: Cameras
    depth: Float[Tensor, "c h w"]
    consistent: Bool[Tensor, "c h w"]
    """Where the neighbours' depths agree."""
    neighbours: Int[Tensor, "c k"]
    """Which photos each was compared with."""


def sweep_depths(
    cameras: Cameras,
    images: Float[Tensor, "c h w 3"],
    *,
    planes: int = 80,
    neighbours: int = 4,
    coarse_divisor: int = 2,
) -> DepthMaps:
    """Depth of every photo; the range of depths is found by a coarse sweep over nearly all of space.

    Args:
        cameras: at least 2.
        images: of a size that is worth matching, 100 to 300 pixels; colours in [0, 1].
        planes: depths tried per pixel, evenly spaced in inverse depth.
        neighbours: photos that each is compared with.
        coarse_divisor: how much smaller the photos of the coarse sweep are.
    """
    grey = images.mean(-1)
    distance = viewing_distance(cameras)
    chosen = choose_neighbours(cameras, distance, neighbours)
    small_size = (cameras.width // coarse_divisor, cameras.height // coarse_divisor)
    small = F.interpolate(grey[:, None], small_size[::-1], mode="area")[:, 0]
    far, near = 1 / (30 * distance), 1 / (0.1 * distance)
    some = torch.arange(0, len(cameras), max(1, len(cameras) // 12))
    some = torch.cat([some, chosen[some].flatten()]).unique()
    coarse = _sweep(cameras.resized(*small_size), small, chosen, torch.linspace(far, near, 128), some)
    agreed = consistent(cameras.resized(*small_size), coarse, chosen, tolerance=0.1)
    if int(agreed.sum()) > 100:
        inverse = 1 / coarse[agreed]
        low, high = torch.quantile(
            inverse[:: max(1, len(inverse) // 100_000)], torch.tensor([0.01, 0.99])
        ).tolist()
        far, near = max(0.7 * low, far), min(1.2 * high, near)
    depth = _sweep(cameras, grey, chosen, torch.linspace(far, near, planes))
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


def choose_neighbours(cameras: Cameras, distance: float, count: int) -> Int[Tensor, "c k"]:
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
    tolerance: float = 0.03,
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


def _sweep(
    cameras: Cameras,
    grey: Float[Tensor, "c h w"],
    neighbours: Int[Tensor, "c k"],
    inverse_depths: Float[Tensor, "d"],
    views: Int[Tensor, "v"] | None = None,
) -> Float[Tensor, "c h w"]:
    """Depth of the best plane at every pixel of some views; 0 where nothing correlates."""
    views = torch.arange(len(cameras)) if views is None else views
    relative = cameras.cam_from_world[neighbours] @ cameras.world_from_cam[:, None]
    k = cameras.intrinsics[neighbours]
    rotations = k @ relative[..., :3, :3] @ torch.linalg.inv(cameras.intrinsics)[:, None]
    shifts = (k @ relative[..., :3, 3:])[..., 0]
    depth = torch.zeros_like(grey)
    arrays = (grey, views, neighbours, rotations, shifts, inverse_depths, depth)
    run_parallel(sweep_views, *(t.contiguous().numpy() for t in arrays))
    return depth


def lookup(
    image: Float[Tensor, "h w"], pixels: Float[Tensor, "*n 2"], mode: str = "bilinear"
) -> Float[Tensor, "*n"]:
    """Values at pixel coordinates (centres at +0.5); 0 outside."""
    size = pixels.new_tensor([image.shape[1], image.shape[0]])
    grid = (2 * pixels / size - 1).reshape(1, -1, pixels.shape[-2], 2)
    sampled = F.grid_sample(image[None, None], grid, mode=mode, padding_mode="zeros", align_corners=False)
    return sampled.reshape(pixels.shape[:-1])
