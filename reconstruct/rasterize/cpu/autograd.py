"""The CPU backend as a torch function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...cameras import Cameras
from ...errors import InputError
from ...gaussians import Gaussians
from ..interface import check_finite
from .blend import KEPT, PIXELS, blend
from .parallel import run_parallel
from .projection import CAMERA, NOT_FINITE, RECORD, X, Y, project
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


@dataclass(frozen=True)
class Images:
    """Outputs of the forward pass, [c, h, w, ...]; ``depth`` is the sum of weight times depth."""

    color: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    median: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class Forward:
    """What the forward pass found out, kept for the backward pass."""

    cameras: np.ndarray
    records: np.ndarray
    radii: np.ndarray
    lists: TileLists
    kept: np.ndarray
    masks: np.ndarray


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    features: Float[Tensor, "n f"],
    sh_degree: int,
    antialiased: bool,
    near: float,
    far: float,
    absgrad: bool,
) -> tuple[Any, ...]:
    """Colour, alpha, sum of weight times depth, median depth, features; all over black, and the info."""
    if cameras.intrinsics.requires_grad:
        raise InputError("the cpu backend has no gradient for intrinsics: detach them, or use the reference")
    tensors = {**gaussians.tensors(), "features": features, "world_from_cam": cameras.world_from_cam}
    for name, tensor in tensors.items():
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            raise InputError(
                f"the cpu backend takes float32 CPU tensors; {name} is {tensor.dtype} on {tensor.device}"
            )
    settings = Settings(
        cameras.intrinsics.double().numpy(), cameras.width, cameras.height, sh_degree, antialiased, near, far
    )
    inputs = tuple(_array(tensor) for tensor in tensors.values())
    images, forward = run_forward(inputs, settings)
    if forward is None:
        check_finite(gaussians, features)
        raise InputError("the scales of some splats are too large to be drawn")
    means2d = torch.from_numpy(forward.records[..., X : Y + 1].copy())
    outputs = (images.color, images.alpha, images.depth, images.median, images.features)
    info = {"means2d": means2d, "radii": torch.from_numpy(forward.radii)}
    return *(torch.from_numpy(image) for image in outputs), info


def run_forward(inputs: tuple[np.ndarray, ...], settings: Settings) -> tuple[Images, Forward | None]:
    """Project, list, blend. Without ``Forward`` if a parameter is not finite."""
    means, quats, log_scales, opacity_logits, sh, features, world_from_cam = inputs
    n, c, width, height = len(means), len(world_from_cam), settings.width, settings.height
    images = _empty_images(c, height, width, features.shape[1])
    cameras = pack_cameras(world_from_cam, settings.intrinsics)
    records, radii = np.empty((c, n, RECORD), np.float32), np.empty((c, n, 2), np.int32)
    status = np.zeros(1, np.int64)
    run_parallel(
        project, means, quats, log_scales, opacity_logits, sh, settings.sh_degree, cameras, width, height,
        float(settings.near), float(settings.far), settings.antialiased, records, radii, status,
    )  # fmt: skip
    if status[0] == NOT_FINITE:
        return images, None
    lists = build_tile_lists(records, radii, width, height)
    kept = np.empty((len(lists.offsets) - 1, KEPT, PIXELS), np.float32)
    masks = np.empty(len(lists.splats), np.uint16)
    run_parallel(
        blend, records.reshape(-1), lists.offsets, lists.splats, n, features, lists.columns, lists.rows, width, height,
        images.color, images.alpha, images.depth, images.median, images.features, kept, masks,
    )  # fmt: skip
    return images, Forward(cameras, records, radii, lists, kept, masks)


def pack_cameras(world_from_cam: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """[c, CAMERA] rotation by rows, position, fx, fy, cx, cy in float64."""
    packed = np.empty((len(world_from_cam), CAMERA))
    packed[:, :9] = world_from_cam[:, :3, :3].reshape(-1, 9)
    packed[:, 9:12] = world_from_cam[:, :3, 3]
    packed[:, 12], packed[:, 13] = intrinsics[:, 0, 0], intrinsics[:, 1, 1]
    packed[:, 14], packed[:, 15] = intrinsics[:, 0, 2], intrinsics[:, 1, 2]
    return packed


def _empty_images(c: int, height: int, width: int, n_features: int) -> Images:
    shape = (c, height, width)
    plain = [np.empty(shape, np.float32) for _ in range(3)]
    return Images(np.empty((*shape, 3), np.float32), *plain, np.empty((*shape, n_features), np.float32))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
