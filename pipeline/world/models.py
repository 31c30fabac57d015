"""Catalogue models as compact arrays, parsed and thinned once and then kept in the cache.

A model's triangles are limited by its size (`triangle_budget`) and by the size of the pictures (`detail`): software
rasterisers are bound by vertices. Closed
surfaces are thinned by quadric edge collapse (fast-simplification), foliage by keeping some of its leaves and
making them larger. Window panes are left out, so that depth there is the depth of what is seen through them.
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
from .model import Material, Model, box_uvs, merge_models, srgb_to_linear
from .obj import ObjMesh, read_mtl, read_obj

logger = logging.getLogger(__name__)

VERSION = 6
TEXTURE_SIZE = 256
LONGEST_EDGE = 0.45
"""Metres; longer edges are split, because indirect light is kept at the vertices."""


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
    coarser = "" if detail == 1.0 else f"-{detail:g}"
    path = model_folder() / (item.key.replace("/", "-") + f"{coarser}.safetensors")
    if not path.exists():
        model, textures = _build(item, detail)
        _save(path, model, textures if detail == 1.0 else [])
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


def _build(item: CatalogueItem, detail: float) -> tuple[Model, list[np.ndarray]]:
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
    limit = _edge_limit(positions[mesh.corners[keep][:, :, 0]])
    budget = int(detail * triangle_budget(item))
    total = int(keep.sum())
    for index, material in enumerate(materials):
        chosen = keep & (mesh.face_material == index)
        if not chosen.any():
            continue
        share = max(int(60 * detail), int(budget * chosen.sum() / total))
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
    labels = _components(faces[kept], int(faces.max()) + 1)[faces[kept][:, 0]]
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
        points, uvs = _thinned(points, uvs, budget, material)
        normals = _crease_normals(points)
    elif len(mesh.normals) and (normal_index >= 0).all():
        normals = mesh.normals[normal_index]
        normals = np.stack([normals[..., 0], -normals[..., 2], normals[..., 1]], axis=-1)
        wrong = (normals * flat[:, None]).sum(-1) < 0
        normals = np.where(wrong.all(axis=1)[:, None, None], -normals, normals)
    else:
        normals = _crease_normals(points)
    points, normals, uvs = _split_long_edges(points, normals, uvs, limit)
    return _indexed(points, normals, uvs, material)


def _thinned(
    points: np.ndarray, uvs: np.ndarray, budget: int, material: Material
) -> tuple[np.ndarray, np.ndarray]:
    """About ``budget`` triangles instead of many: corner positions [T, 3, 3] and uvs [T, 3, 2]."""
    import fast_simplification
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    vertices, inverse = np.unique(np.round(points.reshape(-1, 3), 5), axis=0, return_inverse=True)
    faces = inverse.reshape(-1, 3).astype(np.int32)
    labels = _components(faces, len(vertices))
    component_count = int(labels.max()) + 1
    if component_count > budget / 4:
        return _fewer_pieces(points, uvs, labels[faces[:, 0]], component_count, budget)
    thin, thin_faces = fast_simplification.simplify(vertices, faces, target_count=budget)[:2]  # pyright: ignore[reportArgumentType]
    if material.texture is None:
        return thin[thin_faces], np.zeros((len(thin_faces), 3, 2))
    flat_uvs = uvs.reshape(-1, 2)
    centres = points.mean(axis=1)
    _, nearest_face = cKDTree(centres).query(thin[thin_faces].mean(axis=1))
    _, nearest = cKDTree(points.reshape(-1, 3)).query(thin)
    thin_uvs = flat_uvs[nearest][thin_faces]
    stretched = np.ptp(thin_uvs, axis=1).max(axis=1) > 0.4
    thin_uvs[stretched] = uvs[nearest_face[stretched]]
    return thin[thin_faces], thin_uvs


def _components(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows = np.concatenate([faces[:, 0], faces[:, 1]])
    cols = np.concatenate([faces[:, 1], faces[:, 2]])
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, cols)), shape=(vertex_count, vertex_count))
    return connected_components(graph, directed=False)[1]


def _fewer_pieces(
    points: np.ndarray, uvs: np.ndarray, piece: np.ndarray, count: int, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keep a random share of the separate pieces (leaves), enlarged about their centres to cover as much."""
    share = budget / len(points)
    kept = np.random.default_rng(0).random(count) < share
    sizes = np.bincount(piece, minlength=count)
    kept |= sizes > 0.05 * len(points)
    chosen = kept[piece]
    points, uvs, piece = points[chosen], uvs[chosen], piece[chosen]
    sums = np.zeros((count, 3))
    np.add.at(sums, piece, points.mean(axis=1))
    centres = (sums / np.maximum(np.bincount(piece, minlength=count), 1)[:, None])[piece][:, None]
    grow = np.where(sizes[piece] > 0.05 * len(uvs), 1.0, min(share**-0.5, 3.0))[:, None, None]
    return centres + (points - centres) * grow, uvs


def _crease_normals(points: np.ndarray, crease_deg: float = 40.0) -> np.ndarray:
    """Smooth corner normals [T, 3, 3] that keep edges sharper than the crease angle."""
    cross = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    flat = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-12)
    _, inverse = np.unique(np.round(points.reshape(-1, 3), 5), axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    sums = np.zeros((inverse.max() + 1, 3))
    np.add.at(sums, inverse, np.repeat(cross, 3, axis=0))
    smooth = sums[inverse].reshape(-1, 3, 3)
    smooth /= np.maximum(np.linalg.norm(smooth, axis=-1, keepdims=True), 1e-12)
    close = (smooth * flat[:, None]).sum(-1) > np.cos(np.radians(crease_deg))
    return np.where(close[..., None], smooth, flat[:, None])


def _edge_limit(points: np.ndarray) -> float:
    """Longest edge to leave whole: `LONGEST_EDGE`, or more where splitting would add over 40 % triangles."""
    longest = np.linalg.norm(points - np.roll(points, -1, axis=1), axis=-1).max(axis=1)
    allowed = max(300, int(1.4 * len(points)))
    limit = LONGEST_EDGE
    while np.maximum(1.0, (longest / limit) ** 1.5).sum() > allowed and limit < longest.max():
        limit *= 1.25
    return limit


def _split_long_edges(
    points: np.ndarray, normals: np.ndarray, uvs: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halve every edge longer than ``limit``, up to 5 times.

    Whether an edge is cut depends on its ends alone, so neighbours agree and no cracks open.
    """
    arrays = (points, normals, uvs)
    for _ in range(5):
        long = (
            np.linalg.norm(arrays[0] - np.roll(arrays[0], -1, axis=1), axis=-1) > limit
        )  # edge i joins i, i + 1
        if not long.any():
            break
        count = long.sum(axis=1)
        pieces: list[list[np.ndarray]] = [[array[count == 0]] for array in arrays]
        for number in (1, 2, 3):
            rows = np.flatnonzero(count == number)
            # turn corners so that the cut edges come first (one: edge 0; two: edges 0 and 1)
            first = long[rows].argmax(axis=1) if number == 1 else (long[rows].argmin(axis=1) + 1) % 3
            order = (first[:, None] + np.arange(3)) % 3
            for kept, array in zip(pieces, arrays):
                a, b, c = np.moveaxis(array[rows[:, None], order], 1, 0)
                ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
                patterns = {
                    1: [(a, ab, c), (ab, b, c)],
                    2: [(ab, b, bc), (a, ab, bc), (a, bc, c)],
                    3: [(a, ab, ca), (ab, b, bc), (bc, c, ca), (ab, bc, ca)],
                }
                kept.extend(np.stack(corners, axis=1) for corners in patterns[number])
        arrays = tuple(np.concatenate(kept) for kept in pieces)
    points, normals, uvs = arrays
    return points, normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12), uvs


def _indexed(points: np.ndarray, normals: np.ndarray, uvs: np.ndarray, material: Material) -> Model:
    """Weld equal corners."""
    positions = points.reshape(-1, 3).astype(np.float32)
    normals = normals.reshape(-1, 3).astype(np.float32)
    flat_uvs = uvs.reshape(-1, 2).astype(np.float32)
    if material.texture is None:
        flat_uvs = box_uvs(positions, normals)
    rows = np.concatenate([np.round(positions, 5), np.round(normals, 2), np.round(flat_uvs, 4)], axis=1) + 0.0
    packed = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))
    _, first, inverse = np.unique(packed.reshape(-1), return_index=True, return_inverse=True)
    return Model(
        positions=positions[first],
        normals=normals[first],
        uvs=flat_uvs[first],
        vertex_material=np.zeros(len(first), np.int16),
        faces=inverse.reshape(-1, 3).astype(np.int32),
        materials=(material,),
    )
