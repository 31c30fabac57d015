"""What fused surfaces need before they are used: no loose parts, no small holes, fewer triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from .mesh import Mesh, kept_faces


def without_small_parts(mesh: Mesh, *, share: float = 0.005) -> Mesh:
    """The connected parts whose area is at least this share of the largest part's."""
    if not len(mesh.faces):
        return mesh
    part = connected_parts(mesh.faces, len(mesh.vertices))
    area = np.bincount(part, mesh.areas, part.max() + 1)
    return kept_faces(mesh, (area >= share * area.max())[part])


def connected_parts(faces: Int[np.ndarray, "f 3"], vertices: int) -> Int[np.ndarray, "f"]:
    """A number for each face: equal for faces that are connected through shared vertices."""
    roots = _roots(np.ascontiguousarray(faces, dtype=np.int64), vertices)
    return np.unique(roots[faces[:, 0]], return_inverse=True)[1]


@njit(cache=True)
def _roots(faces: np.ndarray, vertices: int) -> np.ndarray:
    """Union-find: the smallest vertex of each vertex's part."""
    parent = np.arange(vertices)
    for face in faces:
        a = face[0]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        for corner in (face[1], face[2]):
            b = corner
            while parent[b] != b:
                parent[b] = parent[parent[b]]
                b = parent[b]
            low, high = min(a, b), max(a, b)
            parent[high] = low
            a = low
    for v in range(vertices):
        parent[v] = parent[parent[v]]
    return parent


def fill_holes(mesh: Mesh, longest: float) -> Mesh:
    """Close the holes whose rims are no longer than ``longest`` by fans around their middles.

    Args:
        mesh: manifold, with vertices and faces only.
        longest: length of a rim, scene units.
    """
    vertices, faces, added = [mesh.vertices], [mesh.faces], len(mesh.vertices)
    for rim in rims(mesh.faces):
        points = mesh.vertices[rim]
        if np.linalg.norm(points - np.roll(points, -1, axis=0), axis=1).sum() > longest:
            continue
        if len(rim) == 3:
            faces.append(rim[None, ::-1])
            continue
        vertices.append(points.mean(0, keepdims=True))
        faces.append(np.stack([np.roll(rim, -1), rim, np.full_like(rim, added)], axis=1))
        added += 1
    return Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32))


def rims(faces: Int[np.ndarray, "f 3"]) -> list[Int[np.ndarray, "k"]]:
    """The closed loops of edges that have a face on one side only, in the direction of those faces."""
    starts, ends = faces.reshape(-1).astype(np.int64), np.roll(faces, -1, axis=1).reshape(-1).astype(np.int64)
    n = int(faces.max(initial=0)) + 1
    open_edge = ~np.isin(starts * n + ends, ends * n + starts)
    following = dict(zip(starts[open_edge].tolist(), ends[open_edge].tolist()))
    loops = []
    while following:
        first, at = following.popitem()
        loop = [first]
        while at != first and at in following:
            loop.append(at)
            at = following.pop(at)
        if at == first and len(loop) > 2:
            loops.append(np.array(loop, np.int32))
    return loops


def simplified(mesh: Mesh, faces: int) -> Mesh:
    """At most so many faces, by quadric error (Garland and Heckbert, 1997; the library fast-simplification)."""
    if len(mesh.faces) <= faces:
        return mesh
    import fast_simplification

    simplify: Any = fast_simplification.simplify
    vertices, triangles = simplify(mesh.vertices, mesh.faces, target_count=faces, agg=5)
    return manifold(Mesh(np.asarray(vertices, np.float32), np.asarray(triangles, np.int32)))


def smoothed(mesh: Mesh, rounds: int) -> Mesh:
    """Each round moves vertices half way to their neighbours' mean and most of the way back (Taubin, 1995)."""
    vertices = mesh.vertices.astype(np.float64)
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    count = np.maximum(np.bincount(ends[:, 0], minlength=len(vertices)), 1)[:, None]
    for step in (0.5, -0.53) * rounds:
        total = np.stack(
            [np.bincount(ends[:, 0], vertices[ends[:, 1], k], len(vertices)) for k in range(3)], 1
        )
        vertices += step * (total / count - vertices) * (count > 1)
    return Mesh(vertices.astype(np.float32), mesh.faces)


def manifold(mesh: Mesh) -> Mesh:
    """Without double faces, faces that are lines, edges of more than two faces, and vertices where sheets touch.

    Of an edge's superfluous faces the last are dropped; a vertex where sheets touch becomes one for each sheet.
    """
    faces = mesh.faces
    proper = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces[proper]
    unique = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)[1]
    faces = faces[np.sort(unique)]
    while True:
        keep = _edges_used_once_each_way(faces)
        if keep.all():
            break
        faces = faces[keep]
    vertices, faces = _split_touching(mesh.vertices, faces)
    return kept_faces(Mesh(vertices, faces), np.ones(len(faces), bool))


def _edges_used_once_each_way(faces: Int[np.ndarray, "f 3"]) -> Bool[np.ndarray, "f"]:
    """Which faces are the first to use each of their directed edges."""
    starts, ends = faces.reshape(-1).astype(np.int64), np.roll(faces, -1, axis=1).reshape(-1)
    key = starts * (int(faces.max(initial=0)) + 1) + ends
    first = np.zeros(len(key), bool)
    first[np.unique(key, return_index=True)[1]] = True
    return np.asarray(first.reshape(-1, 3).all(1))


def _split_touching(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "f 3"]]:
    """One vertex for each fan of faces: corners are the same vertex only if edges connect their faces."""
    index = np.arange(3 * len(faces)).reshape(-1, 3)
    starts, ends = faces.reshape(-1).astype(np.int64), np.roll(faces, -1, axis=1).reshape(-1).astype(np.int64)
    n = len(vertices) + 1
    forward, backward = starts * n + ends, ends * n + starts
    order = np.argsort(forward)
    found = np.searchsorted(forward[order], backward).clip(max=max(len(forward) - 1, 0))
    other = order[found] if len(order) else found
    paired = forward[other] == backward if len(order) else np.zeros(0, bool)
    start_corner, end_corner = index.reshape(-1), np.roll(index, -1, axis=1).reshape(-1)
    # an edge a->b of one face is b->a of the other: its first corner is the other's second
    links = np.concatenate(
        [
            np.stack([start_corner[paired], end_corner[other[paired]]], 1),
            np.stack([end_corner[paired], start_corner[other[paired]]], 1),
        ]
    )
    triples = np.concatenate([links, links[:, 1:]], axis=1)
    roots, corner = np.unique(_roots(triples.astype(np.int64), 3 * len(faces)), return_inverse=True)
    return vertices[faces.reshape(-1)[roots]], corner.reshape(-1, 3).astype(np.int32)
