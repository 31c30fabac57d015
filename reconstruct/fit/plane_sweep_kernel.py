"""The inner loops of the plane sweep: warp, correlate, keep the best plane."""

from __future__ import annotations

import numpy as np

from ..rasterize.cpu.parallel import kernel
from ..rasterize.cpu.simd import fetch_add

HALF = 2
"""Windows are 2 * HALF + 1 pixels wide."""
TEXTURE = 1e-4
"""Variance of grey below which a window tells nothing."""
MIN_CORRELATION = 0.5


@kernel
def sweep_views(
    counter: np.ndarray,
    grey: np.ndarray,
    views: np.ndarray,
    neighbours: np.ndarray,
    rotations: np.ndarray,
    shifts: np.ndarray,
    inverse_depths: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Depth of every pixel of the chosen views; 0 where nothing correlates.

    Args:
        counter: hands out views to threads.
        grey: [c, h, w].
        views: [v] which views to do.
        neighbours: [c, k].
        rotations, shifts: [c, k, 3, 3], [c, k, 3]: neighbour's pixel ~ rotation @ pixel + inverse depth * shift.
        inverse_depths: [d], evenly spaced.
        depth: [c, h, w] output.
    """
    k, planes = neighbours.shape[1], len(inverse_depths)
    height, width = grey.shape[1], grey.shape[2]
    scores = np.empty((k, planes, height, width), np.float32)
    warped, product = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    mean_r, variance_r = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    mean_w, mean_ww, mean_rw = np.empty_like(mean_r), np.empty_like(mean_r), np.empty_like(mean_r)
    rows = np.empty((height, width), np.float32)
    while True:
        piece = fetch_add(counter)
        if piece >= len(views):
            break
        i = views[piece]
        reference = grey[i]
        _multiply(reference, reference, product)
        _box(reference, rows, mean_r)
        _box(product, rows, variance_r)
        for y in range(height):
            for x in range(width):
                variance_r[y, x] -= mean_r[y, x] * mean_r[y, x]
        for n in range(k):
            for d in range(planes):
                _warp(grey[neighbours[i, n]], rotations[i, n], shifts[i, n], inverse_depths[d], warped)
                _box(warped, rows, mean_w)
                _multiply(warped, warped, product)
                _box(product, rows, mean_ww)
                _multiply(warped, reference, product)
                _box(product, rows, mean_rw)
                _correlate(warped, mean_r, variance_r, mean_w, mean_ww, mean_rw, scores[n, d])
        _best_planes(scores, inverse_depths, depth[i])


@kernel
def _warp(
    image: np.ndarray, rotation: np.ndarray, shift: np.ndarray, inverse_depth: float, out: np.ndarray
) -> None:
    """Look the neighbour up on one plane; -1 outside it."""
    height, width = image.shape
    sx, sy, sz = shift[0] * inverse_depth, shift[1] * inverse_depth, shift[2] * inverse_depth
    for y in range(height):
        py = np.float32(y + 0.5)
        bx = rotation[0, 1] * py + rotation[0, 2] + sx
        by = rotation[1, 1] * py + rotation[1, 2] + sy
        bz = rotation[2, 1] * py + rotation[2, 2] + sz
        for x in range(width):
            px = np.float32(x + 0.5)
            z = rotation[2, 0] * px + bz
            out[y, x] = np.float32(-1)
            if z <= 0:
                continue
            u = (rotation[0, 0] * px + bx) / z - np.float32(0.5)
            v = (rotation[1, 0] * px + by) / z - np.float32(0.5)
            if u < 0 or v < 0 or u >= width - 1 or v >= height - 1:
                continue
            ix, iy = int(u), int(v)
            fx, fy = u - np.float32(ix), v - np.float32(iy)
            top = image[iy, ix] + fx * (image[iy, ix + 1] - image[iy, ix])
            bottom = image[iy + 1, ix] + fx * (image[iy + 1, ix + 1] - image[iy + 1, ix])
            out[y, x] = top + fy * (bottom - top)


@kernel
def _multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    for y in range(a.shape[0]):
        for x in range(a.shape[1]):
            out[y, x] = a[y, x] * b[y, x]


@kernel
def _box(image: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Means over windows; in the margin of HALF pixels the value itself (those pixels are not scored)."""
    height, width = image.shape
    fifth = np.float32(1 / (2 * HALF + 1))
    for y in range(height):
        for x in range(HALF, width - HALF):
            total = image[y, x - 2] + image[y, x - 1] + image[y, x] + image[y, x + 1] + image[y, x + 2]
            rows[y, x] = total * fifth
    for y in range(HALF, height - HALF):
        for x in range(HALF, width - HALF):
            total = rows[y - 2, x] + rows[y - 1, x] + rows[y, x] + rows[y + 1, x] + rows[y + 2, x]
            out[y, x] = total * fifth


@kernel
def _correlate(
    warped: np.ndarray,
    mean_r: np.ndarray,
    variance_r: np.ndarray,
    mean_w: np.ndarray,
    mean_ww: np.ndarray,
    mean_rw: np.ndarray,
    out: np.ndarray,
) -> None:
    """Normalised cross-correlation; -1 where it says nothing."""
    height, width = warped.shape
    out[:] = -1
    for y in range(HALF, height - HALF):
        for x in range(HALF, width - HALF):
            variance = mean_ww[y, x] - mean_w[y, x] * mean_w[y, x]
            covariance = mean_rw[y, x] - mean_r[y, x] * mean_w[y, x]
            scale = np.sqrt(max(variance_r[y, x] * variance, np.float32(1e-12)))
            told = variance_r[y, x] > np.float32(TEXTURE) and warped[y, x] >= 0
            out[y, x] = covariance / scale if told else np.float32(-1)


@kernel
def _best_planes(scores: np.ndarray, inverse_depths: np.ndarray, depth: np.ndarray) -> None:
    """The plane with the best mean over the better half of the neighbours, refined by a parabola."""
    k, planes, height, width = scores.shape
    kept = max(1, k // 2)
    combined, ranked = np.empty((width, planes), np.float32), np.empty(k, np.float32)
    step = inverse_depths[1] - inverse_depths[0]
    for y in range(height):
        for d in range(planes):
            for x in range(width):
                for n in range(k):
                    score, m = scores[n, d, y, x], n
                    while m > 0 and ranked[m - 1] < score:
                        ranked[m] = ranked[m - 1]
                        m -= 1
                    ranked[m] = score
                total = np.float32(0)
                for n in range(kept):
                    total += ranked[n]
                combined[x, d] = total / kept
        for x in range(width):
            best = np.argmax(combined[x])
            before, at, after = (
                combined[x, max(best - 1, 0)],
                combined[x, best],
                combined[x, min(best + 1, planes - 1)],
            )
            depth[y, x] = 0
            if best == 0 or best == planes - 1 or at < MIN_CORRELATION:
                continue
            curvature = before - 2 * at + after
            offset = 0.0
            if curvature < -1e-6:
                offset = min(0.5, max(-0.5, 0.5 * (before - after) / curvature))
            depth[y, x] = 1 / (inverse_depths[best] + offset * step)
