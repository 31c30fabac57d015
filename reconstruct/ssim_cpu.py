"""Structural similarity on the CPU: one fused pass forward, one backward.

An image row is one run of width x channels floats, in which the taps of the window lie ``channels`` apart. Each output
row is blurred down the columns into a padded buffer, then along it; nothing but the buffer is stored. The gradient of
the similarity with respect to the blurred image, square and product is kept, and blurred once more on the way back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from .rasterize.cpu.parallel import kernel, run_parallel
from .rasterize.cpu.simd import LANES, broadcast, fetch_add, load, store
from .ssim_window import C1, C2, RADIUS, window

TAPS = 2 * RADIUS + 1
MARGIN = 32
"""Floats of zeros on both sides of a padded row, at least RADIUS x channels."""


def dissimilarity(
    image: Float[Tensor, "b h w c"], target: Float[Tensor, "b h w c"], weights: Float[Tensor, "b h w"] | None
) -> Float[Tensor, ""]:
    """Mean over pixels of weight times (1 - structural similarity), differentiable in both images."""
    return _Dissimilarity.apply(image, target, weights)


class _Dissimilarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        ctx.save_for_backward(image, target)
        ctx.weights = weights
        total, ctx.maps = _compare(image, target, weights, with_maps=ctx.needs_input_grad[0])
        return image.new_tensor(total / max(image.numel(), 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        image, target = ctx.saved_tensors
        scale = float(gradient) / max(image.numel(), 1)
        of_image = _blur_back(image, target, ctx.maps, scale) if ctx.needs_input_grad[0] else None
        of_target = None
        if ctx.needs_input_grad[1]:
            maps = _compare(target, image, ctx.weights, with_maps=True)[1]
            of_target = _blur_back(target, image, maps, scale)
        return of_image, of_target, None


def _compare(
    image: Tensor, target: Tensor, weights: Tensor | None, *, with_maps: bool
) -> tuple[float, np.ndarray]:
    """Sum of weighted dissimilarities, and the gradients [3, b, h, w * c] of its parts, if asked for."""
    b, h, w, c = image.shape
    weight = np.empty((0, h, w), np.float32) if weights is None else weights.detach().contiguous().numpy()
    maps = np.empty((3, b, h, w * c) if with_maps else (3, 0, h, w * c), np.float32)
    sums = np.zeros((b, h))
    run_parallel(compare_rows, _rows(image), _rows(target), weight, c, _taps(image), maps, sums)
    return float(sums.sum()), maps


def _blur_back(image: Tensor, target: Tensor, maps: np.ndarray, scale: float) -> Tensor:
    gradient = np.empty_like(maps[0])
    run_parallel(
        blur_rows_back,
        _rows(image),
        _rows(target),
        image.shape[3],
        _taps(image),
        maps,
        np.float32(scale),
        gradient,
    )
    return torch.from_numpy(gradient).view(image.shape)


def _rows(image: Tensor) -> np.ndarray:
    return image.detach().contiguous().flatten(2).numpy()


def _taps(image: Tensor) -> np.ndarray:
    return window(image).numpy()


@kernel
def down_columns(rows, b, row, at, taps):
    """Blur down the columns at 16 consecutive places of a row; zeros beyond the image."""
    height = rows.shape[1]
    total = broadcast(0)
    for tap in range(max(0, RADIUS - row), min(TAPS, height + RADIUS - row)):
        start = np.uintp((b * height + row + tap - RADIUS) * rows.shape[2] + at)
        total = total + load(rows, start) * taps[tap]
    return total


@kernel
def along_row(buffer, line, at, step, taps):
    """Blur along a padded line of the buffer at 16 consecutive places, taps ``step`` apart."""
    start = np.uintp(line * buffer.shape[1] + MARGIN + at - RADIUS * step)
    total = load(buffer, start) * taps[0]
    for tap in range(1, TAPS):
        total = total + load(buffer, start + np.uintp(tap * step)) * taps[tap]
    return total


@kernel
def blur_products(xs, ys, b, row, at, taps, buffer):
    """Blur both images, their squares and their product down the columns, into the five lines of the buffer."""
    height, line = xs.shape[1], np.uintp(buffer.shape[1])
    x_1 = y_1 = x_x = y_y = x_y = broadcast(0)
    for tap in range(max(0, RADIUS - row), min(TAPS, height + RADIUS - row)):
        start = np.uintp((b * height + row + tap - RADIUS) * xs.shape[2] + at)
        x, y = load(xs, start), load(ys, start)
        weighted_x, weighted_y = x * taps[tap], y * taps[tap]
        x_1, y_1 = x_1 + weighted_x, y_1 + weighted_y
        x_x, y_y, x_y = x_x + weighted_x * x, y_y + weighted_y * y, x_y + weighted_x * y
    start = np.uintp(MARGIN + at)
    store(buffer, start, x_1)
    store(buffer, start + line, y_1)
    store(buffer, start + np.uintp(2) * line, x_x)
    store(buffer, start + np.uintp(3) * line, y_y)
    store(buffer, start + np.uintp(4) * line, x_y)


@kernel
def compare_rows(counter, xs, ys, weights, step, taps, maps, sums):
    """Sum weighted dissimilarities of each row; keep the gradients of their parts if ``maps`` has room.

    The last vector of a row is moved back to end with the row; both times it gives the same.
    """
    images, height, length = xs.shape
    buffer = np.zeros((5, length + 2 * MARGIN), np.float32)
    dissimilar = np.zeros(length + LANES, np.float32)
    weight = np.ones(length + LANES, np.float32)
    piece = fetch_add(counter)
    while piece < images * height:
        b, row = piece // height, piece % height
        if len(weights):
            for i in range(length):
                weight[i] = weights[b, row, i // step]
        for i in range(0, length, LANES):
            blur_products(xs, ys, b, row, min(i, length - LANES), taps, buffer)
        for i in range(0, length, LANES):
            at = min(i, length - LANES)
            mean_x, mean_y = along_row(buffer, 0, at, step, taps), along_row(buffer, 1, at, step, taps)
            square_x, square_y = along_row(buffer, 2, at, step, taps), along_row(buffer, 3, at, step, taps)
            product = along_row(buffer, 4, at, step, taps)
            likeness_of_means = mean_x * mean_y * 2 + C1
            likeness = (product - mean_x * mean_y) * 2 + C2
            size_of_means = mean_x * mean_x + mean_y * mean_y + C1
            size = square_x - mean_x * mean_x + square_y - mean_y * mean_y + C2
            inverse = 1 / (size_of_means * size)
            similar = likeness_of_means * likeness * inverse
            w = load(weight, np.uintp(at))
            store(dissimilar, np.uintp(at), w * (1 - similar))
            if maps.shape[1]:
                target = np.uintp(piece * length + at)
                plane = np.uintp(images * height * length)
                of_mean = mean_y * (likeness - likeness_of_means) * inverse
                of_mean = of_mean - similar * mean_x * (size - size_of_means) * inverse
                store(maps, target, of_mean * w * -2)
                store(maps, target + plane, similar * size_of_means * inverse * w)
                store(maps, target + plane + plane, likeness_of_means * inverse * w * -2)
        total = 0.0
        for i in range(length):
            total += dissimilar[i]
        sums[b, row] = total
        piece = fetch_add(counter)


@kernel
def blur_rows_back(counter, xs, ys, step, taps, maps, scale, gradient):
    """Blur the three maps and combine them: the gradient of ``scale`` times the sum with respect to ``xs``."""
    images, height, length = xs.shape
    buffer = np.zeros((3, length + 2 * MARGIN), np.float32)
    line = np.uintp(buffer.shape[1])
    piece = fetch_add(counter)
    while piece < images * height:
        b, row = piece // height, piece % height
        for i in range(0, length, LANES):
            at = min(i, length - LANES)
            for m in range(3):
                store(
                    buffer,
                    np.uintp(MARGIN + at) + np.uintp(m) * line,
                    down_columns(maps[m], b, row, at, taps),
                )
        for i in range(0, length, LANES):
            at = min(i, length - LANES)
            start = np.uintp(piece * length + at)
            total = load(xs, start) * along_row(buffer, 1, at, step, taps) * 2 + along_row(
                buffer, 0, at, step, taps
            )
            total = total + load(ys, start) * along_row(buffer, 2, at, step, taps)
            store(gradient, start, total * scale)
        piece = fetch_add(counter)
