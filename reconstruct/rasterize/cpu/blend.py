"""Blending the splats of a tile, front to back.

A tile is 16 blocks of 4 x 4 pixels, one vector each. Every splat of the tile is tested against all blocks at once (a
vector of blocks), which leaves for every block and every 32 splats a word whose bits are the splats that touch it.
Then each block walks its splats with its state in registers. Small splats thus cost few vectors, and a block that is
opaque stops alone.
"""

from __future__ import annotations

import math

import numpy as np

from ..constants import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from .parallel import kernel
from .projection import BLUE, DEPTH, GREEN, L1, L2, L3, LOG_OPACITY, RECORD, RED, X, Y
from .simd import (
    LANES,
    bits,
    broadcast,
    exp2,
    fetch_add,
    load,
    lowest_bit,
    maximum,
    minimum,
    no_bits,
    select,
    set_bit,
    store,
)
from .tiles import TILE

WORD = 32
"""Splats per word of touched blocks."""
BATCH = 8 * WORD
"""Splats whose records are gathered at a time; they stay in the first cache."""
BLOCKS = 16
"""Blocks of a tile."""
PIXELS = TILE * TILE
LOG2_MIN_ALPHA = np.float32(math.log2(MIN_ALPHA))
COLUMN = np.tile(np.arange(4, dtype=np.float32), 4)
"""Column of each lane in its block, and of each block in its tile."""
ROW = np.repeat(np.arange(4, dtype=np.float32), 4)
TRANSMITTANCE, STOP, TILE_RED, TILE_GREEN, TILE_BLUE, TILE_DEPTH, MEDIAN, LIVE, STATE = (
    np.uintp(PIXELS * k) for k in range(9)
)
"""Per-pixel state of a tile, [9 x PIXELS], pixels by block and lane. A pixel is finished at the splat that would make
it too dark; STOP is the number of the tile's splats before that one. LIVE is the transmittance, 0 once finished."""
KEPT = 2 * PIXELS
"""Of the state, what the backward pass needs: TRANSMITTANCE and STOP."""


@kernel
def lane_pixels(tile_x, tile_y, block):
    """Coordinates of a block's pixel centres."""
    x = load(COLUMN, 0) + (np.float32(tile_x + 4 * (block & 3)) + np.float32(0.5))
    y = load(ROW, 0) + (np.float32(tile_y + 4 * (block >> 2)) + np.float32(0.5))
    return x, y


@kernel
def touched_blocks(records, r, corner_x, corner_y):
    """Which blocks, given by their first pixel centres, a splat touches.

    The least of u^2 + v^2 over a block's square of pixel centres is at the splat's centre if that is inside, else
    on one of the two sides that face it; along a side it is a parabola, cut off at the side's ends.
    """
    l1, l2, l3 = records[r + L1], records[r + L2], records[r + L3]
    left, top = corner_x - records[r + X], corner_y - records[r + Y]
    right, bottom = left + 3, top + 3
    side_x = maximum(minimum(right, 0), left)
    side_y = maximum(minimum(bottom, 0), top)
    nearest_y = maximum(minimum(bottom, side_x * (-l3 / l2)), top)
    nearest_x = maximum(minimum(right, side_y * (-l2 * l3 / (l1 * l1 + l3 * l3))), left)
    u, v = side_x * l1, nearest_y * l2 + side_x * l3
    on_vertical = u * u + v * v
    u, v = nearest_x * l1, side_y * l2 + nearest_x * l3
    on_horizontal = u * u + v * v
    reach = records[r + LOG_OPACITY] - LOG2_MIN_ALPHA
    return minimum(on_vertical, on_horizontal) <= reach * np.float32(1.0001) + np.float32(1e-4)


@kernel
def gather_batch(all_records, splats, begin, end, records):
    """Copy the records of a batch of pairs side by side."""
    for position in range(np.uintp(end - begin)):
        source = np.uintp(splats[np.uintp(begin) + position]) * np.uintp(RECORD)
        store(records, position * np.uintp(RECORD), load(all_records, source))


@kernel
def splat_alpha(records, r, x, y):
    """Coverage of pixels by a splat, 0 where it is too little to be drawn; and u and v, see ``projection``."""
    dx, dy = x - records[r + X], y - records[r + Y]
    u = dx * records[r + L1]
    v = dx * records[r + L3] + dy * records[r + L2]
    exponent = records[r + LOG_OPACITY] - u * u - v * v
    alpha = minimum(exp2(exponent), np.float32(MAX_ALPHA))
    return select(exponent >= LOG2_MIN_ALPHA, alpha, broadcast(0)), u, v


@kernel
def blend_block(records, words, first_word, n_words, before, x, y, state, base):
    """Walk one block's splats, its state in registers; true once every pixel is finished.

    ``words`` from ``first_word``, every BLOCKS one, tell the splats of the batch; ``before`` is how many splats
    earlier batches held; the block's state begins at ``base``.
    """
    live = load(state, base + LIVE)
    red, green = load(state, base + TILE_RED), load(state, base + TILE_GREEN)
    blue, depth = load(state, base + TILE_BLUE), load(state, base + TILE_DEPTH)
    median = load(state, base + MEDIAN)
    transmittance, stop = load(state, base + TRANSMITTANCE), load(state, base + STOP)
    unfinished = bits(live > 0)
    for group in range(n_words):
        word = words[first_word + group * np.uintp(BLOCKS)]
        while word != 0:
            position = group * np.uintp(WORD) + np.uintp(lowest_bit(word))
            word &= word - np.uint32(1)
            r = position * np.uintp(RECORD)
            alpha, _, _ = splat_alpha(records, r, x, y)
            weight = alpha * live
            left = live * (1 - alpha)
            go_on = left > np.float32(MIN_TRANSMITTANCE)
            if bits(go_on) != unfinished:
                finished = select(go_on, broadcast(0), live) > 0
                stop = select(finished, broadcast(np.float32(np.int32(before + position))), stop)
                transmittance = select(finished, live, transmittance)
                weight, left = select(go_on, weight, broadcast(0)), select(go_on, left, broadcast(0))
                unfinished = bits(go_on)
            z = records[r + DEPTH]
            median = select(live > maximum(left, np.float32(0.5)), broadcast(z), median)
            live = left
            red = red + weight * records[r + RED]
            green = green + weight * records[r + GREEN]
            blue = blue + weight * records[r + BLUE]
            depth = depth + weight * z
            if unfinished == 0:
                break
        if unfinished == 0:
            break
    store(state, base + TRANSMITTANCE, transmittance)
    store(state, base + STOP, stop)
    store(state, base + LIVE, live)
    store(state, base + TILE_RED, red)
    store(state, base + TILE_GREEN, green)
    store(state, base + TILE_BLUE, blue)
    store(state, base + TILE_DEPTH, depth)
    store(state, base + MEDIAN, median)
    return unfinished == 0


@kernel
def blend_block_features(
    records, words, first_word, n_words, before, x, y, state, base, features, splats, first_splat, blended
):  # fmt: skip
    """Walk one block's splats again, after ``blend_block``, for the extra channels.

    ``splats`` tells the splat of each of the batch's pairs, in rows of ``features`` plus ``first_splat``.
    """
    stop = load(state, base + STOP)
    passed = load(blended, base)
    for group in range(n_words):
        word = words[first_word + group * np.uintp(BLOCKS)]
        while word != 0:
            position = group * np.uintp(WORD) + np.uintp(lowest_bit(word))
            word &= word - np.uint32(1)
            alpha, _, _ = splat_alpha(records, position * np.uintp(RECORD), x, y)
            alpha = select(stop > np.float32(np.int32(before + position)), alpha, broadcast(0))
            weight = alpha * passed
            passed = passed * (1 - alpha)
            splat = splats[position] - first_splat
            for f in range(features.shape[1]):
                at = base + np.uintp(f + 1) * np.uintp(PIXELS)
                store(blended, at, load(blended, at) + weight * features[splat, f])
    store(blended, base, passed)


@kernel
def blend_tile(all_records, splats, tile_x, tile_y, features, first_splat, words, records, state, blended):
    """Blend a tile's splats into its state."""
    corner_x = load(COLUMN, 0) * 4 + (np.float32(tile_x) + np.float32(0.5))
    corner_y = load(ROW, 0) * 4 + (np.float32(tile_y) + np.float32(0.5))
    opaque = np.uint32(0)
    for begin in range(0, len(splats), BATCH):
        end = min(begin + BATCH, len(splats))
        gather_batch(all_records, splats, begin, end, records)
        first_word = np.uintp(begin // WORD * BLOCKS)
        n_words = np.uintp((end - begin + WORD - 1) // WORD)
        for group in range(n_words):
            word = no_bits()
            for k in range(min(WORD, end - begin - WORD * np.int64(group))):
                r = (group * np.uintp(WORD) + np.uintp(k)) * np.uintp(RECORD)
                word = set_bit(word, touched_blocks(records, r, corner_x, corner_y), np.uint32(k))
            store(words, first_word + group * np.uintp(BLOCKS), word)
        for block in range(BLOCKS):
            if opaque & (np.uint32(1) << np.uint32(block)):
                continue
            x, y = lane_pixels(tile_x, tile_y, block)
            first, base = first_word + np.uintp(block), np.uintp(block * LANES)
            if blend_block(records, words, first, n_words, np.uintp(begin), x, y, state, base):
                opaque |= np.uint32(1) << np.uint32(block)
            if features.shape[1]:
                blend_block_features(
                    records, words, first, n_words, np.uintp(begin), x, y, state, base,
                    features, splats[begin:end], first_splat, blended,
                )  # fmt: skip
        if opaque == np.uint32((1 << BLOCKS) - 1):
            break


@kernel
def words_of_tile(offsets, tile):
    """Where a tile's words of touched blocks begin and end."""
    begin, end = offsets[tile], offsets[tile + 1]
    first = begin // WORD + tile
    return first * BLOCKS, (first + (end - begin + WORD - 1) // WORD) * BLOCKS


@kernel
def start_tile(state, blended, tile_x, tile_y, width, height, pairs):
    """Nothing drawn yet; pixels outside the image are finished."""
    state[:] = 0
    blended[:] = 0
    for block in range(np.uintp(BLOCKS)):
        base = block * np.uintp(LANES)
        x, y = lane_pixels(tile_x, tile_y, np.int64(block))
        inside = (x < np.float32(width)) & (y < np.float32(height))
        store(state, base + LIVE, select(inside, broadcast(1), broadcast(0)))
        store(state, base + STOP, select(inside, broadcast(np.float32(pairs)), broadcast(0)))
        store(blended, base, select(inside, broadcast(1), broadcast(0)))


@kernel
def finish_tile(state, blended, tile_x, tile_y, width, height, first_pixel, images):
    """Copy a tile's state to the images, flat, where the camera's pixels begin at ``first_pixel``."""
    color, alpha, depth, median, features, n_features = images
    for pixel in range(np.uintp(PIXELS)):
        if state[pixel + LIVE] > 0:
            state[pixel + TRANSMITTANCE] = state[pixel + LIVE]
    for block in range(np.uintp(BLOCKS)):
        column = np.uintp(tile_x) + np.uintp(4) * (block & np.uintp(3))
        columns = min(np.int64(width) - np.int64(column), 4)
        for k in range(np.uintp(4)):
            row = np.uintp(tile_y) + np.uintp(4) * (block >> np.uintp(2)) + k
            if row >= np.uintp(height):
                break
            target = np.uintp(first_pixel) + row * np.uintp(width) + column
            pixel = block * np.uintp(LANES) + k * np.uintp(4)
            for _ in range(columns):
                passed = state[pixel + TRANSMITTANCE]
                alpha[target] = 1 - passed
                depth[target] = state[pixel + TILE_DEPTH]
                median[target] = state[pixel + MEDIAN] if passed <= np.float32(0.5) else 0
                color[np.uintp(3) * target] = state[pixel + TILE_RED]
                color[np.uintp(3) * target + np.uintp(1)] = state[pixel + TILE_GREEN]
                color[np.uintp(3) * target + np.uintp(2)] = state[pixel + TILE_BLUE]
                for f in range(n_features):
                    features[n_features * target + f] = blended[(f + np.uintp(1)) * np.uintp(PIXELS) + pixel]
                target += np.uintp(1)
                pixel += np.uintp(1)


@kernel
def blend(
    counter, records, offsets, splats, n, features, columns, rows, width, height,
    color, alpha, depth, median, blended, kept, words,
):  # fmt: skip
    """Blend every tile of every camera into the images, which are flat; ``depth`` is the sum of weight times depth.

    Also fills what the backward pass needs: ``kept`` [tiles, KEPT] and the blocks that each pair touches.
    """
    n_features = np.uintp(features.shape[1])
    images = (color, alpha, depth, median, blended, n_features)
    state = np.empty(STATE, np.float32)
    tile_blended = np.empty((features.shape[1] + 1) * PIXELS, np.float32)
    batch = np.empty(BATCH * RECORD, np.float32)
    tile = fetch_add(counter)
    while tile < len(offsets) - 1:
        camera, place = tile // (columns * rows), tile % (columns * rows)
        tile_x, tile_y = (place % columns) * TILE, (place // columns) * TILE
        begin, end = offsets[tile], offsets[tile + 1]
        start_tile(state, tile_blended, tile_x, tile_y, width, height, end - begin)
        first_word, end_word = words_of_tile(offsets, tile)
        blend_tile(
            records, splats[begin:end], tile_x, tile_y, features, camera * n, words[first_word:end_word], batch,
            state, tile_blended,
        )  # fmt: skip
        finish_tile(state, tile_blended, tile_x, tile_y, width, height, camera * height * width, images)
        for k in range(KEPT):
            kept[tile, k] = state[k]
        tile = fetch_add(counter)
