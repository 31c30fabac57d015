"""A scene's models gathered into one vertex buffer, ordered so that parts out of view can be skipped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .light import LightField
from .model import Model
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

TILED_FACES, TILED_SIZE, TILES = 2000, 20.0, 4
"""What has more triangles and metres than this is cut into so many tiles along each side, so that those out of view can be
skipped."""


@dataclass(frozen=True)
class Range:
    """Consecutive indices that share a texture."""

    first: int
    count: int
    texture: str | None
    cutout: bool


@dataclass(frozen=True)
class Batch:
    """One placement's share of the buffers, or a tile of a large surface's."""

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
    placements = scene.placements
    models = [p.model for p in placements]
    counts = np.array([len(m.positions) for m in models])
    ends = np.cumsum(counts)
    positions, normals = (np.empty((ends[-1], 3), np.float32) for _ in range(2))
    matrices = np.stack([p.matrix_at(0.5) for p in placements]).astype(np.float32)
    scales = np.cbrt(np.linalg.det(matrices[:, :3, :3]))
    for model, matrix, scale, first, end in zip(models, matrices, scales, ends - counts, ends):
        positions[first:end] = model.positions @ matrix[:3, :3].T + matrix[:3, 3]
        normals[first:end] = model.normals @ (matrix[:3, :3] / scale).T
    light = field.at(positions, normals)
    outside = np.repeat([p.background for p in placements], counts)
    light[outside] = _open_light(field.sky, normals[outside])
    for placement, first, end in zip(placements, ends - counts, ends):
        if placement.motion is not None:
            positions[first:end], normals[first:end] = placement.model.positions, placement.model.normals
    vertices = np.zeros(ends[-1], VERTEX)
    vertices["position"] = positions
    vertices["normal"][:, :3] = np.round((np.clip(normals, -1, 1) + 1) * 127)
    vertices["id"] = np.repeat(np.arange(1, len(models) + 1), counts)
    light_scale = float(max(np.percentile(light, 99.7), 1e-3))
    vertices["light"][:, :3] = np.round(np.sqrt(np.clip(light / light_scale, 0, 1)) * 255)
    _paint(vertices, models, light_scale)
    indices, batches, index_base = [], [], 0
    for number, (placement, first, end) in enumerate(zip(placements, ends - counts, ends)):
        moving = placement.motion is not None
        bounds = placement.world_bounds(0.5) if moving else placement.start_bounds
        tiles = (
            [(placement.model, bounds)] if moving else _tiles(placement.model, positions[first:end], bounds)
        )
        for model, (low, high) in tiles:
            indices.append(model.faces.reshape(-1).astype(np.uint32) + np.uint32(first))
            batches.append(Batch(_ranges(model, index_base), low, high, number))
            index_base += model.faces.size
    return SceneBuffers(vertices, np.concatenate(indices), tuple(batches), light_scale)


def _tiles(
    model: Model, positions: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]
) -> list[tuple[Model, tuple[np.ndarray, np.ndarray]]]:
    """The model and its bounds; many triangles over a wide ground come as tiles of equally many, each with its own."""
    if len(model.faces) < TILED_FACES or np.max(bounds[1] - bounds[0]) < TILED_SIZE:
        return [(model, bounds)]
    middles = positions[model.faces].mean(axis=1)
    column, row = (
        np.argsort(np.argsort(middles[:, axis], kind="stable")) * TILES // len(middles) for axis in (0, 1)
    )
    tiles = []
    for number in range(TILES * TILES):
        faces = model.faces[column * TILES + row == number]
        if len(faces):
            corners = positions[faces.reshape(-1)]
            tiles.append((replace(model, faces=faces), (corners.min(axis=0), corners.max(axis=0))))
    return tiles


def _open_light(sky: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Unoccluded light under the sky."""
    return (0.35 + 0.4 * (0.5 + 0.5 * normals[:, 2:])) * sky


def _paint(vertices: np.ndarray, models: list[Model], light_scale: float) -> None:
    """Albedo, gloss, emission and texture coordinates by material."""
    materials = [m for model in models for m in model.materials]
    firsts = np.cumsum([0, *(len(model.materials) for model in models[:-1])])
    which = np.concatenate([m.vertex_material + first for m, first in zip(models, firsts)])
    albedo = np.zeros((len(materials), 4), np.float32)
    albedo[:, :3] = np.sqrt(np.clip([m.color for m in materials], 0, 1))
    albedo[:, 3] = np.clip([m.gloss for m in materials], 0, 1)
    glow = np.clip([m.emission / light_scale * 255 for m in materials], 0, 255)
    tile = np.array([1 / m.metres_per_tile if m.metres_per_tile > 0 else 1.0 for m in materials], np.float32)
    vertices["albedo"] = np.round(albedo * 255).astype(np.uint8)[which]
    vertices["light"][:, 3] = np.round(glow).astype(np.uint8)[which]
    vertices["uv"] = np.concatenate([m.uvs for m in models]) * tile[which][:, None]


def _ranges(model: Model, base: int) -> tuple[Range, ...]:
    """Runs of faces with one texture."""
    ranges: list[Range] = []
    for first, faces, material in model.runs:
        kind = model.materials[material]
        last = ranges[-1] if ranges else None
        if last and last.texture == kind.texture and last.cutout == kind.cutout:
            ranges[-1] = Range(last.first, last.count + faces * 3, kind.texture, kind.cutout)
        else:
            ranges.append(Range(base + first * 3, faces * 3, kind.texture, kind.cutout))
    return tuple(ranges)
