"""glTF 2.0 binary (.glb) with the ratified extension KHR_gaussian_splatting.

A mesh primitive of points whose attributes are the splats: POSITION, ROTATION (xyzw), SCALE (linear), OPACITY (0..1)
and one VEC3 for each harmonic; COLOR_0 is what viewers without the extension show. y is up and lengths are metres.
Source: the Khronos specification. Drafts of it stored scales as logarithms: negative scales are read as such.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..gaussians import Gaussians, cat_gaussians
from ..spherical_harmonics import rgb_from_sh
from ..transform import transform_gaussians
from .axes import split_similarity
from .gltf_document import NAME, Document, open_glb
from .splat_file import SplatFile, Traits, allocate, byte_from_unit, check_count, chunks

TRAITS = Traits(axes="y up", unit="metre")
_SEMANTICS = {"POSITION": 3, f"{NAME}:ROTATION": 4, f"{NAME}:SCALE": 3, f"{NAME}:OPACITY": 1}
_FLOAT, _UNSIGNED_BYTE = 5126, 5121
_MAX_INSTANCES, _BYTES_PER_SPLAT = 16, 14
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


def read(path: Path) -> SplatFile:
    """Read every splat primitive of the default scene, node transforms applied, y up."""
    document = open_glb(path)
    parts, notes, count = [], [], 0
    for primitive, matrix in document.splat_primitives():
        splats, told = _read_primitive(document, primitive)
        count += len(splats)
        # Nodes may show one mesh many times over; a small file must not become a huge scene.
        check_count(path, count, document.size * _MAX_INSTANCES, _BYTES_PER_SPLAT)
        parts.append(transform_gaussians(splats, *split_similarity(path, matrix)))
        notes += told
    if not parts:
        raise InputError(f"{path} holds no splats: no primitive has the extension {NAME} (a mesh?)")
    gaussians = parts[0] if len(parts) == 1 else cat_gaussians(parts)
    return SplatFile(gaussians, metres_per_unit=1.0, notes=tuple(dict.fromkeys(notes)))


def write(path: Path, file: SplatFile) -> tuple[str, ...]:
    """Write one primitive with float attributes, each in one piece."""
    gaussians = file.gaussians
    count, columns = len(gaussians), list(_columns(gaussians))
    accessors, views, offset = [], [], 0
    for name, width, _ in columns:
        color = name == "COLOR_0"
        accessor: dict[str, Any] = {"bufferView": len(views), "count": count, "type": _TYPES[width]}
        accessor |= (
            {"componentType": _UNSIGNED_BYTE, "normalized": True} if color else {"componentType": _FLOAT}
        )
        if name == "POSITION":
            accessor |= {"min": gaussians.means.amin(0).tolist(), "max": gaussians.means.amax(0).tolist()}
        size = count * width * (1 if color else 4)
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": size, "target": 34962})
        accessors.append(accessor)
        offset += size
    text = json.dumps(_document(columns, accessors, views, offset), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    if 28 + len(text) + offset >= 1 << 32:
        raise InputError(f"{count} splats do not fit into a .glb file, whose size is limited to 4 GiB")
    with path.open("wb") as out:
        out.write(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + offset))
        out.write(struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", offset, b"BIN\0"))
        for _, _, values in columns:
            for part in chunks(count):
                out.write(values(gaussians[part]).contiguous().numpy().tobytes())
    return ("opacities of almost 0 or 1 lose precision: .glb holds them after the sigmoid",)


def _columns(gaussians: Gaussians) -> Iterator[tuple[str, int, Any]]:
    """Name, width and values (of a part of the splats) of every attribute, in file order."""

    def color(part: Gaussians) -> Tensor:
        return byte_from_unit(torch.cat([rgb_from_sh(part.sh[:, 0]), part.opacities[:, None]], dim=1))

    def rotation(part: Gaussians) -> Tensor:
        return torch.nn.functional.normalize(part.quats, dim=1)[:, [1, 2, 3, 0]]

    yield "POSITION", 3, lambda part: part.means
    yield f"{NAME}:ROTATION", 4, rotation
    yield f"{NAME}:SCALE", 3, lambda part: part.scales
    yield f"{NAME}:OPACITY", 1, lambda part: part.opacities
    for degree in range(gaussians.sh_degree + 1):
        for order in range(2 * degree + 1):
            index = degree * degree + order
            yield _harmonic(degree, order), 3, lambda part, index=index: part.sh[:, index]
    yield "COLOR_0", 4, color


def _harmonic(degree: int, order: int) -> str:
    return f"{NAME}:SH_DEGREE_{degree}_COEF_{order}"


def _document(columns: list[Any], accessors: list[Any], views: list[Any], size: int) -> dict[str, Any]:
    extension = {
        "kernel": "ellipse", "colorSpace": "srgb_rec709_display",
        "projection": "perspective", "sortingMethod": "cameraDistance",
    }  # fmt: skip
    primitive = {
        "attributes": {name: i for i, (name, _, _) in enumerate(columns)},
        "mode": 0,
        "extensions": {NAME: extension},
    }
    return {
        "asset": {"version": "2.0", "generator": "cosmorama"},
        "extensionsUsed": [NAME],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "splats"}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": size}],
    }


def _read_primitive(document: Document, primitive: dict[str, Any]) -> tuple[Gaussians, list[str]]:
    """The splats of one primitive in its own frame."""
    path, attributes = document.path, primitive.get("attributes")
    extension = primitive["extensions"][NAME]
    if not isinstance(attributes, dict) or not isinstance(extension, dict):
        raise InputError(f"{path} is damaged: a splat primitive has no attributes")
    if extension.get("extensions"):
        raise InputError(
            f"{path} holds compressed splats ({', '.join(map(str, extension['extensions']))[:80]})"
        )
    missing = [name for name in (*_SEMANTICS, _harmonic(0, 0)) if name not in attributes]
    if missing:
        raise InputError(f"{path} is damaged: its splats lack {missing[0]}")
    degree = 0
    while degree < 3 and all(_harmonic(degree + 1, order) in attributes for order in range(2 * degree + 3)):
        degree += 1
    means = document.accessor(attributes["POSITION"], 3)
    gaussians = allocate(len(means), degree)
    gaussians.means[:] = means
    gaussians.quats[:] = document.accessor(attributes[f"{NAME}:ROTATION"], 4, len(means))[:, [3, 0, 1, 2]]
    scales = document.accessor(attributes[f"{NAME}:SCALE"], 3, len(means))
    logarithmic = bool((scales < 0).any())
    gaussians.log_scales[:] = scales if logarithmic else scales.log()
    opacities = document.accessor(attributes[f"{NAME}:OPACITY"], 1, len(means))[:, 0]
    gaussians.opacity_logits[:] = torch.logit(opacities.double().clamp(1e-6, 1 - 1e-6)).float()
    for band in range(degree + 1):
        for order in range(2 * band + 1):
            index = attributes[_harmonic(band, order)]
            gaussians.sh[:, band * band + order] = document.accessor(index, 3, len(means))
    notes = ["scales are negative: read as logarithms, as in drafts of the extension"] if logarithmic else []
    if extension.get("colorSpace") not in (None, "srgb_rec709_display"):
        notes.append(f"the colour space {str(extension['colorSpace'])[:40]!r} was taken for sRGB")
    return gaussians, notes
