"""A fast reader of Wavefront OBJ and MTL text, compiled by numba: the catalogue holds 500 MB of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np


@dataclass
class ObjMesh:
    """Raw arrays of an OBJ file; every polygon is cut into a fan of triangles, see ``_first_corner``."""

    positions: np.ndarray
    """float64 [P, 3]."""
    uvs: np.ndarray
    """float64 [U, 2]."""
    normals: np.ndarray
    """float64 [N, 3]."""
    corners: np.ndarray
    """int32 [T, 3, 3]: per triangle corner the indices of position, uv and normal; -1 where absent."""
    face_material: np.ndarray
    """int32 [T]: index into `material_names`."""
    material_names: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)


def read_obj(data: bytes) -> ObjMesh:
    """Parse an OBJ file's bytes."""
    buffer = np.frombuffer(data + b"\n\n", np.uint8)
    counts = _count(buffer)
    positions, uvs = np.zeros((counts[0], 3)), np.zeros((counts[1], 2))
    normals, corners = np.zeros((counts[2], 3)), np.full((counts[3], 3, 3), -1, np.int32)
    use_of_face = np.zeros(counts[3], np.int32)
    use_offsets = np.zeros(counts[4] + 1, np.int64)
    triangles = _parse(buffer, positions, uvs, normals, corners, use_of_face, use_offsets)
    corners, use_of_face = corners[:triangles], use_of_face[:triangles]
    names = [""] + [_line(data, int(o)).split(None, 1)[-1].strip() for o in use_offsets[1:]]
    unique = sorted(set(names))
    lookup = np.array([unique.index(n) for n in names], np.int32)
    libraries = [_line(data, m).split(None, 1)[-1].strip() for m in _offsets(data, b"mtllib ")]
    valid = (corners[:, :, 0] >= 0).all(axis=1) & (corners[:, :, 0] < len(positions)).all(axis=1)
    return ObjMesh(positions, uvs, normals, corners[valid], lookup[use_of_face[valid]], unique, libraries)


def _line(data: bytes, offset: int) -> str:
    end = data.find(b"\n", offset)
    return data[offset : end if end >= 0 else len(data)].decode("utf-8", "replace")


def _offsets(data: bytes, token: bytes) -> list[int]:
    found, at = [], data.find(token)
    while at >= 0:
        found.append(at)
        at = data.find(token, at + 1)
    return found


def read_mtl(text: str) -> dict[str, dict[str, str]]:
    """Material name -> its statements, keys in lower case."""
    materials: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.strip().split(None, 1)
        if len(parts) != 2 or parts[0].startswith("#"):
            continue
        if parts[0] == "newmtl":
            current = materials.setdefault(parts[1].strip(), {})
        else:
            current[parts[0].lower()] = parts[1].strip()
    return materials


@numba.njit(cache=True)
def _is_space(c):
    return c == 32 or c == 9 or c == 13


@numba.njit(cache=True)
def _count(buffer):
    counts = np.zeros(5, np.int64)
    n = len(buffer)
    i = 0
    while i < n - 2:
        if buffer[i] == 118:  # v
            if _is_space(buffer[i + 1]):
                counts[0] += 1
            elif buffer[i + 1] == 116:
                counts[1] += 1
            elif buffer[i + 1] == 110:
                counts[2] += 1
        elif buffer[i] == 102 and _is_space(buffer[i + 1]):  # f
            tokens = 0
            j = i + 1
            while buffer[j] != 10:
                if not _is_space(buffer[j]) and _is_space(buffer[j - 1]):
                    tokens += 1
                j += 1
            counts[3] += max(0, tokens - 2)
        elif buffer[i] == 117 and buffer[i + 1] == 115:  # usemtl
            counts[4] += 1
        while buffer[i] != 10:
            i += 1
            if i >= n - 1:
                break
        i += 1
    return counts


@numba.njit(cache=True)
def _number(buffer, i):
    """Parse a float at i; returns (value, next index)."""
    while _is_space(buffer[i]):
        i += 1
    sign = 1.0
    if buffer[i] == 45:
        sign, i = -1.0, i + 1
    elif buffer[i] == 43:
        i += 1
    value = 0.0
    while 48 <= buffer[i] <= 57:
        value, i = value * 10 + (buffer[i] - 48), i + 1
    if buffer[i] == 46:
        i += 1
        scale = 0.1
        while 48 <= buffer[i] <= 57:
            value, scale, i = value + scale * (buffer[i] - 48), scale * 0.1, i + 1
    if buffer[i] == 101 or buffer[i] == 69:
        i += 1
        down = False
        if buffer[i] == 45:
            down, i = True, i + 1
        elif buffer[i] == 43:
            i += 1
        exponent = 0
        while 48 <= buffer[i] <= 57:
            exponent, i = exponent * 10 + (buffer[i] - 48), i + 1
        value *= 10.0 ** (-exponent if down else exponent)
    return sign * value, i


@numba.njit(cache=True)
def _index(buffer, i):
    """Parse a signed integer at i; 0 when there is none."""
    sign, value = 1, 0
    if buffer[i] == 45:
        sign, i = -1, i + 1
    while 48 <= buffer[i] <= 57:
        value, i = value * 10 + (buffer[i] - 48), i + 1
    return sign * value, i


@numba.njit(cache=True)
def _first_corner(polygon, sides, positions):
    """The corner with the smallest coordinates: a polygon and its reverse are cut into the same triangles."""
    best = 0
    for k in range(1, sides):
        a, b = polygon[k, 0], polygon[best, 0]
        if not (0 <= a < len(positions) and 0 <= b < len(positions)):
            return 0
        for m in range(3):
            if positions[a, m] != positions[b, m]:
                if positions[a, m] < positions[b, m]:
                    best = k
                break
    return best


@numba.njit(cache=True)
def _parse(buffer, positions, uvs, normals, corners, use_of_face, use_offsets):
    np_, nt, nn, nf, nu = 0, 0, 0, 0, 0
    n = len(buffer)
    polygon = np.zeros((256, 3), np.int32)
    i = 0
    while i < n - 2:
        if buffer[i] == 118 and _is_space(buffer[i + 1]):
            j = i + 1
            for k in range(3):
                positions[np_, k], j = _number(buffer, j)
            np_ += 1
        elif buffer[i] == 118 and buffer[i + 1] == 116:
            j = i + 2
            for k in range(2):
                uvs[nt, k], j = _number(buffer, j)
            nt += 1
        elif buffer[i] == 118 and buffer[i + 1] == 110:
            j = i + 2
            for k in range(3):
                normals[nn, k], j = _number(buffer, j)
            nn += 1
        elif buffer[i] == 117 and buffer[i + 1] == 115:
            nu += 1
            use_offsets[nu] = i
        elif buffer[i] == 102 and _is_space(buffer[i + 1]):
            j = i + 1
            sides = 0
            while sides < 256:
                while _is_space(buffer[j]):
                    j += 1
                if buffer[j] == 10:
                    break
                before = j
                for k in range(3):
                    polygon[sides, k] = -1
                counts = (np_, nt, nn)
                for k in range(3):
                    value, j = _index(buffer, j)
                    if value > 0:
                        polygon[sides, k] = value - 1
                    elif value < 0:
                        polygon[sides, k] = counts[k] + value
                    if buffer[j] != 47:
                        break
                    j += 1
                if j == before:
                    j += 1
                else:
                    sides += 1
            start = _first_corner(polygon, sides, positions)
            for k in range(sides - 2):
                for m in range(3):
                    corners[nf, 0, m] = polygon[start, m]
                    corners[nf, 1, m] = polygon[(start + k + 1) % sides, m]
                    corners[nf, 2, m] = polygon[(start + k + 2) % sides, m]
                use_of_face[nf] = nu
                nf += 1
        while buffer[i] != 10:
            i += 1
            if i >= n - 1:
                break
        i += 1
    return nf
