"""Meshes as .obj with .mtl and .png, .ply and .stl: formats that carry neither unit nor axes but in comments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .mesh import Mesh

_RGB = ("red", "green", "blue")


def write_obj(
    path: Path, meshes: Sequence[Mesh], names: Sequence[str], *, comment: str, material: str
) -> None:
    """Objects with normals, and uvs or vertex colours; the texture is a file of its own.

    Args:
        path: the .obj file.
        meshes: what to write.
        names: of the objects.
        comment: one line.
        material: file name of the material library; used where a mesh has a texture.
    """
    textured = any(mesh.texture is not None for mesh in meshes)
    with path.open("w") as file:
        file.write(f"# cosmorama: {comment}\n" + (f"mtllib {material}\n" if textured else ""))
        before = np.zeros(3, int)
        for mesh, name in zip(meshes, names):
            file.write(f"o {name}\n")
            before += _write_object(file, mesh, before)


def _write_object(file, mesh: Mesh, before: np.ndarray) -> np.ndarray:
    columns = [mesh.vertices]
    if mesh.colors is not None and mesh.texture is None:
        columns.append(mesh.colors / 255)
    np.savetxt(file, np.concatenate(columns, axis=1), "v " + " ".join(["%.7g"] * 3 * len(columns)))
    parts = [mesh.faces + 1 + before[0]]
    uv_count = 0
    if mesh.texture is not None and mesh.uvs is not None:
        uvs, index = np.unique(mesh.uvs.reshape(-1, 2), axis=0, return_inverse=True)
        uv_count = len(uvs)
        np.savetxt(file, uvs * [1, -1] + [0, 1], "vt %.6f %.6f")
        parts.append(index.reshape(-1, 3) + 1 + before[1])
        file.write("usemtl surface\n")
    normals = 0
    if mesh.normals is not None:
        normals = len(mesh.normals)
        np.savetxt(file, mesh.normals, "vn %.4f %.4f %.4f")
        parts.append(mesh.faces + 1 + before[2])
    corner = {(False, False): "%d", (True, False): "%d/%d", (False, True): "%d//%d", (True, True): "%d/%d/%d"}
    pattern = corner[uv_count > 0, normals > 0]
    numbers = np.stack(parts, axis=-1).reshape(len(mesh.faces), -1)
    np.savetxt(file, numbers, "f " + " ".join([pattern] * 3))
    return np.array([len(mesh.vertices), uv_count, normals])


def write_material(path: Path, texture: str) -> None:
    """The .mtl file of a textured .obj."""
    path.write_text(f"newmtl surface\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {texture}\n")


def write_texture(path: Path, texture: np.ndarray) -> None:
    """The .png file of a textured .obj."""
    Image.fromarray(texture).save(path, "PNG")


def write_ply(path: Path, mesh: Mesh, *, comment: str) -> None:
    """Binary, with normals and vertex colours."""
    kinds = [(name, "<f4") for name in ("x", "y", "z")]
    kinds += [(name, "<f4") for name in ("nx", "ny", "nz")] if mesh.normals is not None else []
    kinds += [(name, "u1") for name in _RGB] if mesh.colors is not None else []
    rows = np.empty(len(mesh.vertices), kinds)
    columns = (("x", "y", "z"), mesh.vertices), (("nx", "ny", "nz"), mesh.normals), (_RGB, mesh.colors)
    for names, values in columns:
        if values is not None:
            for k, name in enumerate(names):
                rows[name] = values[:, k]
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    types = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment cosmorama: {comment}",
        f"element vertex {len(rows)}",
    ]
    header += [f"property {types[kind]} {name}" for name, kind in kinds]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    path.write_bytes("\n".join(header).encode() + rows.tobytes() + faces.tobytes())


def write_stl(path: Path, mesh: Mesh, *, comment: str) -> None:
    """Binary: triangles with their normals, nothing else."""
    rows = np.zeros(len(mesh.faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    rows["normal"], rows["corners"] = mesh.face_normals, mesh.corners
    title = f"cosmorama: {comment}".encode("ascii", "replace")[:80].ljust(80)
    path.write_bytes(title + np.uint32(len(rows)).tobytes() + rows.tobytes())
