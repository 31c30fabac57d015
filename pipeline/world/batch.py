"""A scene's models gathered into one vertex buffer, ordered so that parts out of view can be skipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .light import LightField
from .scene import Scene

VERTEX = np.dtype(
    [
        ("position", np.float32, 3),
        ("normal", np.uint8, 4),
        ("uv", np.float32, 2),
        ("albedo", np.uint8, 4),
        ("light", np.uint8, 4),
        ("id", np.int32),
    ]
)
"""Normals are stored as 127 (n + 1), albedo and light as square roots; albedo's fourth value is gloss, light's is emission."""


@dataclass(frozen=True)
class Range:
    """Consecutive indices that share a texture."""

    first: int
    count: int
    texture: str | None
    cutout: bool


@dataclass(frozen=True)
class Batch:
    """One placement's share of the buffers."""

    ranges: tuple[Range, ...]
    low: np.ndarray
    high: np.ndarray
    placement: int


@dataclass(frozen=True)
class SceneBuffers:
    """Vertices, indices and what to draw."""

    vertices: np.ndarray
    """VERTEX [V]; placements that move are in model axes, all others in the world's."""
    indices: np.ndarray
    """uint32 [I]."""
    batches: tuple[Batch, ...]
    light_scale: float


def gather_buffers(scene: Scene, field: LightField) -> SceneBuffers:
    """Transform and light every placement."""
    vertices, indices, batches = [], [], []
    lights = []
    vertex_base, index_base = 0, 0
    for number, placement in enumerate(scene.placements):
        model = placement.model
        world = placement.matrix_at(0.5)
        rotation = world[:3, :3].astype(np.float32)
        scale = np.float32(np.cbrt(np.linalg.det(rotation)))
        positions = model.positions @ rotation.T + world[:3, 3].astype(np.float32)
        normals = model.normals @ (rotation / scale).T
        light = field.at(positions, normals)
        if placement.background:
            light[:] = _open_light(field.sky, normals)
        rows = np.zeros(len(positions), VERTEX)
        moving = placement.motion is not None
        rows["position"] = model.positions if moving else positions
        axes = model.normals if moving else normals
        rows["normal"][:, :3] = np.round((np.clip(axes, -1, 1) + 1) * 127)
        _paint(rows, model)
        rows["id"] = number + 1
        lights.append(light)
        ranges = _ranges(model, index_base)
        low, high = placement.world_bounds(0.5)
        batches.append(Batch(ranges, low, high, number))
        vertices.append(rows)
        indices.append(model.faces.reshape(-1).astype(np.uint32) + np.uint32(vertex_base))
        vertex_base += len(rows)
        index_base += model.faces.size
    all_light = np.concatenate(lights)
    light_scale = float(max(np.percentile(all_light, 99.7), 1e-3))
    joined = np.concatenate(vertices)
    joined["light"][:, :3] = np.round(np.sqrt(np.clip(all_light / light_scale, 0, 1)) * 255)
    glow = joined["light"][:, 3].astype(np.float32) / 10
    joined["light"][:, 3] = np.clip(np.round(glow / light_scale * 255), 0, 255)
    return SceneBuffers(joined, np.concatenate(indices), tuple(batches), light_scale)


def _open_light(sky: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Unoccluded light under the sky."""
    return (0.35 + 0.4 * (0.5 + 0.5 * normals[:, 2:])) * sky


def _paint(rows: np.ndarray, model) -> None:
    """Albedo, gloss, emission and texture coordinates by material."""
    colors = np.array([m.color for m in model.materials], np.float32)
    gloss = np.array([m.gloss for m in model.materials], np.float32)
    emission = np.array([m.emission for m in model.materials], np.float32)
    tile = np.array(
        [1 / m.metres_per_tile if m.metres_per_tile > 0 else 1.0 for m in model.materials], np.float32
    )
    which = model.vertex_material
    rows["albedo"][:, :3] = np.round(np.sqrt(np.clip(colors, 0, 1)) * 255)[which]
    rows["albedo"][:, 3] = np.round(np.clip(gloss, 0, 1) * 255)[which]
    rows["light"][:, 3] = np.clip(emission * 10, 0, 255)[which]
    rows["uv"] = model.uvs * tile[which][:, None]


def _ranges(model, base: int) -> tuple[Range, ...]:
    """Runs of faces with one texture."""
    material = model.face_material
    starts = np.flatnonzero(np.diff(material, prepend=-1))
    ends = np.append(starts[1:], len(material))
    ranges: list[Range] = []
    for start, end in zip(starts, ends):
        kind = model.materials[material[start]]
        last = ranges[-1] if ranges else None
        if last and last.texture == kind.texture and last.cutout == kind.cutout:
            ranges[-1] = Range(last.first, last.count + int(end - start) * 3, kind.texture, kind.cutout)
        else:
            ranges.append(Range(base + int(start) * 3, int(end - start) * 3, kind.texture, kind.cutout))
    return tuple(ranges)
