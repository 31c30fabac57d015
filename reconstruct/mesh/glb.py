"""Meshes as glTF 2.0 binary (.glb): y up, metres, unlit because the light is in the colours already.

Source: the Khronos specification and its extension KHR_materials_unlit.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .mesh import Mesh

_FLOAT, _UNSIGNED_INT, _UNSIGNED_SHORT = 5126, 5125, 5123
_VERTICES, _INDICES = 34962, 34963
JPEG_QUALITY = 93


def write_glb(path: Path, meshes: Sequence[Mesh], names: Sequence[str], extras: dict[str, Any]) -> None:
    """One node for each mesh.

    Args:
        path: the file.
        meshes: y up, in metres.
        names: of the nodes.
        extras: recorded under ``asset.extras``.
    """
    buffer = _Buffer()
    made = [_primitive(buffer, mesh) for mesh in meshes]
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "cosmorama", "extras": extras},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(meshes)))}],
        "nodes": [{"mesh": i, "name": name} for i, name in enumerate(names)],
        "meshes": [{"name": name, "primitives": [part]} for name, part in zip(names, made)],
        "extensionsUsed": ["KHR_materials_unlit"],
        "materials": [_material(None)],
    }
    for index, mesh in enumerate(meshes):
        if mesh.texture is None:
            made[index]["material"] = 0
            continue
        document.setdefault(
            "samplers", [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}]
        )
        document.setdefault("images", []).append(
            {"bufferView": buffer.add(jpeg(mesh.texture)), "mimeType": "image/jpeg"}
        )
        document.setdefault("textures", []).append({"sampler": 0, "source": len(document["images"]) - 1})
        document["materials"].append(_material(len(document["textures"]) - 1))
        made[index]["material"] = len(document["materials"]) - 1
    used = {part["material"] for part in made}
    if 0 not in used:
        document["materials"] = document["materials"][1:]
        for part in made:
            part["material"] -= 1
    document |= {"accessors": buffer.accessors, "bufferViews": buffer.views}
    document["buffers"] = [{"byteLength": len(buffer.data)}]
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with path.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(buffer.data)))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", len(buffer.data), b"BIN\0") + buffer.data)


def split_at_seams(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Formats with one uv for each vertex need a vertex for each place it has in the texture.

    Returns:
        for each new vertex, the old one; its uv; the faces of new vertices.
    """
    assert mesh.uvs is not None
    corners = mesh.faces.reshape(-1).astype(np.int64)
    key = np.concatenate(
        [corners[:, None], np.round(mesh.uvs.reshape(-1, 2) * (1 << 20)).astype(np.int64)], axis=1
    )
    _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return corners[first], mesh.uvs.reshape(-1, 2)[first], inverse.reshape(-1, 3).astype(np.uint32)


def jpeg(image: np.ndarray) -> bytes:
    """A picture as the bytes of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()


class _Buffer:
    """The binary part, and what is said of it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, data: bytes, **told: Any) -> int:
        """Append bytes; returns the number of their view."""
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data), **told})
        self.data += data + bytes(-len(data) % 4)
        return len(self.views) - 1

    def add_array(self, values: np.ndarray, kind: str, component: int, target: int, **told: Any) -> int:
        """Append an array; returns the number of its accessor."""
        view = self.add(np.ascontiguousarray(values).tobytes(), target=target)
        about = {"bufferView": view, "componentType": component, "count": len(values), "type": kind, **told}
        self.accessors.append(about)
        return len(self.accessors) - 1


def _primitive(buffer: _Buffer, mesh: Mesh) -> dict[str, Any]:
    if mesh.uvs is not None and mesh.texture is not None:
        chosen, uvs, faces = split_at_seams(mesh)
    else:
        chosen, uvs, faces = np.arange(len(mesh.vertices)), None, mesh.faces.astype(np.uint32)
    positions = mesh.vertices[chosen].astype(np.float32)
    low, high = positions.min(0).tolist(), positions.max(0).tolist()
    attributes = {"POSITION": buffer.add_array(positions, "VEC3", _FLOAT, _VERTICES, min=low, max=high)}
    if mesh.normals is not None:
        normals = mesh.normals[chosen].astype(np.float32)
        attributes["NORMAL"] = buffer.add_array(normals, "VEC3", _FLOAT, _VERTICES)
    if uvs is not None:
        attributes["TEXCOORD_0"] = buffer.add_array(uvs.astype(np.float32), "VEC2", _FLOAT, _VERTICES)
    elif mesh.colors is not None:
        colors = np.full((len(chosen), 4), 65535, np.uint16)
        colors[:, :3] = _linear(mesh.colors[chosen])
        attributes["COLOR_0"] = buffer.add_array(colors, "VEC4", _UNSIGNED_SHORT, _VERTICES, normalized=True)
    indices = buffer.add_array(faces.reshape(-1), "SCALAR", _UNSIGNED_INT, _INDICES)
    return {"attributes": attributes, "indices": indices, "mode": 4}


def _linear(colors: np.ndarray) -> np.ndarray:
    """glTF's vertex colours are linear light, not sRGB as its textures are; 16 bits keep the dark ones apart."""
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return (linear * 65535).round().astype(np.uint16)[colors]


def _material(texture: int | None) -> dict[str, Any]:
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    if texture is not None:
        surface["baseColorTexture"] = {"index": texture}
    return {"pbrMetallicRoughness": surface, "extensions": {"KHR_materials_unlit": {}}, "doubleSided": True}
