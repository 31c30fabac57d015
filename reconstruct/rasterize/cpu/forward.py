"""The forward pass on NumPy arrays; what draws a picture with it need not import torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .blend import BLOCKS, KEPT, WORD, blend
from .parallel import run_parallel
from .projection import CAMERA, NOT_FINITE, RECORD, project
from .tiles import TileLists, build_tile_lists


@dataclass(frozen=True)
class Settings:
    """What is not differentiated."""

    intrinsics: np.ndarray
    width: int
    height: int
    sh_degree: int
    antialiased: bool
    near: float
    far: float
    absgrad: bool = False


@dataclass(frozen=True)
class Images:
    """Outputs of the forward pass, [c, h, w, ...]; ``depth`` is the sum of weight times depth."""

    color: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    median: np.ndarray
    features: np.ndarray

    def flat(self) -> tuple[np.ndarray, ...]:
        """Views of one axis, in this order."""
        return tuple(i.reshape(-1) for i in (self.color, self.alpha, self.depth, self.median, self.features))


@dataclass(frozen=True)
class Forward:
    """What the forward pass found out, kept for the backward pass."""

    cameras: np.ndarray
    records: np.ndarray
    means2d: np.ndarray
    radii: np.ndarray
    lists: TileLists
    kept: np.ndarray
    words: np.ndarray


def run_forward(inputs: tuple[np.ndarray, ...], settings: Settings) -> tuple[Images, Forward]:
    """Project, list, blend.

    Args:
        inputs: means, quats, log_scales, opacity_logits, sh, features, world_from_cam; contiguous float32.
        settings: the rest.

    Raises:
        FloatingPointError: a parameter that matters is not finite.
    """
    *parameters, features, world_from_cam = inputs
    n, c, width, height = len(features), len(world_from_cam), settings.width, settings.height
    cameras = pack_cameras(world_from_cam, settings.intrinsics)
    records, means2d = np.empty((c, n, RECORD), np.float32), np.empty((c, n, 2), np.float32)
    radii, status = np.empty((c, n, 2), np.int32), np.zeros(1, np.int64)
    run_parallel(
        project, *parameters, settings.sh_degree, cameras, width, height, settings.near, settings.far,
        settings.antialiased, records, means2d, radii, status,
    )  # fmt: skip
    if status[0] == NOT_FINITE:
        raise FloatingPointError
    lists = build_tile_lists(records, radii, width, height)
    tiles = len(lists.offsets) - 1
    kept = np.empty((tiles, KEPT), np.float32)
    words = np.empty((len(lists.splats) // WORD + tiles) * BLOCKS, np.uint32)
    images = _empty_images((c, height, width), features.shape[1])
    run_parallel(
        blend, records.reshape(-1), lists.offsets, lists.splats, n, features, lists.columns, lists.rows, width,
        height, *images.flat(), kept, words,
    )  # fmt: skip
    return images, Forward(cameras, records, means2d, radii, lists, kept, words)


def pack_cameras(world_from_cam: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """[c, CAMERA] rotation by rows, position, fx, fy, cx, cy in float64."""
    packed = np.empty((len(world_from_cam), CAMERA))
    packed[:, :9] = world_from_cam[:, :3, :3].reshape(-1, 9)
    packed[:, 9:12] = world_from_cam[:, :3, 3]
    packed[:, 12], packed[:, 13] = intrinsics[:, 0, 0], intrinsics[:, 1, 1]
    packed[:, 14], packed[:, 15] = intrinsics[:, 0, 2], intrinsics[:, 1, 2]
    return packed


def _empty_images(shape: tuple[int, ...], n_features: int) -> Images:
    color, features = np.empty((*shape, 3), np.float32), np.empty((*shape, n_features), np.float32)
    alpha, depth, median = (np.empty(shape, np.float32) for _ in range(3))
    return Images(color, alpha, depth, median, features)
