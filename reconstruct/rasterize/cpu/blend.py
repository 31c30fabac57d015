"""Blending the splats of a tile, front to back.

A tile is 16 blocks of 4 x 4 pixels, one vector each. For a batch of the tile's splats, first every splat is tested
against all blocks at once (a vector of blocks) and entered in the lists of those it touches; then each block walks
its list with its state in registers. Small splats thus cost few vectors, and a block that is opaque stops alone.
"""

from __future__ import annotations

import math

import numpy as np

from ..reference import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE
from .parallel import kernel
from .projection import BLUE, DEPTH, GREEN, L1, L2, L3, LOG_OPACITY, RECORD, RED, X, Y
from .simd import LANES, bits, broadcast, exp2, fetch_add, load, maximum, minimum, select, store
from .tiles import TILE

BATCH = 256
"""Splats whose block lists are made at a time; their records stay in the first cache."""
BLOCKS = 16
"""Blocks of a tile."""
PIXELS = TILE * TILE
LOG2_MIN_ALPHA = math.log2(MIN_ALPHA)
COLUMN = np.tile(np.arange(4, dtype=np.float32), 4)
"""Column of each lane in its block, and of each block in its tile."""
ROW = np.repeat(np.arange(4, dtype=np.float32), 4)
TRANSMITTANCE, STOP, TILE_RED, TILE_GREEN, TILE_BLUE, TILE_DEPTH, MEDIAN, STATE = range(8)
"""Per-pixel state of a tile, [STATE, PIXELS], pixels by block and lane. Transmittance is negative once the pixel is
finished; STOP is one past the last of the tile's pairs that the pixel looked at before that."""
KEPT = 2
"""Of the state, what the backward pass needs: TRANSMITTANCE and STOP."""


@kernel
def lane_pixels(tile_x, tile_y, block):
    """Coordinates of a block's pixel centres."""
    x = load(COLUMN, 0) + (np.float32(tile_x + 4 * (block & 3)) + np.float32(0.5))
    y = load(ROW, 0) + (np.float32(tile_y + 4 * (block >> 2)) + np.float32(0.5))
    return x, y


@kernel
def image_pixel(tile_x, tile_y, pixel):
    """Column and row in the image of a pixel of a tile's state."""
    block, lane = pixel >> 4, pixel & 15
    return tile_x + 4 * (block & 3) + (lane & 3), tile_y + 4 * (block >> 2) + (lane >> 2)


@kernel
def touched_blocks(records, r, corner_x, corner_y):
    """Which of a tile's blocks a splat touches, one bit each.

    The least of u^2 + v^2 over a block's square of pixel centres is at the splat's centre if that is inside, else
    on one of the two sides that face it; along a side it is a parabola, cut off at the side's ends.
    """
    l1, l2, l3 = records[r + L1], records[r + L2], records[r + L3]
    left = corner_x - records[r + X]
    top = corner_y - records[r + Y]
    right, bottom = left + 3, top + 3
    side_x = maximum(minimum(right, 0), left)
    side_y = maximum(minimum(bottom, 0), top)
    nearest_y = maximum(minimum(bottom, side_x * (-l3 / l2)), top)
    nearest_x = maximum(minimum(right, side_y * (-l2 * l3 / (l1 * l1 + l3 * l3))), left)
    u, v = side_x * l1, nearest_y * l2 + side_x * l3
    on_vertical = u * u + v * v
    u, v = nearest_x * l1, side_y * l2 + nearest_x * l3
    on_horizontal = u * u + v * v
    reach = records[r + LOG_OPACITY] - np.float32(LOG2_MIN_ALPHA)
    return bits(minimum(on_vertical, on_horizontal) <= reach * np.float32(1.0001) + np.float32(1e-4))


@kernel
def gather_batch(all_records, splats, begin, end, records):
    """Copy the records of a batch of pairs side by side."""
    for position in range(end - begin):
        source = np.uintp(splats[begin + position])
        target = np.uintp(position * RECORD)
        store(records, target, load(all_records, source * np.uintp(RECORD)))


@kernel
def list_batch(masks, begin, end, lists, lengths):
    """Enter each pair of a batch in the lists of the blocks it touches.

    ``lists`` [BLOCKS * BATCH] holds positions in the batch, ``lengths`` [BLOCKS].
    """
    lengths[:] = 0
    for position in range(end - begin):
        touched = np.uint32(masks[begin + position])
        for block in range(BLOCKS):
            length = lengths[np.uintp(block)]
            lists[np.uintp(block * BATCH) + np.uintp(length)] = position
            lengths[np.uintp(block)] = length + np.int32((touched >> np.uint32(block)) & np.uint32(1))


@kernel
def blend_block(records, lists, first, length, before, x, y, features, ids, state, base, blended):
    """Walk one block's list, its state in registers; true once every pixel is finished.

    ``before`` is how many of the tile's pairs earlier batches held; the block's state begins at ``base``.
    """
    n_features = features.shape[1]
    stride = np.uintp(PIXELS)
    transmittance, stop = load(state, base), load(state, base + STOP * stride)
    red, green = load(state, base + TILE_RED * stride), load(state, base + TILE_GREEN * stride)
    blue, depth = load(state, base + TILE_BLUE * stride), load(state, base + TILE_DEPTH * stride)
    median = load(state, base + MEDIAN * stride)
    for entry in range(length):
        position = np.uintp(lists[first + np.uintp(entry)])
        r = position * np.uintp(RECORD)
        dx, dy = x - records[r + X], y - records[r + Y]
        u = dx * records[r + L1]
        v = dx * records[r + L3] + dy * records[r + L2]
        exponent = records[r + LOG_OPACITY] - u * u - v * v
        alpha = minimum(exp2(exponent), np.float32(MAX_ALPHA))
        alpha = select(exponent >= np.float32(LOG2_MIN_ALPHA), alpha, broadcast(0))
        weight = alpha * maximum(transmittance, 0)
        left = transmittance - weight
        goes_on = left > np.float32(MIN_TRANSMITTANCE)
        weight = select(goes_on, weight, broadcast(0))
        stop = select(goes_on, broadcast(before + position + np.uintp(1)), stop)
        z = records[r + DEPTH]
        median = select((weight > 0) & (transmittance > np.float32(0.5)), broadcast(z), median)
        red = red + weight * records[r + RED]
        green = green + weight * records[r + GREEN]
        blue = blue + weight * records[r + BLUE]
        depth = depth + weight * z
        for f in range(n_features):
            at = base + np.uintp(f) * stride
            store(blended, at, load(blended, at) + weight * features[ids[position], f])
        transmittance = select(goes_on, left, minimum(transmittance, broadcast(0) - transmittance))
        if bits(goes_on) == 0:
            break
    store(state, base, transmittance)
    store(state, base + STOP * stride, stop)
    store(state, base + TILE_RED * stride, red)
    store(state, base + TILE_GREEN * stride, green)
    store(state, base + TILE_BLUE * stride, blue)
    store(state, base + TILE_DEPTH * stride, depth)
    store(state, base + MEDIAN * stride, median)
    return bits(transmittance > 0) == 0


@kernel
def blend_tile(all_records, splats, begin, end, tile_x, tile_y, features, n, masks, scratch, state, blended):
    """Blend a tile's pairs ``begin`` to ``end`` into its state."""
    records, lists, lengths, ids = scratch
    corner_x = load(COLUMN, 0) * 4 + (np.float32(tile_x) + np.float32(0.5))
    corner_y = load(ROW, 0) * 4 + (np.float32(tile_y) + np.float32(0.5))
    opaque = np.uint32(0)
    for batch in range(begin, end, BATCH):
        batch_end = min(batch + BATCH, end)
        gather_batch(all_records, splats, batch, batch_end, records)
        for position in range(batch_end - batch):
            masks[batch + position] = touched_blocks(records, np.uintp(position * RECORD), corner_x, corner_y)
            ids[position] = splats[batch + position] % n
        list_batch(masks, batch, batch_end, lists, lengths)
        for block in range(BLOCKS):
            if not (opaque >> np.uint32(block)) & np.uint32(1):
                x, y = lane_pixels(tile_x, tile_y, block)
                if blend_block(
                    records, lists, np.uintp(block * BATCH), lengths[block], np.uintp(batch - begin), x, y,
                    features, ids, state, np.uintp(block * LANES), blended,
                ):  # fmt: skip
                    opaque |= np.uint32(1) << np.uint32(block)
        if opaque == np.uint32((1 << BLOCKS) - 1):
            break


@kernel
def blend(
    counter, records, offsets, splats, n, features, columns, rows, width, height,
    color, alpha, depth, median, blended, kept, masks,
):  # fmt: skip
    """Blend every tile of every camera into the images; ``depth`` is the sum of weight times depth.

    Also fills what the backward pass needs: ``kept`` [tiles, KEPT, PIXELS] and the blocks touched by each pair.
    """
    n_features = features.shape[1]
    state = np.empty((STATE, PIXELS), np.float32)
    flat_state = state.reshape(-1)
    tile_blended = np.empty((n_features, PIXELS), np.float32)
    flat_blended = tile_blended.reshape(-1)
    scratch = (
        np.empty(BATCH * RECORD, np.float32),
        np.empty(BLOCKS * BATCH, np.int32),
        np.empty(BLOCKS, np.int32),
        np.empty(BATCH, np.int32),
    )
    tile = fetch_add(counter)
    while tile < len(offsets) - 1:
        camera, place = tile // (columns * rows), tile % (columns * rows)
        tile_x, tile_y = (place % columns) * TILE, (place // columns) * TILE
        state[:] = 0
        tile_blended[:] = 0
        for pixel in range(PIXELS):
            column, row = image_pixel(tile_x, tile_y, pixel)
            state[TRANSMITTANCE, pixel] = 1 if column < width and row < height else -1
        blend_tile(
            records, splats, offsets[tile], offsets[tile + 1], tile_x, tile_y, features, n, masks, scratch,
            flat_state, flat_blended,
        )  # fmt: skip
        kept[tile] = state[:KEPT]
        for pixel in range(PIXELS):
            column, row = image_pixel(tile_x, tile_y, pixel)
            if column < width and row < height:
                passed = abs(state[TRANSMITTANCE, pixel])
                alpha[camera, row, column] = 1 - passed
                depth[camera, row, column] = state[TILE_DEPTH, pixel]
                median[camera, row, column] = state[MEDIAN, pixel] if passed <= 0.5 else 0
                color[camera, row, column, 0] = state[TILE_RED, pixel]
                color[camera, row, column, 1] = state[TILE_GREEN, pixel]
                color[camera, row, column, 2] = state[TILE_BLUE, pixel]
                for f in range(n_features):
                    blended[camera, row, column, f] = tile_blended[f, pixel]
        tile = fetch_add(counter)
