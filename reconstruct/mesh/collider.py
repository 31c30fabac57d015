"""Convex bodies around a mesh, for physics engines, which want few and simple ones.

One hull, or several: the surface is cut in two where its hull is worst, again and again. A captured surface is open
(nobody saw the inside of the wall), so volumes as V-HACD compares them do not exist; how deep the surface lies inside
its hull does. Source for cutting the worst part first: Mamou and Ghorbel, Approximate Convex Decomposition (2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .mesh import Mesh, mesh_from_open3d, tensor_from_numpy, vertex_normals

THINNEST = 0.002
"""Flat parts are made this thick, relative to the size of the mesh: a hull needs a volume."""
_MOST_POINTS = 20_000
_CUTS = 3
"""Places to cut that are tried along each axis."""


@dataclass(frozen=True)
class _Part:
    corners: Float[np.ndarray, "f 3 3"]
    hull: Mesh
    depth: float
    """How far the surface lies inside the hull at most."""


def convex_hull(mesh: Mesh) -> Mesh:
    """The smallest convex body around all of it."""
    return _hull(mesh.vertices[np.unique(mesh.faces)], THINNEST * _size(mesh.vertices))


def convex_parts(mesh: Mesh, count: int = 24, *, tolerance: float = 0.02) -> list[Mesh]:
    """Convex bodies that together hold the surface.

    Args:
        mesh: any; its volume need not be closed.
        count: at most so many.
        tolerance: parts whose surface lies nowhere deeper inside their hull than this are left whole, relative to
            the size of the mesh.
    """
    size = _size(mesh.vertices)
    parts = [_part(mesh.corners, size)]
    done: list[_Part] = []
    while parts and len(parts) + len(done) < count:
        parts.sort(key=lambda part: part.depth)
        worst = parts.pop()
        halves = _cut(worst, size) if worst.depth > tolerance * size else None
        if halves is None:
            done.append(worst)
        else:
            parts += halves
    return [part.hull for part in (*done, *parts)]


def _part(corners: Float[np.ndarray, "f 3 3"], size: float) -> _Part:
    points = corners.reshape(-1, 3)
    points = points[:: max(1, len(points) // _MOST_POINTS)]
    hull = _hull(corners.reshape(-1, 3), THINNEST * size)
    planes, first = hull.face_normals, hull.corners[:, 0]
    inside = np.full(len(points), np.inf)
    for normal, on in zip(planes, first):
        inside = np.minimum(inside, (on - points) @ normal)
    return _Part(corners, hull, float(inside.max(initial=0.0)))


def _cut(part: _Part, size: float) -> list[_Part] | None:
    """The two halves whose worse one is best, among a few planes across the axes."""
    middle = part.corners.mean(1)
    best: list[_Part] | None = None
    for axis in range(3):
        low, high = middle[:, axis].min(), middle[:, axis].max()
        for step in range(1, _CUTS + 1):
            left = middle[:, axis] < low + (high - low) * step / (_CUTS + 1)
            if not left.any() or left.all():
                continue
            halves = [_part(part.corners[left], size), _part(part.corners[~left], size)]
            if best is None or sum(h.depth for h in halves) < sum(h.depth for h in best):
                best = halves
    return best


def _hull(points: Float[np.ndarray, "n 3"], thinnest: float) -> Mesh:
    """By open3d (Qhull), of points that are first given some thickness."""
    import open3d as o3d

    corners = np.array([[-1, -1, -1], [1, -1, 1], [-1, 1, 1], [1, 1, -1]]) * (0.5 * thinnest)
    outer = _outermost(np.asarray(points, np.float32))
    thick = (outer[:, None] + corners).reshape(-1, 3).astype(np.float32)
    made = o3d.t.geometry.PointCloud(tensor_from_numpy(thick)).compute_convex_hull()
    hull = mesh_from_open3d(made)
    outward = ((hull.corners.mean(1) - hull.vertices.mean(0)) * hull.face_normals).sum(1) > 0
    faces = np.where(outward[:, None], hull.faces, hull.faces[:, ::-1]).astype(np.int32)
    used, index = np.unique(faces, return_inverse=True)
    hull = Mesh(hull.vertices[used], index.reshape(-1, 3).astype(np.int32))
    return Mesh(hull.vertices, hull.faces, vertex_normals(hull))


def _outermost(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "m 3"]:
    """The farthest point in each of 200 directions: engines limit a body to a few hundred vertices."""
    index = np.arange(200) + 0.5
    height, turn = 1 - index / 100, index * np.pi * (1 + 5**0.5)
    across = np.sqrt(1 - height**2)
    ways = np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)
    ways = np.concatenate([ways, np.eye(3), -np.eye(3)]).astype(np.float32)
    return points[np.unique((points @ ways.T).argmax(0))]


def _size(vertices: Float[np.ndarray, "v 3"]) -> float:
    return float(np.linalg.norm(np.ptp(vertices, axis=0)))
