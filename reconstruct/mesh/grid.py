"""A triangle mesh straight from pictures with depth: one vertex per pixel, torn at depth edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor

from ..cameras import Cameras

TEAR_RATIO = 1.08
"""Triangles whose corners differ in depth by more than this factor are left out."""


@dataclass(frozen=True)
class DepthPicture:
    """A picture whose pixels have depth, of which some count."""

    image: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"]
    camera: Cameras
    mask: Bool[Tensor, "h w"]


def grid_mesh(pictures: Sequence[DepthPicture], *, step: int = 2) -> trimesh.Trimesh:
    """One coloured mesh of several pictures, in their world.

    Args:
        pictures: their masked pixels become vertices.
        step: use every ``step``-th pixel of every ``step``-th row.
    """
    parts = [_grid(p, step) for p in pictures]
    joined = trimesh.util.concatenate([part for part in parts if len(part.faces)] or parts[:1])
    assert isinstance(joined, trimesh.Trimesh)
    return joined


def write_grid_mesh(path: Path, pictures: Sequence[DepthPicture], up: Float[Tensor, "3"]) -> None:
    """Write the mesh as GLB, turned so that the scene's up is glTF's +y."""
    mesh = grid_mesh(pictures)
    mesh.apply_transform(trimesh.geometry.align_vectors(up.numpy(), [0.0, 1.0, 0.0]))
    data = mesh.export(file_type="glb")
    assert isinstance(data, bytes)
    path.write_bytes(data)


def _grid(picture: DepthPicture, step: int) -> trimesh.Trimesh:
    points = picture.camera.unproject(picture.depth[None])[0][::step, ::step]
    depth, mask = picture.depth[::step, ::step], picture.mask[::step, ::step]
    index = torch.arange(mask.numel()).view(mask.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = torch.cat([torch.stack(t, -1).reshape(-1, 3) for t in ((a, d, b), (b, d, c))])
    corner_depth = depth.flatten()[faces]
    whole = mask.flatten()[faces].all(-1) & (corner_depth.amax(-1) < TEAR_RATIO**step * corner_depth.amin(-1))
    colors = (picture.image[::step, ::step].reshape(-1, 3).clamp(0, 1) * 255).round().byte().numpy()
    mesh = trimesh.Trimesh(
        points.reshape(-1, 3).numpy().astype(np.float64),
        faces[whole].numpy(),
        vertex_colors=colors,
        process=False,
    )
    mesh.remove_unreferenced_vertices()
    return mesh
