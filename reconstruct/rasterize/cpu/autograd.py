"""The CPU backend as a torch function."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...cameras import Cameras
from ...errors import InputError
from ...gaussians import Gaussians
from ..finite import check_finite
from .blend_backward import SUMS, blend_backward
from .forward import Forward, Settings, run_forward
from .parallel import run_parallel
from .projection import CHUNK, RECORD
from .projection_backward import POSE, project_backward


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
        cameras.intrinsics.double().numpy(),
        cameras.width,
        cameras.height,
        sh_degree,
        antialiased,
        float(near),
        float(far),
        absgrad,
    )
    if not features.sum().isfinite():
        check_finite(gaussians, features)
    means2d = torch.zeros(len(cameras.world_from_cam), len(gaussians), 2)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in gaussians.tensors().values()):
        means2d.requires_grad_()
    try:
        *images, radii = _Rasterize.apply(settings, means2d, *tensors.values())
    except FloatingPointError as error:
        check_finite(gaussians, features)
        raise InputError("the scales of some splats are too large to be drawn") from error
    return *images, {"means2d": means2d, "radii": radii}


class _Rasterize(torch.autograd.Function):
    """Differentiable in all tensors; ``means2d`` receives the centres and, later, their gradients."""

    @staticmethod
    def forward(ctx: Any, settings: Settings, means2d: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        images, forward = run_forward(tuple(_array(tensor) for tensor in tensors), settings)
        means2d.detach().copy_(torch.from_numpy(forward.means2d))
        ctx.settings, ctx.forward, ctx.means2d = settings, forward, means2d
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        median, radii = torch.from_numpy(images.median), torch.from_numpy(forward.radii)
        ctx.mark_non_differentiable(median, radii)
        color, alpha, depth, features = (
            torch.from_numpy(image) for image in (images.color, images.alpha, images.depth, images.features)
        )
        return color, alpha, depth, median, features, radii

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore
        color, alpha, depth, _, features, _ = gradients
        inputs = tuple(_array(tensor) for tensor in ctx.saved_tensors)
        shape = (len(inputs[-1]), ctx.settings.height, ctx.settings.width)
        channels = ((color, (3,)), (alpha, ()), (depth, ()), (features, (inputs[5].shape[1],)))
        of_images = tuple(
            np.zeros((*shape, *last), np.float32) if gradient is None else _array(gradient)
            for gradient, last in channels
        )
        _, _, means, quats, *_, poses = ctx.needs_input_grad
        results = run_backward(
            inputs,
            ctx.settings,
            ctx.forward,
            of_images,
            with_places=means or quats or poses,
            with_poses=poses,
        )
        g_means2d, g_means2d_abs, *of_inputs = (torch.from_numpy(result) for result in results)
        if ctx.settings.absgrad:
            ctx.means2d.absgrad = g_means2d_abs
        needed = zip(ctx.needs_input_grad[1:], (g_means2d, *of_inputs))
        return None, *(gradient if needs else None for needs, gradient in needed)


def run_backward(
    inputs: tuple[np.ndarray, ...],
    settings: Settings,
    forward: Forward,
    of_images: tuple[np.ndarray, ...],
    *,
    with_places: bool,
    with_poses: bool,
) -> tuple[np.ndarray, ...]:
    """Gradients of the 2D centres, of their absolute values per pixel, and of all inputs.

    Args:
        inputs, settings: as for ``run_forward``.
        forward: what it returned.
        of_images: gradients of colour, alpha, sum of weight times depth, features.
        with_places: whether to compute the gradients of means and quaternions; else they are 0.
        with_poses: whether to compute the last gradient, which takes ``with_places``; else it is 0.
    """
    *parameters, features, world_from_cam = inputs
    n, c, lists = len(features), len(world_from_cam), forward.lists
    pairs, n_features = len(lists.splats), features.shape[1]
    pair_sums, pair_feature_sums = (
        np.empty((pairs, SUMS), np.float32),
        np.empty((pairs, n_features), np.float32),
    )
    run_parallel(
        blend_backward, forward.records.reshape(-1), lists.offsets, lists.splats, lists.slots, n, features,
        lists.columns, lists.rows, settings.width, settings.height, forward.kept, forward.words,
        *(image.reshape(-1) for image in of_images), pair_sums.reshape(-1), pair_feature_sums.reshape(-1),
    )  # fmt: skip
    of_parameters = [np.zeros(parameter.shape, np.float32) for parameter in parameters]
    of_features, of_means2d = np.zeros(features.shape, np.float32), np.zeros((c, n, 2), np.float32)
    of_means2d_abs = np.zeros((c if settings.absgrad else 0, n, 2), np.float32)
    of_poses = np.zeros((-(-n // CHUNK), c, POSE))
    run_parallel(
        project_backward, *parameters, settings.sh_degree, forward.cameras, settings.width, settings.height,
        settings.antialiased, forward.records.reshape(c * n, RECORD), lists.slot_offsets, pair_sums,
        pair_feature_sums, with_places, with_poses, *of_parameters, of_features, of_means2d, of_means2d_abs, of_poses,
    )  # fmt: skip
    of_world_from_cam = np.zeros(world_from_cam.shape, np.float32)
    of_world_from_cam[:, :3, :3] = of_poses[:, :, :9].sum(0).reshape(c, 3, 3)
    of_world_from_cam[:, :3, 3] = of_poses[:, :, 9:].sum(0)
    return of_means2d, of_means2d_abs, *of_parameters, of_features, of_world_from_cam


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
