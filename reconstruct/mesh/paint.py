"""Colours of points on a surface, from pictures that show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from ..rasterize.cpu.parallel import run_parallel
from .depth_maps import DepthMap
from .mesh import Mesh
from .paint_kernel import add_picture
from .render import cast, ray_scene


@dataclass(frozen=True)
class Painter:
    """Pictures, and what the mesh shows from their cameras."""

    maps: Sequence[DepthMap]
    surface: list[Float[Tensor, "h w"]]
    """z of the mesh in each picture, the nearest of 3x3 pixels; 0 where the picture does not show the mesh."""
    tolerance: float
    """Points this much behind what a picture shows are still seen."""

    @classmethod
    def of(cls, mesh: Mesh, maps: Sequence[DepthMap], tolerance: float, scene: Any = None) -> Painter:
        """Look at the mesh from every picture's camera.

        Args:
            mesh: to be painted.
            maps: pictures.
            tolerance: how far the mesh may be from the depth of the pictures, scene units.
            scene: from ``ray_scene``, to save making it again.
        """
        scene = ray_scene(mesh) if scene is None else scene
        surface = []
        for picture in maps:
            depth = torch.from_numpy(cast(scene, picture.camera)["depth"]).float()
            agrees = (picture.depth > 0) & ((picture.depth - depth).abs() < 3 * tolerance + 0.02 * depth)
            nearest = -F.max_pool2d(-torch.where(depth > 0, depth, torch.inf)[None, None], 3, 1, 1)[0, 0]
            surface.append(torch.where(agrees & (depth > 0), nearest, 0.0))
        return cls(maps, surface, tolerance)

    def colors(
        self,
        points: Float[np.ndarray, "n 3"],
        normals: Float[np.ndarray, "n 3"],
        on_progress: Callable[[int, int], object] | None = None,
    ) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, "n"]]:
        """Colours in [0, 1], and which points any picture shows."""
        at, facing = (np.ascontiguousarray(value, np.float32) for value in (points, normals))
        total = np.zeros((len(points), 4))
        for index, (picture, surface) in enumerate(zip(self.maps, self.surface)):
            camera = picture.camera
            lens = [camera.intrinsics[0, i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))]
            run_parallel(
                add_picture, at, facing, camera.cam_from_world[0, :3].double().contiguous().numpy(),
                np.array(lens, np.float64), picture.color.contiguous().numpy(), surface.numpy(),
                float(self.tolerance), total,
            )  # fmt: skip
            if on_progress:
                on_progress(index + 1, len(self.maps))
        colors = total[:, :3] / np.maximum(total[:, 3:], 1e-30)
        return colors.astype(np.float32), total[:, 3] > 0


def spread(
    mesh: Mesh, colors: Float[np.ndarray, "v 3"], known: Bool[np.ndarray, "v"]
) -> Float[np.ndarray, "v 3"]:
    """Colours of all vertices: those that no picture shows take their neighbours' mean, ring by ring."""
    if not known.any():
        return np.full_like(colors, 0.5)
    colors, known = colors.copy(), known.copy()
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    while not known.all():
        use = ends[known[ends[:, 1]] & ~known[ends[:, 0]]]
        if not len(use):
            break
        count = np.bincount(use[:, 0], minlength=len(colors))
        reached = count > 0
        for channel in range(3):
            total = np.bincount(use[:, 0], colors[use[:, 1], channel], len(colors))
            colors[reached, channel] = total[reached] / count[reached]
        known |= reached
    colors[~known] = colors[known].mean(0)
    return colors
