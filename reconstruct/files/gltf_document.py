"""Reading .glb containers that nobody vouches for: every index, offset and size is checked before it is used."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..gaussians import rotation_from_wxyz
from .splat_file import check_count

NAME = "KHR_gaussian_splatting"
_MAX_JSON = 16 << 20
_MAX_NODES = 10_000
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


@dataclass(frozen=True)
class Document:
    """The JSON of a .glb file and where its binary chunk lies."""

    path: Path
    json: dict[str, Any]
    offset: int
    size: int

    def item(self, kind: str, index: object) -> dict[str, Any]:
        """Entry ``index`` of one of the document's lists."""
        entries = self.json.get(kind)
        if not isinstance(entries, list) or type(index) is not int or not 0 <= index < len(entries):
            raise InputError(f"{self.path} is damaged: there is no entry {str(index)[:20]!r} in {kind}")
        if not isinstance(entries[index], dict):
            raise InputError(f"{self.path} is damaged: entry {index} of {kind} is no object")
        return entries[index]

    def accessor(self, index: object, width: int, count: int | None = None) -> Float[Tensor, "n width"]:
        """Values of an accessor as float32, normalised integers as the specification says.

        Args:
            index: of the accessor.
            width: components an entry must have.
            count: entries it must have; default any.
        """
        accessor = self.item("accessors", index)
        view = self.item("bufferViews", accessor.get("bufferView"))
        entries = self._whole(accessor, "count", None)
        component = accessor.get("componentType")
        dtype = _COMPONENTS.get(component) if type(component) is int else None
        kind = accessor.get("type")
        if dtype is None or "sparse" in accessor or not isinstance(kind, str) or _WIDTHS.get(kind) != width:
            raise InputError(
                f"{self.path} has an accessor that splats do not have: {str(kind)[:20]!r} of {str(component)[:20]!r}"
            )
        if count is not None and entries != count:
            raise InputError(f"{self.path} is damaged: {entries} values for {count} splats")
        if view.get("buffer") != 0 or "uri" in self.item("buffers", 0):
            raise InputError(f"{self.path} keeps its splats outside the file, which is not followed")
        item = np.dtype(dtype).itemsize * width
        stride = self._whole(view, "byteStride", item)
        start = self._whole(view, "byteOffset", 0) + self._whole(accessor, "byteOffset", 0)
        length = self._whole(view, "byteLength", None)
        check_count(self.path, entries, length, stride if entries > 1 else item)
        end = start + stride * (entries - 1) + item
        if stride < item or end > self.size or end > self._whole(view, "byteOffset", 0) + length:
            raise InputError(f"{self.path} is damaged or cut short: an accessor ends beyond its buffer")
        raw = np.memmap(self.path, np.uint8, "r", self.offset + start, (end - start,))
        rows = np.lib.stride_tricks.as_strided(raw, (entries, item), (stride, 1)).copy()
        values = torch.from_numpy(rows.view(dtype).astype(np.float32))
        if accessor.get("normalized") is True and dtype != "<f4":
            values = (values / np.iinfo(dtype).max).clamp_min(-1)
        return values

    def splat_primitives(self) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """Splat primitives of the default scene, and the matrix that moves each into the scene."""
        scene = self.item("scenes", self.json.get("scene", 0))
        stack = [(index, np.eye(4)) for index in reversed(self._list(scene, "nodes"))]
        visited = 0
        while stack:
            index, parent = stack.pop()
            visited += 1
            if visited > _MAX_NODES:
                raise InputError(
                    f"{self.path} has more than {_MAX_NODES} nodes, or nodes that contain themselves"
                )
            node = self.item("nodes", index)
            matrix = parent @ self._matrix(node)
            stack += [(child, matrix) for child in reversed(self._list(node, "children"))]
            if "mesh" not in node:
                continue
            for primitive in self._list(self.item("meshes", node["mesh"]), "primitives"):
                visited += 1
                extensions = primitive.get("extensions") if isinstance(primitive, dict) else None
                if isinstance(extensions, dict) and NAME in extensions:
                    yield primitive, matrix

    def _matrix(self, node: dict[str, Any]) -> np.ndarray:
        """Local transform of a node, row by column."""
        if "matrix" in node:
            return np.array(self._numbers(node, "matrix", [0.0] * 16)).reshape(4, 4).T
        matrix = np.eye(4)
        if "rotation" in node:
            x, y, z, w = self._numbers(node, "rotation", [0.0] * 4)
            if x * x + y * y + z * z + w * w < 1e-12:
                raise InputError(f"{self.path} is damaged: a node has a rotation of length zero")
            matrix[:3, :3] = rotation_from_wxyz(torch.tensor([w, x, y, z], dtype=torch.float64)).numpy()
        matrix[:3, :3] *= np.array(self._numbers(node, "scale", [1.0] * 3))
        matrix[:3, 3] = self._numbers(node, "translation", [0.0] * 3)
        return matrix

    def _numbers(self, item: dict[str, Any], key: str, default: list[float]) -> list[float]:
        values = item.get(key, default)
        right = isinstance(values, list) and len(values) == len(default)
        if not right or not all(type(v) in (int, float) and abs(v) < 1e18 for v in values):
            raise InputError(f"{self.path} is damaged: {key} is not {len(default)} numbers")
        return [float(v) for v in values]

    def _whole(self, item: dict[str, Any], key: str, default: int | None) -> int:
        value = item.get(key, default)
        if type(value) is not int or not 0 <= value < 1 << 40:
            raise InputError(f"{self.path} is damaged: {key} is {str(value)[:20]!r}")
        return value

    def _list(self, item: dict[str, Any], key: str) -> list[Any]:
        value = item.get(key, [])
        if not isinstance(value, list):
            raise InputError(f"{self.path} is damaged: {key} is no list")
        return value


def open_glb(path: Path) -> Document:
    """Parse the container and its JSON.

    Raises:
        InputError: not a .glb file of glTF 2, cut short, or JSON that cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(20)
        if len(head) < 20 or head[:4] != b"glTF":
            raise InputError(f"{path} is not a .glb file: it does not begin with 'glTF'")
        version, _, length, kind = struct.unpack("<4xIII4s", head)
        if version != 2 or kind != b"JSON" or length > min(_MAX_JSON, size):
            raise InputError(f"{path} is damaged or not glTF 2: version {version}, {length} bytes of JSON")
        text = file.read(length)
        chunk = file.read(8)
    binary, kind = struct.unpack("<I4s", chunk) if len(chunk) == 8 else (0, b"BIN\0")
    if len(text) < length or kind != b"BIN\0" or (binary and 28 + length + binary > size):
        raise InputError(f"{path} is damaged or cut short: its binary chunk is not whole")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: its JSON cannot be read") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} is damaged: its JSON is no object")
    return Document(path, document, 28 + length, binary)
