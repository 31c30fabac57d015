"""The triangle mesh that every step takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8


@dataclass(frozen=True)
class Mesh:
    """Triangles, counter-clockwise seen from outside, and what they look like. Arrays are numpy, on the CPU."""

    vertices: Float[np.ndarray, "v 3"]
    """float32, scene units."""
    faces: Int[np.ndarray, "f 3"]
    """int32 indices of vertices."""
    normals: Float[np.ndarray, "v 3"] | None = None
    """Unit vectors, float32."""
    colors: UInt8[np.ndarray, "v 3"] | None = None
    """sRGB."""
    uvs: Float[np.ndarray, "f 3 2"] | None = None
    """Of each corner of each face, in [0, 1]; u goes right and v goes down in the texture, as in glTF."""
    texture: UInt8[np.ndarray, "h w 3"] | None = None
    """sRGB; needs ``uvs``."""

    @property
    def corners(self) -> Float[np.ndarray, "f 3 3"]:
        """Positions of each face's corners."""
        return self.vertices[self.faces]

    @property
    def face_normals(self) -> Float[np.ndarray, "f 3"]:
        """Unit normals; 0 for faces without area."""
        a, b, c = self.corners.swapaxes(0, 1)
        cross = np.cross(b - a, c - a)
        return cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-30)

    @property
    def areas(self) -> Float[np.ndarray, "f"]:
        """Of the faces."""
        a, b, c = self.corners.swapaxes(0, 1)
        return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)

    def moved(self, matrix: Float[np.ndarray, "3 3"]) -> Mesh:
        """Every vertex v becomes ``matrix @ v``; the matrix is a rotation times a scale > 0."""
        normals = None
        if self.normals is not None:
            turned = self.normals @ (matrix.T / np.cbrt(np.linalg.det(matrix)))
            normals = np.ascontiguousarray(turned, dtype=np.float32)
        return replace(self, vertices=(self.vertices @ matrix.T).astype(np.float32), normals=normals)


def mesh_from_open3d(mesh: Any) -> Mesh:
    """Vertices and faces of an ``open3d.t.geometry.TriangleMesh``."""
    vertices = mesh.vertex.positions.numpy().astype(np.float32)
    return Mesh(vertices, mesh.triangle.indices.numpy().astype(np.int32))


def open3d_from_mesh(mesh: Mesh) -> Any:
    """An ``open3d.t.geometry.TriangleMesh`` with vertices and faces only."""
    import open3d as o3d

    made = o3d.t.geometry.TriangleMesh()
    made.vertex.positions = tensor_from_numpy(mesh.vertices.astype(np.float32))
    made.triangle.indices = tensor_from_numpy(mesh.faces.astype(np.int64))
    return made


def tensor_from_numpy(array: Any) -> Any:
    """An ``open3d.core.Tensor`` of the array's type."""
    import open3d as o3d

    core: Any = o3d.core
    return core.Tensor(np.ascontiguousarray(array))


def kept_faces(mesh: Mesh, keep: np.ndarray) -> Mesh:
    """Some of the faces, and the vertices that they use.

    Args:
        mesh: any.
        keep: [f] which faces.
    """
    faces = mesh.faces[keep]
    used = np.zeros(len(mesh.vertices), bool)
    used[faces] = True
    index = (np.cumsum(used) - 1).astype(np.int32)
    return Mesh(
        mesh.vertices[used],
        index[faces],
        None if mesh.normals is None else mesh.normals[used],
        None if mesh.colors is None else mesh.colors[used],
        None if mesh.uvs is None else mesh.uvs[keep],
        mesh.texture,
    )


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes as one, without colours."""
    before = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, before)]).astype(np.int32)
    joined = Mesh(np.concatenate([mesh.vertices for mesh in meshes]), faces)
    normals = [mesh.normals for mesh in meshes if mesh.normals is not None]
    return replace(joined, normals=np.concatenate(normals) if len(normals) == len(meshes) else None)


def vertex_normals(mesh: Mesh) -> Float[np.ndarray, "v 3"]:
    """Normals of the faces around each vertex, averaged by area."""
    a, b, c = mesh.corners.swapaxes(0, 1)
    cross = np.cross(b - a, c - a).astype(np.float64)
    total = np.zeros((len(mesh.vertices), 3))
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(mesh.faces[:, corner], cross[:, axis], len(mesh.vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    total = np.where(length > 1e-30, total / np.maximum(length, 1e-30), [0.0, 0.0, 1.0])
    return total.astype(np.float32)
