"""Fewer triangles for models: at full detail as many as a model of that size may have, a share of those for small pictures.

Surfaces are thinned by quadric edge collapse (fast-simplification), foliage by keeping some of its leaves and making them
larger.
"""

from __future__ import annotations

import numpy as np

from .model import Material, Model, box_uvs, merge_models

LONGEST_EDGE = 0.45
"""Metres; longer edges are split, because indirect light is kept at the vertices."""
SMALLEST_WELD, WELD = 0.004, 0.0055
"""Shares of a surface's extent, see ``weld`` of ``thinned``: the first tried, and the last at half of the triangles."""
LEAF_TRIANGLES = 20
"""In coarser models, pieces of more triangles than this on average are surfaces (bolts, slats, pages), not leaves."""


def coarser(model: Model, detail: float, most: int) -> Model:
    """The model in fewer triangles, with the same materials.

    Args:
        model: at full detail.
        detail: share of its triangles to keep, in 0..1; what is flat and long keeps more.
        most: triangles that it should have at full detail.
    """
    share = detail * min(1.0, most / len(model.faces))
    parts = []
    for first, count, number in model.runs:
        corners = model.faces[first : first + count]
        points, normals, uvs = (
            model.positions[corners].astype(np.float64),
            model.normals[corners],
            model.uvs[corners],
        )
        budget = max(int(60 * detail), int(share * count))
        if count > 1.25 * budget:
            fewer, fewer_uvs = thinned(
                points, uvs, budget, model.materials[number], weld=WELD * (1 / detail - 1)
            )
            if len(fewer):
                points, normals, uvs = fewer, crease_normals(fewer), fewer_uvs
        parts.append((points, normals, uvs))
    limit = edge_limit(np.concatenate([points for points, _, _ in parts]))
    materials = [model.materials[number] for _, _, number in model.runs]
    pieces = [
        indexed(*split_long_edges(points, normals, uvs, limit), material)
        for (points, normals, uvs), material in zip(parts, materials, strict=True)
    ]
    return merge_models(pieces)


def thinned(
    points: np.ndarray, uvs: np.ndarray, budget: int, material: Material, *, weld: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """About ``budget`` triangles instead of many: corner positions [T, 3, 3] and uvs [T, 3, 2].

    Args:
        points, uvs: corners [T, 3, 3] and their texture coordinates [T, 3, 2].
        budget: triangles wanted.
        material: with a texture, coordinates are kept.
        weld: share of the extent; vertices up to this close are welded where edges that do not close hold the collapse
            up. 0: none are, and many pieces of any size are taken for leaves.
    """
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    vertices, inverse = np.unique(np.round(points.reshape(-1, 3), 5), axis=0, return_inverse=True)
    faces = inverse.reshape(-1, 3).astype(np.int32)
    labels = components(faces, len(vertices))
    component_count = int(labels.max()) + 1
    if component_count > budget / 4 and (weld == 0 or len(faces) <= LEAF_TRIANGLES * component_count):
        return _fewer_pieces(points, uvs, labels[faces[:, 0]], component_count, budget)
    thin, thin_faces = _collapsed(vertices, faces, budget)
    cell = SMALLEST_WELD
    while cell <= weld and len(thin_faces) > 1.5 * budget:
        thin, thin_faces = _collapsed(
            *_welded(vertices, faces, cell * np.ptp(vertices, axis=0).max()), budget
        )
        cell *= 2
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


def _collapsed(vertices: np.ndarray, faces: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Quadric edge collapse."""
    import fast_simplification

    if len(faces) <= budget:
        return vertices, faces
    return fast_simplification.simplify(vertices, faces, target_count=budget)[:2]  # pyright: ignore[reportReturnType, reportArgumentType]


def _welded(vertices: np.ndarray, faces: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """One vertex for all in a cell of a grid, without the triangles that vanish or double (vertex clustering)."""
    _, inverse = np.unique(np.round(vertices / cell), axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    count = np.bincount(inverse)[:, None]
    means = np.stack([np.bincount(inverse, vertices[:, axis]) for axis in range(3)], axis=1) / count
    faces = inverse[faces].astype(np.int32)
    order = np.sort(faces, axis=1)
    distinct = (order[:, 0] < order[:, 1]) & (order[:, 1] < order[:, 2])
    _, first = np.unique(order[distinct], axis=0, return_index=True)
    return means, faces[distinct][np.sort(first)]


def components(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    """int [V]: which connected piece each vertex belongs to, of faces [T, 3]."""
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


def crease_normals(points: np.ndarray, crease_deg: float = 40.0) -> np.ndarray:
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


def edge_limit(points: np.ndarray) -> float:
    """Longest edge to leave whole: `LONGEST_EDGE`, or more where splitting would add over 40 % triangles."""
    longest = np.linalg.norm(points - np.roll(points, -1, axis=1), axis=-1).max(axis=1)
    allowed = max(300, int(1.4 * len(points)))
    limit = LONGEST_EDGE
    while np.maximum(1.0, (longest / limit) ** 1.5).sum() > allowed and limit < longest.max():
        limit *= 1.25
    return limit


def split_long_edges(
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


def indexed(points: np.ndarray, normals: np.ndarray, uvs: np.ndarray, material: Material) -> Model:
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
