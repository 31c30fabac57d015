"""Textured triangle models, the one currency of the synthetic world.

Everything in a scene (a catalogue sofa, a wall with its windows, the ground) is a `Model` placed by a rigid transform.
Axes: x right, y to the back, z up, metres; the origin is under the middle of the footprint and a piece of furniture
faces -y. Colours are linear RGB.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cached_property

import numba
import numpy as np


@dataclass(frozen=True)
class Material:
    """How a group of faces answers to light."""

    color: tuple[float, float, float] = (0.6, 0.6, 0.6)
    """Linear albedo; multiplies the texture."""
    texture: str | None = None
    """Key in the texture bank, see `textures.load_texture`."""
    gloss: float = 0.1
    """0 matt .. 1 polished: strength and sharpness of reflections."""
    metal: float = 0.0
    """1: reflections take the albedo's colour and the diffuse part vanishes."""
    emission: float = 0.0
    """Emitted radiance in units of the albedo."""
    cutout: bool = False
    """The texture's alpha channel cuts holes (leaves)."""
    metres_per_tile: float = 0.0
    """When positive, texture coordinates are in metres and one tile of the texture covers this many."""


@dataclass(frozen=True)
class Model:
    """A triangle mesh whose faces are grouped by material."""

    positions: np.ndarray
    """float32 [V, 3], metres."""
    normals: np.ndarray
    """float32 [V, 3], unit length."""
    uvs: np.ndarray
    """float32 [V, 2]; metres for materials without a texture of their own."""
    vertex_material: np.ndarray
    """int16 [V]."""
    faces: np.ndarray
    """int32 [T, 3], sorted by material."""
    materials: tuple[Material, ...]

    @property
    def size(self) -> np.ndarray:
        """Width, depth, height in metres."""
        return self.bounds[1] - self.bounds[0]

    @property
    def face_material(self) -> np.ndarray:
        """int16 [T], material of every face."""
        return self.vertex_material[self.faces[:, 0]]

    @cached_property
    def runs(self) -> tuple[tuple[int, int, int], ...]:
        """(first face, number of faces, material) of consecutive faces of one material."""
        material = self.face_material
        starts = np.flatnonzero(np.diff(material, prepend=-1))
        counts = np.diff(starts, append=len(material))
        return tuple(zip(starts.tolist(), counts.tolist(), material[starts].tolist()))

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner."""
        return self.positions.min(axis=0), self.positions.max(axis=0)

    def surface_samples(self, density: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points [S, 3], normals [S, 3] and material indices [S], about ``density`` per square metre."""
        if density not in self._samples:
            self._samples[density] = _surface_samples(self, density)
        return self._samples[density]

    @cached_property
    def _samples(self) -> dict[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        return {}

    def with_materials(self, changes: dict[int, Material]) -> Model:
        """The same mesh with some materials exchanged."""
        changed = replace(self, materials=tuple(changes.get(i, m) for i, m in enumerate(self.materials)))
        for name in ("_samples", "bounds", "runs"):  # the same surface
            changed.__dict__[name] = getattr(self, name)
        return changed


def _surface_samples(model: Model, density: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    seed = zlib.crc32(model.faces.tobytes())
    points, faces = _sample_surface(model.positions, model.faces, density, seed)
    return points, model.normals[model.faces[faces, 0]], model.face_material[faces]


@numba.njit(cache=True)
def _sample_surface(positions, faces, density, seed):
    """Points on triangles and the triangles' numbers; each triangle gets its share and one more by chance."""
    np.random.seed(seed)
    capacity = 256
    points = np.empty((capacity, 3), np.float32)
    owner = np.empty(capacity, np.int32)
    count = 0
    for i in range(len(faces)):
        a, b, c = positions[faces[i, 0]], positions[faces[i, 1]], positions[faces[i, 2]]
        x0, y0, z0 = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        x1, y1, z1 = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        nx, ny, nz = y0 * z1 - z0 * y1, z0 * x1 - x0 * z1, x0 * y1 - y0 * x1
        wanted = 0.5 * np.sqrt(nx * nx + ny * ny + nz * nz) * density + np.random.random()
        for _ in range(int(wanted)):
            if count == capacity:
                capacity *= 2
                more = np.empty((capacity, 3), np.float32)
                more[:count] = points
                points = more
                others = np.empty(capacity, np.int32)
                others[:count] = owner
                owner = others
            u, v = np.random.random(), np.random.random()
            if u + v > 1:
                u, v = 1 - u, 1 - v
            points[count, 0] = a[0] + u * x0 + v * x1
            points[count, 1] = a[1] + u * y0 + v * y1
            points[count, 2] = a[2] + u * z0 + v * z1
            owner[count] = i
            count += 1
    return points[:count].copy(), owner[:count].copy()


def merge_models(parts: list[Model]) -> Model:
    """One model from several, each with its own materials."""
    vertex_offset, material_offset = 0, 0
    faces, vertex_material = [], []
    for part in parts:
        faces.append(part.faces + vertex_offset)
        vertex_material.append(part.vertex_material + np.int16(material_offset))
        vertex_offset += len(part.positions)
        material_offset += len(part.materials)
    return Model(
        positions=np.concatenate([p.positions for p in parts]),
        normals=np.concatenate([p.normals for p in parts]),
        uvs=np.concatenate([p.uvs for p in parts]),
        vertex_material=np.concatenate(vertex_material),
        faces=np.concatenate(faces),
        materials=tuple(m for p in parts for m in p.materials),
    )


def transformed(model: Model, matrix: np.ndarray) -> Model:
    """The model moved by a 4x4 affine matrix (rotation, uniform or mild scale, translation)."""
    linear = matrix[:3, :3]
    normals = model.normals @ np.linalg.inv(linear).astype(np.float32)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    positions = (model.positions @ linear.T + matrix[:3, 3]).astype(np.float32)
    return replace(model, positions=positions, normals=normals.astype(np.float32))


def placement_matrix(
    x: float, y: float, z: float = 0.0, *, turn: float = 0.0, scale: float = 1.0
) -> np.ndarray:
    """float64 [4, 4]: turned counter-clockwise about z by ``turn`` radians, scaled, moved to (x, y, z)."""
    c, s = np.cos(turn) * scale, np.sin(turn) * scale
    return np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, scale, z], [0, 0, 0, 1.0]])


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of vectors [..., 3]; numpy's takes several times as long for few of them."""
    return a[..., [1, 2, 0]] * b[..., [2, 0, 1]] - a[..., [2, 0, 1]] * b[..., [1, 2, 0]]


def srgb_to_linear(color: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """Linear values of sRGB values in 0..1 (IEC 61966-2-1)."""
    c = np.clip(np.asarray(color, np.float64), 0, 1)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def box_uvs(positions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Texture coordinates in metres by projection along each normal's dominant axis. float32 [V, 2]."""
    axis = np.abs(normals).argmax(axis=1)
    x, y, z = positions.T
    u = np.where(axis == 0, y, x)
    v = np.where(axis == 2, y, z)
    return np.stack([u, v], axis=1).astype(np.float32)
