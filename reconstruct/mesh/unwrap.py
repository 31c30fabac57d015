"""Laying a surface out flat, so that a texture can be painted on it."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from .mesh import Mesh, open3d_from_mesh

FACES_AT_ONCE = 2500
"""The time of the layout grows faster than the faces of a piece: larger meshes are cut into pieces of this size."""
GUTTER_PX = 3.0
MAX_STRETCH = 0.4
_MIN_FACES = 12

log = logging.getLogger(__name__)


def unwrapped(mesh: Mesh, size: int) -> Mesh | None:
    """The mesh with ``uvs``, or None where no layout can be found.

    Source: Zhou et al., Iso-charts (2004), in open3d's ``compute_uvatlas``.

    Args:
        mesh: manifold.
        size: of the texture in texels.
    """
    if len(mesh.faces) < _MIN_FACES:
        return None
    import open3d as o3d

    made = open3d_from_mesh(mesh)
    try:
        with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):  # it talks on stdout
            made.compute_uvatlas(
                size=size,
                gutter=GUTTER_PX,
                max_stretch=MAX_STRETCH,
                parallel_partitions=max(1, len(mesh.faces) // FACES_AT_ONCE),
            )
    except RuntimeError as error:
        log.warning("the surface could not be laid out flat (%s)", str(error).splitlines()[0][:200])
        return None
    uvs = made.triangle["texture_uvs"].numpy().astype(np.float32)
    if uvs.shape != (len(mesh.faces), 3, 2) or not np.isfinite(uvs).all():
        return None
    return replace(mesh, uvs=(uvs * [1, -1] + [0, 1]).astype(np.float32).clip(0, 1))  # open3d's v goes up
