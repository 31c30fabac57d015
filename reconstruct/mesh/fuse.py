"""Depth maps into one surface: a truncated signed distance on sparse voxels, and its zero level.

Source: Curless and Levoy, A Volumetric Method for Building Complex Models from Range Images (1996), in open3d's
``VoxelBlockGrid``. Every view updates every voxel that it can see, not only those near its own surface, so what hangs
in the air before a surface that others see is carved away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from .depth_maps import DepthMap
from .mesh import Mesh, mesh_from_open3d, tensor_from_numpy

BLOCK = 8
"""Voxels along the side of a block; only blocks near a surface exist."""
TRUNCATION = 4.0
"""Signed distances are cut off at so many voxels."""
_EMPTY = "Tensor has shape {0}"
"""What open3d says of a mesh without vertices, which it cannot make."""
MAX_BLOCKS = 150_000
"""More would need over 1.2 GB (8 bytes a voxel, twice that while the surface is taken out)."""


def fuse(
    maps: Sequence[DepthMap],
    *,
    voxel: float,
    far: float = math.inf,
    min_views: float = 1.0,
    max_blocks: int = MAX_BLOCKS,
    on_progress: Callable[[int, int], object] | None = None,
) -> tuple[Mesh, float]:
    """The surface that the depth maps agree on.

    Args:
        maps: what was seen from where.
        voxel: side of a voxel in scene units; made larger until the blocks fit into ``max_blocks``.
        far: depths beyond are ignored.
        min_views: a surface is taken where the views' weights sum to more than this; each weighs up to 1.
        max_blocks: bounds the memory.
        on_progress: called as (done, total).

    Returns:
        The surface, and the voxel's side that was used.

    Raises:
        InputError: no depth map shows a surface, or too few show the same.
    """
    frames = [_Frame(m, far) for m in maps]
    if not any(frame.shows for frame in frames):
        raise InputError("the scene shows no surface from any viewpoint: there is nothing to make a mesh of")
    frames = [frame for frame in frames if frame.shows]
    grid = _allocated(frames, voxel, max_blocks)
    while grid is None:
        voxel *= 1.25
        grid = _allocated(frames, voxel, max_blocks)
    import open3d as o3d

    table = grid.hashmap()
    active = table.active_buf_indices().to(o3d.core.int64)
    blocks = table.key_tensor()[active]
    centres = (blocks.numpy().astype(np.float32) + 0.5) * (BLOCK * voxel)
    reach = 0.87 * BLOCK * voxel
    for index, frame in enumerate(frames):
        seen = frame.sees(centres, reach)
        if seen.any():
            some = blocks[tensor_from_numpy(seen)]
            grid.integrate(some, frame.image, frame.intrinsics, frame.extrinsics, 1.0, frame.far, TRUNCATION)
        if on_progress:
            on_progress(index + 1, len(frames))
    try:
        return mesh_from_open3d(grid.extract_triangle_mesh(weight_threshold=min_views)), voxel
    except RuntimeError as error:
        if _EMPTY not in str(error):
            raise
        raise InputError("the viewpoints agree on no surface: there is nothing to make a mesh of") from error


class _Frame:
    """A depth map as open3d wants it: pixel centres at whole numbers, matrices in float64."""

    def __init__(self, depth_map: DepthMap, far: float) -> None:
        import open3d as o3d

        depth = torch.where(depth_map.depth <= far, depth_map.depth, 0.0)
        self.shows = bool((depth > 0).any())
        self.far = float(depth.max()) * 1.001
        self.camera = depth_map.camera
        intrinsics = depth_map.camera.intrinsics[0].double().numpy().copy()
        intrinsics[:2, 2] -= 0.5
        self.image = o3d.t.geometry.Image(tensor_from_numpy(np.ascontiguousarray(depth.numpy())))
        self.intrinsics = tensor_from_numpy(intrinsics)
        self.extrinsics = tensor_from_numpy(depth_map.camera.cam_from_world[0].double().numpy())

    def sees(self, centres: np.ndarray, reach: float) -> np.ndarray:
        """Which balls around centres may be in view, before the farthest surface."""
        camera = self.camera
        in_cam = (
            centres @ camera.cam_from_world[0, :3, :3].numpy().T + camera.cam_from_world[0, :3, 3].numpy()
        )
        x, y, z = in_cam.T
        fx, fy, cx, cy = (float(camera.intrinsics[0, i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        seen = (z > -reach) & (z < self.far + reach)
        for focal, along, before, after in ((fx, x, cx, camera.width - cx), (fy, y, cy, camera.height - cy)):
            seen &= focal * along + before * z > -reach * math.hypot(focal, before)
            seen &= after * z - focal * along > -reach * math.hypot(focal, after)
        return seen


def _allocated(frames: Sequence[_Frame], voxel: float, max_blocks: int) -> Any:
    """A grid with all blocks near a surface that any frame shows, or None if they are too many."""
    import open3d as o3d

    core = o3d.core
    make: Any = o3d.t.geometry.VoxelBlockGrid
    grid = make(("tsdf", "weight"), (core.float32, core.float32), ((1), (1)), voxel, BLOCK, max_blocks // 8)
    for frame in frames:
        found = grid.compute_unique_block_coordinates(
            frame.image, frame.intrinsics, frame.extrinsics, 1.0, frame.far, TRUNCATION
        )
        if len(found) + grid.hashmap().size() > 2 * max_blocks:
            return None
        grid.hashmap().activate(found)
        if grid.hashmap().size() > max_blocks:
            return None
    return grid
