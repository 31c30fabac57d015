"""Kernels of ``patches``: which piece of a picture is most like what stands around a pixel, and what they all vote for.

Source: Barnes et al., PatchMatch (SIGGRAPH 2009): good matches are found by chance and handed on to neighbours. Here a
round reads the matches of the round before and writes new ones, so that the order of threads does not matter.
"""

# pyright: reportIndexIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import numba
import numpy as np

from ...reconstruct.rasterize.cpu.parallel import kernel
from ...reconstruct.rasterize.cpu.simd import fetch_add

RADIUS = 3
"""Of patches, in pixels."""
CHANNELS = 4
"""Of padded pictures: red, green, blue, and one that is 0, because four floats are loaded at once."""
TRAITS = 5
"""Numbers that describe what surrounds a pixel at large."""
CHUNK = 256
"""Pixels that a thread takes at a time."""
UNUSABLE = np.float32(3e38)
"""Larger than any distance."""


@numba.njit(nogil=True, inline="always")
def _distance(picture, weights, traits, crowd, usable, y, x, source_y, source_x, limit):
    """Weighted squared difference of two patches and of their surroundings; some number above the limit if it is more.

    The picture and its weights have a margin of ``RADIUS``, so that a patch starts at its centre's coordinates. What is
    no usable source differs by ``UNUSABLE``.
    """
    height, width = usable.shape
    if (
        source_y < 0
        or source_x < 0
        or source_y >= height
        or source_x >= width
        or not usable[source_y, source_x]
    ):
        return UNUSABLE
    total = crowd[source_y, source_x]
    for trait in range(TRAITS):
        apart = traits[y, x, trait] - traits[source_y, source_x, trait]
        total += apart * apart
    if total > limit:
        return total
    for row in range(2 * RADIUS + 1):
        for column in range(2 * RADIUS + 1):
            squared = np.float32(0.0)
            for channel in range(CHANNELS):
                apart = (
                    picture[y + row, x + column, channel]
                    - picture[source_y + row, source_x + column, channel]
                )
                squared += apart * apart
            total += weights[y + row, x + column] * squared
        if total > limit:
            return total
    return total


@numba.njit(nogil=True)
def _random(a, b, c):
    """A 32-bit number that depends on three others alone."""
    mixed = np.uint32(a) * np.uint32(2654435761)
    mixed ^= np.uint32(b) * np.uint32(2246822519)
    mixed ^= np.uint32(c) * np.uint32(3266489917)
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(2246822519)
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(3266489917)
    return mixed ^ (mixed >> np.uint32(16))


@kernel
def improve(
    counter, picture, weights, traits, crowd, usable, at, index, matches, found, costs, jump, radius, seed
):
    """Better matches for target pixels: those of pixels ``jump`` away, shifted, and random ones around the best.

    Args:
        counter: of pieces of work.
        picture: float32 [h + 2 r, w + 2 r, 4].
        weights: float32 [h + 2 r, w + 2 r], of the picture's pixels in target patches; 0 in the margin.
        traits: float32 [h, w, 5].
        crowd: float32 [h, w]; added to the distance from what was chosen often enough.
        usable: bool [h, w]; centres of source patches.
        at: int32 [n, 2]; target pixels.
        index: int32 [h, w]; number of the target at each pixel, -1 where there is none.
        matches: int32 [n, 2]; source pixels so far.
        found: int32 [n, 2]; written.
        costs: float32 [n]; distances of those found; written.
        jump: pixels.
        radius: of the widest random step; each is half as wide as the one before.
        seed: of the random numbers.
    """
    height, width = usable.shape
    while True:
        start = fetch_add(counter) * CHUNK
        if start >= len(at):
            return
        for target in range(start, min(start + CHUNK, len(at))):
            y, x = at[target, 0], at[target, 1]
            best_y, best_x = matches[target, 0], matches[target, 1]
            best = _distance(picture, weights, traits, crowd, usable, y, x, best_y, best_x, UNUSABLE)
            for side in range(4):
                down = jump * ((side == 0) - (side == 1))
                right = jump * ((side == 2) - (side == 3))
                if y + down < 0 or x + right < 0 or y + down >= height or x + right >= width:
                    continue
                neighbour = index[y + down, x + right]
                if neighbour < 0:
                    continue
                source_y, source_x = matches[neighbour, 0] - down, matches[neighbour, 1] - right
                distance = _distance(picture, weights, traits, crowd, usable, y, x, source_y, source_x, best)
                if distance < best:
                    best, best_y, best_x = distance, source_y, source_x
            step, draw = radius, 0
            while step >= 1:
                source_y = best_y - step + int(_random(target, seed, draw) % np.uint32(2 * step + 1))
                source_x = best_x - step + int(_random(target, seed, draw + 1) % np.uint32(2 * step + 1))
                distance = _distance(picture, weights, traits, crowd, usable, y, x, source_y, source_x, best)
                if distance < best:
                    best, best_y, best_x = distance, source_y, source_x
                step, draw = step // 2, draw + 2
            found[target, 0], found[target, 1], costs[target] = best_y, best_x, best


@kernel
def vote(counter, picture, at, index, matches, shares, colors):
    """Colours for some pixels: the mean of what all patches that cover them say.

    Args:
        counter: of pieces of work.
        picture: float32 [h + 2 r, w + 2 r, 4].
        at: int32 [n, 2]; the pixels.
        index: int32 [h, w]; number of the target at each pixel, -1 where there is none.
        matches: int32 [m, 2]; source pixels of the targets.
        shares: float32 [m]; how much each target's patch counts.
        colors: float32 [n, 3]; written.
    """
    height, width = index.shape
    while True:
        start = fetch_add(counter) * CHUNK
        if start >= len(at):
            return
        for pixel in range(start, min(start + CHUNK, len(at))):
            y, x = at[pixel, 0], at[pixel, 1]
            red = green = blue = total = np.float32(0.0)
            for down in range(-RADIUS, RADIUS + 1):
                for right in range(-RADIUS, RADIUS + 1):
                    if y + down < 0 or x + right < 0 or y + down >= height or x + right >= width:
                        continue
                    target = index[y + down, x + right]
                    if target < 0:
                        continue
                    source_y = matches[target, 0] - down + RADIUS
                    source_x = matches[target, 1] - right + RADIUS
                    share = shares[target]
                    red += share * picture[source_y, source_x, 0]
                    green += share * picture[source_y, source_x, 1]
                    blue += share * picture[source_y, source_x, 2]
                    total += share
            colors[pixel, 0], colors[pixel, 1], colors[pixel, 2] = red / total, green / total, blue / total
