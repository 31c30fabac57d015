"""The inner loops of PatchMatch stereo: try the planes of neighbours and random ones, keep the best at every pixel."""

from __future__ import annotations

import math

import numpy as np

from ..rasterize.cpu.parallel import kernel
from ..rasterize.cpu.simd import LANES, add_4_sums, bits, broadcast, fetch_add, load, lookup, select

OFFSETS = np.array([-4, -1, 1, 4])
"""Rows and columns of a window's samples, in pixels from its centre."""
OFFSET_X = np.tile(OFFSETS, len(OFFSETS)).astype(np.float32)
OFFSET_Y = np.repeat(OFFSETS, len(OFFSETS)).astype(np.float32)
NEGLIGIBLE = np.float32(0.02)
"""Samples of less weight may lie outside the other picture."""
COLOR_SPREAD = 0.1
"""A sample counts 1/e as much where its grey differs by this much from the pixel's: windows stop at edges."""
TEXTURE = 1e-4
"""Variance of grey below which a window tells nothing."""
STEEPEST = 5.0
"""Tangent of the largest slant of a plane against the image, roughly."""


@kernel
def patch_match(
    counter: np.ndarray,
    grey: np.ndarray,
    neighbours: np.ndarray,
    rotations: np.ndarray,
    shifts: np.ndarray,
    focal: np.ndarray,
    near: float,
    far: float,
    sweeps: int,
    trials: int,
    refresh: int,
    kept: int,
    planes: np.ndarray,
    scores: np.ndarray,
    partners: np.ndarray,
) -> None:
    """Improve the planes of all views.

    A pixel's plane is its inverse depth and the slopes of inverse depth along x and y, per pixel.

    Args:
        counter: hands out views to threads.
        grey: [c, h, w].
        neighbours: [c, k] what each is compared with.
        rotations, shifts: [c, k, 3, 3], [c, k, 3]: neighbour's pixel ~ rotation @ pixel + inverse depth * shift.
        focal: [c] in pixels.
        near, far: greatest and least inverse depth.
        sweeps: times that all pixels are visited, from the first to the last and back in turn.
        trials: random changes tried at each visit.
        refresh: every so manieth sweep looks at all neighbours; the others, and all if it is 0, at the best ones.
        kept: how many of the neighbours, the best, make the score.
        planes: [c, h, w, 3] in and out.
        scores: [c, h, w] out: mean correlation of the best neighbours.
        partners: [c, h, w] bits of the best neighbours and one more, in and out.
    """
    height, width = grey.shape[1], grey.shape[2]
    samples, weights, sums = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.empty(4, np.float32)
    ranked, order = np.empty(neighbours.shape[1] + 1, np.float32), np.empty(neighbours.shape[1] + 1, np.int64)
    while True:
        piece = fetch_add(counter)
        if piece >= len(grey):
            break
        i = piece
        random = np.uint64(0x9E3779B97F4A7C15) * np.uint64(i + 1)
        for sweep in range(sweeps):
            looks_at_all = refresh > 0 and sweep % refresh == 0
            step = 1 if sweep % 2 == 0 else -1
            for yy in range(height):
                y = yy if step == 1 else height - 1 - yy
                for xx in range(width):
                    x = xx if step == 1 else width - 1 - xx
                    norm, mean = _look(grey[i], x, y, samples, weights)
                    if norm < 0:
                        scores[i, y, x] = -1
                        continue
                    w, gx, gy = planes[i, y, x]
                    whom = np.uint32(0xFFFFFFFF) if looks_at_all else partners[i, y, x]
                    best = np.float32(-2)
                    for trial in range(3 + trials):
                        tw, tx, ty = w, gx, gy
                        if trial == 0:
                            if sweep > 0:
                                best = scores[i, y, x]
                                continue
                        elif trial == 1:
                            if not 0 <= x - step < width:
                                continue
                            tw, tx, ty = planes[i, y, x - step]
                            tw += step * tx
                        elif trial == 2:
                            if not 0 <= y - step < height:
                                continue
                            tw, tx, ty = planes[i, y - step, x]
                            tw += step * ty
                        else:
                            random, a = _uniform(random)
                            random, b = _uniform(random)
                            random, c = _uniform(random)
                            reach = 0.5 ** (trial - 3 + 2 * sweep)
                            tw += np.float32(a * reach * 0.5 * (near - far))
                            limit = reach * STEEPEST * max(tw, far) / focal[i]
                            tx += np.float32(b * limit)
                            ty += np.float32(c * limit)
                        if tw < far or tw > near:
                            continue
                        score = _score(
                            grey, i, x, y, tw, tx, ty, neighbours[i], rotations[i], shifts[i],
                            samples, weights, norm, mean, kept, whom, ranked, order, sums,
                        )  # fmt: skip
                        if score > best:
                            best, w, gx, gy = score, tw, tx, ty
                            if looks_at_all:
                                partners[i, y, x] = _bits(order, kept + 1)
                    planes[i, y, x, 0], planes[i, y, x, 1], planes[i, y, x, 2] = w, gx, gy
                    scores[i, y, x] = best


@kernel
def _uniform(state):
    """The next state of xorshift64*, and a number in [-1, 1)."""
    state ^= state >> np.uint64(12)
    state ^= state << np.uint64(25)
    state ^= state >> np.uint64(27)
    bits = (state * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(40)
    return state, np.float64(bits) / (1 << 23) - 1


@kernel
def _look(image, x, y, samples, weights):
    """Fill the window's samples and their weights; root of the weighted variance (-1 if too little), and the mean."""
    height, width = image.shape
    centre = image[y, x]
    total = mean = square = np.float32(0)
    for k in range(LANES):
        px, py = x + np.int64(OFFSET_X[k]), y + np.int64(OFFSET_Y[k])
        weight = value = np.float32(0)
        if 0 <= px < width and 0 <= py < height:
            value = image[py, px]
            weight = np.float32(math.exp(-abs(value - centre) / COLOR_SPREAD))
        samples[k], weights[k] = value, weight
        total += weight
        mean += weight * value
        square += weight * value * value
    if total == 0:
        return np.float32(-1), mean
    mean /= total
    variance = square / total - mean * mean
    for k in range(LANES):
        weights[k] /= total
    return (np.float32(math.sqrt(variance)) if variance > TEXTURE else np.float32(-1)), mean


@kernel
def _score(
    grey, i, x, y, w, gx, gy, neighbours, rotations, shifts, samples, weights, norm, mean, kept, whom,
    ranked, order, sums,
):  # fmt: skip
    """Mean weighted correlation with the best neighbours over the window on a plane."""
    count = 0
    for n in range(len(neighbours)):
        if not (whom >> np.uint32(n)) & np.uint32(1):
            continue
        correlation = _correlation(
            grey[neighbours[n]], x, y, w, gx, gy, rotations[n], shifts[n], samples, weights, norm, mean, sums
        )
        m = count
        while m > 0 and ranked[m - 1] < correlation:
            ranked[m], order[m] = ranked[m - 1], order[m - 1]
            m -= 1
        ranked[m], order[m] = correlation, n
        count = min(count + 1, kept + 1)
    total = np.float32(0)
    for n in range(min(count, kept)):
        total += ranked[n]
    return total / np.float32(min(count, kept))


@kernel
def _bits(order, count):
    bits = np.uint32(0)
    for n in range(count):
        bits |= np.uint32(1) << np.uint32(order[n])
    return bits


@kernel
def _correlation(image, x, y, w, gx, gy, rotation, shift, samples, weights, norm, mean, sums):
    """Weighted correlation of the window with one neighbour; -1 if it is not in its picture."""
    height, width = image.shape
    px, py = np.float32(x) + np.float32(0.5), np.float32(y) + np.float32(0.5)
    dx, dy = load(OFFSET_X, 0), load(OFFSET_Y, 0)
    z = _row(2, px, py, dx, dy, w, gx, gy, rotation, shift)
    u = _row(0, px, py, dx, dy, w, gx, gy, rotation, shift) / z - np.float32(0.5)
    v = _row(1, px, py, dx, dy, w, gx, gy, rotation, shift) / z - np.float32(0.5)
    inside = (z > np.float32(1e-6)) & (u >= np.float32(0)) & (v >= np.float32(0))
    inside = inside & (u < np.float32(width - 1)) & (v < np.float32(height - 1))
    weight, sample = load(weights, 0), load(samples, 0)
    if bits(weight > NEGLIGIBLE) & ~bits(inside):
        return np.float32(-1)
    nothing = broadcast(0)
    value = lookup(image, width, select(inside, u, nothing), select(inside, v, nothing))
    weighted = weight * value
    sums[:] = 0
    add_4_sums(sums, 0, weighted, weighted * value, weighted * sample, nothing)
    variance = sums[1] - sums[0] * sums[0]
    if variance < np.float32(1e-6):
        return np.float32(-1)
    return (sums[2] - sums[0] * mean) / (norm * np.float32(math.sqrt(variance)))


@kernel
def _row(k, px, py, dx, dy, w, gx, gy, rotation, shift):
    """One homogeneous coordinate of the window's samples in the neighbour."""
    middle = rotation[k, 0] * px + rotation[k, 1] * py + rotation[k, 2] + w * shift[k]
    return (dx * (rotation[k, 0] + gx * shift[k]) + dy * (rotation[k, 1] + gy * shift[k])) + middle
