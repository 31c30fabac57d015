"""Catalogue models as compact arrays, parsed and thinned once and then kept in the cache.

A model's triangles are limited by its size (`triangle_budget`) and by the size of the pictures (`detail`): software
rasterisers are bound by them. Window panes are left out, so that depth there is the depth of what is seen through them.
"""

from __future__ import annotations

import io
import json
import logging
import os
import posixpath
import zipfile
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from ..cache import cache_dir
from .catalogue import CatalogueItem
from .model import Material, Model, merge_models, srgb_to_linear
from .obj import ObjMesh, read_mtl, read_obj
from .thinning import coarser, components, crease_normals, edge_limit, indexed, split_long_edges, thinned

logger = logging.getLogger(__name__)

VERSION = 7
TEXTURE_SIZE = 256


def model_folder() -> Path:
    """Where parsed models are kept; made when the first is written."""
    return cache_dir() / "world" / f"models-{VERSION}"


@lru_cache(maxsize=2048)
def load_model(item: CatalogueItem, detail: float = 1.0) -> Model:
    """The catalogue's model in metres: x right, y back, z up, standing on z = 0, centred on its footprint.

    Args:
        item: which.
        detail: share of the triangle budget to use.
    """
    with safe_open(_model_file(item, detail), framework="numpy") as stored:
        return Model(
            positions=stored.get_tensor("positions"),
            normals=stored.get_tensor("normals").astype(np.float32) / 127.0,
            uvs=stored.get_tensor("uvs"),
            vertex_material=stored.get_tensor("vertex_material"),
            faces=stored.get_tensor("faces"),
            materials=tuple(
                Material(**{**m, "color": tuple(m["color"])})
                for m in json.loads(stored.metadata()["materials"])
            ),
        )


def triangle_count(item: CatalogueItem) -> int:
    """Of the model at full detail; reads no more than the header of its file."""
    with safe_open(_model_file(item, 1.0), framework="numpy") as stored:
        return stored.get_slice("faces").get_shape()[0]


def load_model_texture(key: str) -> np.ndarray:
    """uint8 [H, W, 4] of a texture key ``model:archive-number:index``."""
    _, name, index = key.split(":")
    with safe_open(model_folder() / f"{name}.safetensors", framework="numpy") as stored:
        return stored.get_tensor(f"texture_{index}")


def _model_file(item: CatalogueItem, detail: float) -> Path:
    """The parsed model's file; made now if it is not there."""
    suffix = "" if detail == 1.0 else f"-{detail:g}"
    path = model_folder() / (item.key.replace("/", "-") + f"{suffix}.safetensors")
    if not path.exists():
        if detail == 1.0:
            _save(path, *_build(item))
        else:
            _save(path, coarser(load_model(item), detail, triangle_budget(item)), [])
    return path


def _save(path: Path, model: Model, textures: list[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"texture_{i}": t for i, t in enumerate(textures)} | {
        "positions": model.positions,
        "normals": np.round(model.normals * 127).astype(np.int8),
        "uvs": model.uvs,
        "vertex_material": model.vertex_material,
        "faces": model.faces,
    }
    materials = json.dumps([asdict(m) for m in model.materials])
    scratch = path.with_name(f".{path.stem}-{os.getpid()}.part")
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, scratch, {"materials": materials})
    scratch.replace(path)


def triangle_budget(item: CatalogueItem) -> int:
    """How many triangles a model of this size may keep."""
    largest = max(item.size)
    if item.category == "Characters":
        return 6000
    return int(np.clip(1200 + 2600 * largest, 900, 7000))


def _build(item: CatalogueItem) -> tuple[Model, list[np.ndarray]]:
    """Read, place, thin and texture one model."""
    name = item.key.replace("/", "-")
    with zipfile.ZipFile(item.archive) as archive:
        mesh = read_obj(archive.read(item.model))
        statements = _read_libraries(archive, item.model, mesh.libraries)
        materials, textures = _materials(archive, item, mesh, statements, name)
    mesh = one_sided(mesh)
    keep = np.array([m is not None for m in materials])[mesh.face_material]
    keep = keep if keep.any() else np.ones_like(keep)
    positions = _to_metres(mesh.positions, mesh.corners[:, :, 0], item)
    parts = []
    limit = edge_limit(positions[mesh.corners[keep][:, :, 0]])
    budget = triangle_budget(item)
    total = int(keep.sum())
    for index, material in enumerate(materials):
        chosen = keep & (mesh.face_material == index)
        if not chosen.any():
            continue
        share = max(60, int(budget * chosen.sum() / total))
        parts.append(_part(mesh, positions, chosen, material or Material(), share, limit))
    return merge_models(parts), textures


def _read_libraries(archive: zipfile.ZipFile, model: str, libraries: list[str]) -> dict[str, dict[str, str]]:
    names = set(archive.namelist())
    statements: dict[str, dict[str, str]] = {}
    for library in libraries:
        path = posixpath.join(posixpath.dirname(model), library)
        if path in names:
            statements |= read_mtl(archive.read(path).decode("utf-8", "replace"))
    return statements


def _materials(
    archive: zipfile.ZipFile,
    item: CatalogueItem,
    mesh: ObjMesh,
    statements: dict[str, dict[str, str]],
    name: str,
) -> tuple[list[Material | None], list[np.ndarray]]:
    """Materials in the mesh's order (None for glass panes to leave out) and the textures they use."""
    textures: list[np.ndarray] = []
    known: dict[str, int] = {}
    names = set(archive.namelist())
    materials: list[Material | None] = []
    for material_name in mesh.material_names:
        entry = statements.get(material_name, {})
        opacity = _float(entry.get("d", "1"), 1.0)
        if (opacity < 0.7 and item.door_or_window) or opacity < 0.15:
            materials.append(None)
            continue
        color = [_float(v, 0.7) for v in entry.get("kd", "0.7 0.7 0.7").split()[:3]]
        texture, cutout = None, False
        if "map_kd" in entry:
            path = posixpath.normpath(
                posixpath.join(posixpath.dirname(item.model), entry["map_kd"].split()[-1])
            )
            if path in names:
                if path not in known:
                    known[path] = len(textures)
                    textures.append(_read_texture(archive.read(path)))
                texture = f"model:{name}:{known[path]}"
                cutout = bool((textures[known[path]][..., 3] < 128).mean() > 0.01)
                color = [0.95, 0.95, 0.95]
        specular = float(np.mean([_float(v, 0.0) for v in entry.get("ks", "0 0 0").split()[:3]]))
        shininess = _float(entry.get("ns", "10"), 10.0)
        gloss = float(np.clip(specular * (0.3 + min(shininess, 200) / 200), 0.03, 0.9))
        linear = tuple(float(c) for c in np.clip(srgb_to_linear(tuple(color)), 0.005, 0.9))
        materials.append(Material(color=linear, texture=texture, gloss=gloss, cutout=cutout))  # pyright: ignore[reportArgumentType]
    return materials, textures


def _float(text: str, default: float) -> float:
    try:
        return float(text)
    except ValueError:
        return default


def _read_texture(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    width = min(TEXTURE_SIZE, 1 << max(2, round(np.log2(image.width))))
    height = min(TEXTURE_SIZE, 1 << max(2, round(np.log2(image.height))))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _to_metres(positions: np.ndarray, used: np.ndarray, item: CatalogueItem) -> np.ndarray:
    """Apply the catalogue's rotation and size; z up, facing -y, standing on z = 0."""
    if item.rotation is not None:
        positions = positions @ np.array(item.rotation).reshape(3, 3).T
    points = np.stack([positions[:, 0], -positions[:, 2], positions[:, 1]], axis=1)
    referenced = points[np.unique(used)]
    low, high = referenced.min(axis=0), referenced.max(axis=0)
    scale = np.array(item.size) / np.maximum(high - low, 1e-6)
    centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return (points - centre) * scale


def one_sided(mesh: ObjMesh) -> ObjMesh:
    """The mesh without the faces that repeat another, which many have turned round so as to be seen from both sides.

    Drawn, the two fight over the same pixels, one lit from outside and one from inside. The first of them stays; pieces
    that had such faces are turned so that they enclose a positive volume.
    """
    extent = np.ptp(mesh.positions, axis=0).max() if len(mesh.positions) else 1.0
    places = np.round(mesh.positions / max(extent, 1e-9) * 1e5)
    _, welded = np.unique(places, axis=0, return_inverse=True)
    faces = welded.reshape(-1)[mesh.corners[:, :, 0]].astype(np.int32)
    _, first, group, count = np.unique(
        np.sort(faces, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    if (count == 1).all():
        return mesh
    kept = np.sort(first)
    doubled = (count > 1)[group.reshape(-1)][kept]
    labels = components(faces[kept], int(faces.max()) + 1)[faces[kept][:, 0]]
    points = mesh.positions[mesh.corners[kept][:, :, 0]]
    sizes = np.maximum(np.bincount(labels), 1)
    middles = (
        np.stack([np.bincount(labels, points.mean(axis=1)[:, i]) for i in range(3)], axis=-1) / sizes[:, None]
    )
    a, b, c = np.moveaxis(points - middles[labels][:, None], 1, 0)
    volume = np.bincount(labels, (a * np.cross(b, c)).sum(axis=-1))
    turned = (volume < 0) & (np.bincount(labels, doubled) > 0)
    corners = mesh.corners[kept]
    corners = np.where(turned[labels][:, None, None], corners[:, ::-1], corners)
    return replace(mesh, corners=corners, face_material=mesh.face_material[kept])


def _part(
    mesh: ObjMesh, positions: np.ndarray, chosen: np.ndarray, material: Material, budget: int, limit: float
) -> Model:
    """One material's triangles as a model, thinned to about ``budget`` triangles, long edges cut."""
    corners = mesh.corners[chosen]
    points = positions[corners[:, :, 0]]
    normal_index, uv_index = corners[:, :, 2], corners[:, :, 1]
    flat = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    uvs = mesh.uvs[np.clip(uv_index, 0, None)] if len(mesh.uvs) else np.zeros((*uv_index.shape, 2))
    uvs = np.stack([uvs[..., 0], 1 - uvs[..., 1]], axis=-1)  # image rows run downwards
    if len(corners) > budget * 1.25:
        points, uvs = thinned(points, uvs, budget, material)
        normals = crease_normals(points)
    elif len(mesh.normals) and (normal_index >= 0).all():
        normals = mesh.normals[normal_index]
        normals = np.stack([normals[..., 0], -normals[..., 2], normals[..., 1]], axis=-1)
        wrong = (normals * flat[:, None]).sum(-1) < 0
        normals = np.where(wrong.all(axis=1)[:, None, None], -normals, normals)
    else:
        normals = crease_normals(points)
    points, normals, uvs = split_long_edges(points, normals, uvs, limit)
    return indexed(points, normals, uvs, material)
