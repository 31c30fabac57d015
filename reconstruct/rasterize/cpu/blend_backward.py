"""The backward pass of the blending: from gradients of pixels to sums per splat-tile pair.

Blocks are walked back to front as they were walked front to back. With w = alpha T the weight of a splat (T: the
transmittance before it), g the dot product of its channels with the pixel's gradient, and S the sum of w g over all
splats behind it, the gradient of alpha is T g - S / (1 - alpha). Each pair belongs to one tile, so no two threads
write to the same place; the pairs of a splat are added up later, in a fixed order.
"""

from __future__ import annotations

import numpy as np

from ..constants import MAX_ALPHA
from .blend import (
    BATCH,
    BLOCKS,
    KEPT,
    PIXELS,
    STOP,
    TRANSMITTANCE,
    WORD,
    gather_batch,
    lane_pixels,
    splat_alpha,
    words_of_tile,
)
from .parallel import kernel
from .projection import BLUE, DEPTH, GREEN, L1, L2, L3, RECORD, RED
from .simd import (
    LANES,
    absolute,
    add_4_sums,
    add_8_sums,
    broadcast,
    fetch_add,
    highest_bit,
    load,
    select,
    store,
)
from .tiles import TILE

SUMS = 12
"""Sums per pair: of s, s u, s v, s u^2, s u v, s v^2, where s is the gradient of the exponent sigma in alpha = opacity
exp(-sigma); of the absolute gradients of the centre's x and y; of the gradients of red, green, blue and depth."""
GRAD_RED, GRAD_GREEN, GRAD_BLUE, GRAD_DEPTH, BEHIND, GRADIENTS = (np.uintp(PIXELS * k) for k in range(6))
"""Per-pixel gradients of a tile, [5 x PIXELS], then those of the features. BEHIND is S."""


@kernel
def blend_block_backward(
    records, words, first_word, n_words, before, x, y, state, gradients, base, features, splats, first_splat,
    sums, feature_sums,
):  # fmt: skip
    """Walk one block's splats of a batch back to front and add to the sums of the batch's pairs."""
    n_features = np.uintp(features.shape[1])
    transmittance, stop = load(state, base + TRANSMITTANCE), load(state, base + STOP)
    red, green = load(gradients, base + GRAD_RED), load(gradients, base + GRAD_GREEN)
    blue, depth = load(gradients, base + GRAD_BLUE), load(gradients, base + GRAD_DEPTH)
    behind = load(gradients, base + BEHIND)
    for k in range(n_words):
        group = n_words - k - np.uintp(1)
        word = words[first_word + group * np.uintp(BLOCKS)]
        while word != 0:
            bit = highest_bit(word)
            word ^= np.uint32(1) << bit
            position = group * np.uintp(WORD) + np.uintp(bit)
            r = position * np.uintp(RECORD)
            alpha, u, v = splat_alpha(records, r, x, y)
            alpha = select(stop > np.float32(np.int32(before + position)), alpha, broadcast(0))
            inverse = 1 / (1 - alpha)
            transmittance = transmittance * inverse
            weight = alpha * transmittance
            channels = red * records[r + RED] + green * records[r + GREEN]
            channels = channels + (blue * records[r + BLUE] + depth * records[r + DEPTH])
            for f in range(n_features):
                gradient = load(gradients, base + GRADIENTS + f * np.uintp(PIXELS))
                channels = channels + gradient * features[splats[position] - first_splat, f]
                at = (position * n_features + f) * np.uintp(LANES)
                store(feature_sums, at, load(feature_sums, at) + weight * gradient)
            s = alpha * (behind * inverse - transmittance * channels)
            s = select(alpha < np.float32(MAX_ALPHA), s, broadcast(0))
            behind = behind + weight * channels
            su, sv = s * u, s * v
            add_8_sums(
                sums, position * np.uintp(SUMS), s, su, sv, su * u, su * v, sv * v,
                absolute(su * records[r + L1] + sv * records[r + L3]), absolute(sv * records[r + L2]),
            )  # fmt: skip
            add_4_sums(
                sums, position * np.uintp(SUMS) + np.uintp(8),
                weight * red, weight * green, weight * blue, weight * depth,
            )  # fmt: skip
    store(state, base + TRANSMITTANCE, transmittance)
    store(gradients, base + BEHIND, behind)


@kernel
def load_gradients(gradients, state, tile_x, tile_y, width, height, first_pixel, images):
    """Copy the gradients of a tile's pixels from the images; 0 outside."""
    color, alpha, depth, features, n_features = images
    gradients[:] = 0
    for block in range(np.uintp(BLOCKS)):
        column = np.uintp(tile_x) + np.uintp(4) * (block & np.uintp(3))
        columns = min(np.int64(width) - np.int64(column), 4)
        for k in range(np.uintp(4)):
            row = np.uintp(tile_y) + np.uintp(4) * (block >> np.uintp(2)) + k
            if row >= np.uintp(height):
                break
            source = np.uintp(first_pixel) + row * np.uintp(width) + column
            pixel = block * np.uintp(LANES) + k * np.uintp(4)
            for _ in range(columns):
                gradients[pixel + GRAD_RED] = color[np.uintp(3) * source]
                gradients[pixel + GRAD_GREEN] = color[np.uintp(3) * source + np.uintp(1)]
                gradients[pixel + GRAD_BLUE] = color[np.uintp(3) * source + np.uintp(2)]
                gradients[pixel + GRAD_DEPTH] = depth[source]
                gradients[pixel + BEHIND] = -alpha[source] * state[pixel + TRANSMITTANCE]
                for f in range(n_features):
                    gradients[pixel + GRADIENTS + f * np.uintp(PIXELS)] = features[n_features * source + f]
                source += np.uintp(1)
                pixel += np.uintp(1)


@kernel
def blend_tile_backward(
    all_records, splats, slots, tile_x, tile_y, features, first_splat, words, records, state, gradients,
    sums, feature_sums, pair_sums, pair_feature_sums,
):  # fmt: skip
    """Walk a tile's batches back to front and write the sums of its pairs to their slots."""
    n_features = np.uintp(features.shape[1])
    looked_at = 0
    for pixel in range(np.uintp(PIXELS)):
        looked_at = max(looked_at, np.int64(state[pixel + STOP]))
    for batch in range((looked_at + BATCH - 1) // BATCH, 0, -1):
        begin = (batch - 1) * BATCH
        end = min(begin + BATCH, looked_at)
        n_words = np.uintp((end - begin + WORD - 1) // WORD)
        listed = min(
            begin + np.int64(n_words) * WORD, len(splats)
        )  # all that the words may name, looked at or not
        gather_batch(all_records, splats, begin, listed, records)
        sums[:] = 0
        feature_sums[:] = 0
        first_word = np.uintp(begin // WORD * BLOCKS)
        for block in range(BLOCKS):
            x, y = lane_pixels(tile_x, tile_y, block)
            blend_block_backward(
                records, words, first_word + np.uintp(block), n_words, np.uintp(begin), x, y, state, gradients,
                np.uintp(block * LANES), features, splats[begin:listed], first_splat, sums, feature_sums,
            )  # fmt: skip
        for position in range(np.uintp(end - begin)):
            slot = np.uintp(slots[np.uintp(begin) + position])
            for k in range(np.uintp(SUMS)):
                pair_sums[slot * np.uintp(SUMS) + k] = sums[position * np.uintp(SUMS) + k]
            for f in range(n_features):
                total = np.float32(0)
                for lane in range(np.uintp(LANES)):
                    total += feature_sums[(position * n_features + f) * np.uintp(LANES) + lane]
                pair_feature_sums[slot * n_features + f] = total
    for pair in range(looked_at, len(splats)):
        slot = np.uintp(slots[pair])
        for k in range(np.uintp(SUMS)):
            pair_sums[slot * np.uintp(SUMS) + k] = 0
        for f in range(n_features):
            pair_feature_sums[slot * n_features + f] = 0


@kernel
def blend_backward(
    counter, records, offsets, splats, slots, n, features, columns, rows, width, height, kept, words,
    color, alpha, depth, blended, pair_sums, pair_feature_sums,
):  # fmt: skip
    """Fill the sums of every pair, by slot, from the gradients of the images (flat)."""
    n_features = features.shape[1]
    images = (color, alpha, depth, blended, np.uintp(n_features))
    state = np.empty(KEPT, np.float32)
    gradients = np.empty(np.int64(GRADIENTS) + n_features * PIXELS, np.float32)
    batch = np.empty(BATCH * RECORD, np.float32)
    sums = np.empty(BATCH * SUMS, np.float32)
    feature_sums = np.empty(BATCH * n_features * LANES, np.float32)
    tile = fetch_add(counter)
    while tile < len(offsets) - 1:
        camera, place = tile // (columns * rows), tile % (columns * rows)
        tile_x, tile_y = (place % columns) * TILE, (place // columns) * TILE
        begin, end = offsets[tile], offsets[tile + 1]
        for k in range(KEPT):
            state[k] = kept[tile, k]
        load_gradients(gradients, state, tile_x, tile_y, width, height, camera * height * width, images)
        first_word, end_word = words_of_tile(offsets, tile)
        blend_tile_backward(
            records, splats[begin:end], slots[begin:end], tile_x, tile_y, features, camera * n,
            words[first_word:end_word], batch, state, gradients, sums, feature_sums, pair_sums, pair_feature_sums,
        )  # fmt: skip
        tile = fetch_add(counter)
