"""Closed surfaces, for printing and for engines that need an inside.

A capture shows outsides only. Poisson reconstruction closes what lies open by the smoothest surface that continues
it. A room has no outside: its walls become a shell, all that is nearer to the surface than a voxel and a half.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .clean import connected_parts, fill_holes, manifold, rims, simplified
from .mesh import Mesh, kept_faces, mesh_from_open3d, tensor_from_numpy

_DEPTH = 8
_SHELL = 192
"""Voxels of a shell along the longest side."""


def is_closed(mesh: Mesh) -> bool:
    """Whether every edge has one face on each side, turned alike."""
    if not len(mesh.faces) or rims(mesh.faces):
        return False
    edges = np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)], axis=-1).reshape(-1, 2).astype(np.int64)
    n = len(mesh.vertices)
    forward, backward = np.sort(edges @ [n, 1]), np.sort(edges @ [1, n])
    return bool((forward[1:] > forward[:-1]).all() and (forward == backward).all())


def watertight(mesh: Mesh, faces: int) -> tuple[Mesh, str]:
    """A closed mesh of at most about ``faces`` faces, and how it was closed.

    Source: Kazhdan and Hoppe, Screened Poisson Surface Reconstruction (2013), in open3d.

    Args:
        mesh: with normals.
        faces: the budget.

    Raises:
        InputError: it could not be closed.
    """
    for close, told in ((_poisson, "closed by Poisson reconstruction"), (_shell, "closed as a shell")):
        whole = fill_holes(close(mesh), np.inf)
        for candidate in (fill_holes(simplified(whole, faces), np.inf), whole):
            if is_closed(candidate) and volume(candidate) > 0:
                return candidate, told
    raise InputError("the surface could not be closed")


def volume(mesh: Mesh) -> float:
    """Of a closed mesh; negative if its faces are turned inwards."""
    a, b, c = (mesh.corners.astype(np.float64) - mesh.vertices.mean(0)).swapaxes(0, 1)
    return float((a * np.cross(b, c)).sum() / 6)


def _poisson(mesh: Mesh) -> Mesh:
    import open3d as o3d

    assert mesh.normals is not None
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(mesh.vertices.astype(np.float64)))
    cloud.normals = o3d.utility.Vector3dVector(mesh.normals.astype(np.float64))
    made, _ = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=_DEPTH, n_threads=1)
    whole = manifold(mesh_from_open3d(o3d.t.geometry.TriangleMesh.from_legacy(made)))
    if not len(whole.faces):
        return whole
    part = connected_parts(whole.faces, len(whole.vertices))
    return kept_faces(whole, part == np.bincount(part, whole.areas).argmax())


def _shell(mesh: Mesh) -> Mesh:
    """All that is nearer than a voxel and a half to the surface."""
    import open3d as o3d

    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    voxel = float((high - low).max()) / _SHELL
    low = low - 4 * voxel
    count = np.ceil((high - low) / voxel).astype(int) + 5
    from .render import ray_scene

    axes = [low[k] + voxel * np.arange(count[k]) for k in range(3)]
    scene, slabs = ray_scene(mesh), []
    for x in axes[0]:
        grid = np.stack(np.meshgrid([x], axes[1], axes[2], indexing="ij"), axis=-1).astype(np.float32)
        slabs.append(scene.compute_distance(tensor_from_numpy(grid)).numpy())
    field = tensor_from_numpy(np.ascontiguousarray(np.concatenate(slabs).transpose(2, 1, 0)))
    made = mesh_from_open3d(o3d.t.geometry.TriangleMesh.create_isosurfaces(field, [1.5 * voxel]))
    outwards = made.faces[:, ::-1]
    return manifold(Mesh((made.vertices * voxel + low).astype(np.float32), np.ascontiguousarray(outwards)))
