"""Painting a mesh: colours of its vertices, and a texture where it is laid out flat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .depth_maps import DepthMap
from .mesh import Mesh, open3d_from_mesh, tensor_from_numpy
from .paint import Painter, spread

MARGIN_PX = 3.0
"""Texels around a chart that are painted too, for filters that read across its border."""


def painted(mesh: Mesh, maps: Sequence[DepthMap], tolerance: float) -> tuple[Mesh, Painter]:
    """The mesh with vertex colours, and the painter for more.

    Args:
        mesh: with normals.
        maps: pictures of it.
        tolerance: see ``Painter.of``.
    """
    assert mesh.normals is not None
    painter = Painter.of(mesh, maps, tolerance)
    colors = spread(mesh, *painter.colors(mesh.vertices, mesh.normals))
    return replace(mesh, colors=_bytes(colors)), painter


def textured(
    mesh: Mesh, painter: Painter, size: int, on_progress: Callable[[int, int], object] | None = None
) -> Mesh:
    """The mesh with a texture of size x size.

    Every texel's point on the surface is looked up in all pictures, as vertices were; texels that no picture shows
    take the vertices' colours, and those between the charts a colour that does not glare.

    Args:
        mesh: with normals, colours and uvs.
        painter: from ``painted``.
        size: texels.
        on_progress: called as (done, total).
    """

    assert mesh.uvs is not None
    assert mesh.normals is not None
    assert mesh.colors is not None
    made = open3d_from_mesh(mesh)
    made.triangle["texture_uvs"] = tensor_from_numpy(
        np.ascontiguousarray(mesh.uvs * [1, -1] + [0, 1], np.float32)
    )
    made.vertex["normals"] = tensor_from_numpy(np.ascontiguousarray(mesh.normals))
    made.vertex["colors"] = tensor_from_numpy(mesh.colors.astype(np.float32) / 255)
    made.vertex["inside"] = tensor_from_numpy(np.ones((len(mesh.vertices), 1), np.float32))
    names = {"positions", "normals", "colors", "inside"}
    baked = made.bake_vertex_attr_textures(size, names, margin=MARGIN_PX, fill=0.0, update_material=False)
    maps = {name: baked[name].numpy() for name in names}
    inside = maps["inside"][..., 0] > 0.5
    found, known = painter.colors(maps["positions"][inside], maps["normals"][inside], on_progress)
    colors = np.where(known[:, None], found, maps["colors"][inside])
    texture = np.empty((size, size, 3), np.float32)
    texture[:] = colors.mean(0)
    texture[inside] = colors
    return replace(mesh, texture=_bytes(texture))


def _bytes(colors: np.ndarray) -> np.ndarray:
    return (colors.clip(0, 1) * 255).round().astype(np.uint8)
