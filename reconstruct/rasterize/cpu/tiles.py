"""Which splats touch which tiles, front to back.

The splats of a camera are sorted by depth once; walking them in that order and appending each to the tiles it
touches leaves every tile's list sorted. A splat touches a tile if its ellipse of alpha >= MIN_ALPHA, cut to the
tile's rows of pixel centres, reaches one of the tile's columns (exact, as in Speedy-Splat's AccuTile, Hanson et al.
2025, but for pixel centres).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .parallel import kernel, run_parallel
from .projection import CHUNK, DEPTH, HALF_WIDTH, REACH_X, REACH_Y, RECORD, RIGHTMOST, SHEAR, X, Y
from .simd import fetch_add

TILE = 16
"""Pixels along a tile's side."""
PIECES = 16
"""Parts into which the sorted splats are cut to be appended in parallel."""
SLACK = 1e-3
"""Pixels by which ellipses are enlarged, so that rounding never loses a pixel that the blending would draw."""


@dataclass(frozen=True)
class TileLists:
    """Splat-tile pairs, grouped by tile (row by row, camera by camera), front to back within each."""

    offsets: np.ndarray
    """[tiles + 1] where each tile's pairs begin."""
    splats: np.ndarray
    """[pairs] index camera * n + splat of each pair."""
    slots: np.ndarray
    """[pairs] position of each pair when pairs are grouped by splat."""
    slot_offsets: np.ndarray
    """[c * n + 1] where each splat's slots begin."""
    columns: int
    rows: int


def build_tile_lists(records: np.ndarray, radii: np.ndarray, width: int, height: int) -> TileLists:
    """Pairs of every camera.

    Args:
        records: [c, n, RECORD], see ``projection``.
        radii: [c, n, 2], 0 for splats not seen.
        width, height: of the images.
    """
    cameras, n = records.shape[:2]
    columns, rows = -(-width // TILE), -(-height // TILE)
    order, ends = sort_by_depth(records, radii)
    camera_of_piece, starts = _pieces(ends)
    records, tiles = records.reshape(cameras * n, RECORD), columns * rows
    counts = np.zeros((len(starts) - 1, tiles), np.int32)
    slot_offsets = np.zeros(cameras * n + 1, np.int64)
    boxes = np.empty((cameras * n, 4), np.int32)
    run_parallel(bound_tiles, records, radii.reshape(cameras * n, 2), width, height, boxes)
    run_parallel(count_pairs, records, order, starts, width, columns, boxes, counts, slot_offsets)
    np.cumsum(slot_offsets, out=slot_offsets)
    pairs = int(slot_offsets[-1])
    offsets = np.zeros(cameras * tiles + 1, np.int64)
    place_pieces(counts, camera_of_piece, offsets)
    splats, slots = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    run_parallel(
        append_pairs, records, order, starts, width, columns, boxes, counts, slot_offsets, splats, slots
    )
    return TileLists(offsets, splats, slots, slot_offsets, columns, rows)


def _pieces(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut each camera's part of the order into equal pieces: the camera of each, and where they begin."""
    begins = np.concatenate([[0], ends[:-1]])
    per_camera = max(1, PIECES // max(1, len(ends)))
    starts = [np.linspace(b, e, per_camera + 1).astype(np.int64)[:-1] for b, e in zip(begins, ends)]
    return np.repeat(np.arange(len(ends)), per_camera), np.concatenate([*starts, ends[-1:]])


@kernel
def sort_by_depth(records, radii):
    """Indices of seen splats, by camera, depth and index; and where each camera's part ends.

    A radix sort on the bits of the depths, which are positive floats and so in the order of their bits.
    """
    cameras, n = records.shape[:2]
    digits, passes = 2048, 3
    seen = 0
    for c in range(cameras):
        for i in range(n):
            seen += radii[c, i, 0] > 0
    ends = np.empty(cameras, np.int64)
    order, keys = np.empty(seen, np.int32), np.empty(seen, np.uint32)
    next_order, next_keys = np.empty(seen, np.int32), np.empty(seen, np.uint32)
    end = 0
    for c in range(cameras):
        for i in range(n):
            if radii[c, i, 0] > 0:
                order[end] = c * n + i
                keys[end] = np.float32(records[c, i, DEPTH]).view(np.uint32)
                end += 1
        ends[c] = end
    position = np.empty(digits + 1, np.int64)
    for p in range(passes):
        shift = np.uint32(11 * p)
        begin = 0
        for c in range(cameras):
            position[:] = 0
            for j in range(begin, ends[c]):
                position[((keys[j] >> shift) & np.uint32(2047)) + 1] += 1
            position[0] = begin
            for digit in range(digits):
                position[digit + 1] += position[digit]
            for j in range(begin, ends[c]):
                digit = (keys[j] >> shift) & np.uint32(2047)
                target = position[digit]
                position[digit] += 1
                next_keys[target] = keys[j]
                next_order[target] = order[j]
            begin = ends[c]
        order, next_order = next_order, order
        keys, next_keys = next_keys, keys
    return order, ends


@kernel
def tile_span(low, high, size):
    """First tile and one past the last that hold a pixel centre between two coordinates."""
    first, last = max(math.ceil(low - SLACK - 0.5), 0), min(math.floor(high + SLACK - 0.5), size - 1)
    return (first // TILE, last // TILE + 1) if first <= last else (0, 0)


@kernel
def tile_columns(records, i, row, width):
    """First tile column and one past the last that the splat touches in a row of tiles."""
    reach_y, rightmost = records[i, REACH_Y], records[i, RIGHTMOST]
    top = max(row * TILE + 0.5 - records[i, Y] - SLACK, -reach_y)
    bottom = min(row * TILE + (TILE - 0.5) - records[i, Y] + SLACK, reach_y)
    # The right end is a concave function of the height, so within these rows it is greatest as near to the
    # rightmost point as they come; the left end likewise.
    at_right, at_left = min(max(rightmost, top), bottom), min(max(-rightmost, top), bottom)
    narrowing_right = math.sqrt(max(1 - (at_right / reach_y) ** 2, 0))
    narrowing_left = math.sqrt(max(1 - (at_left / reach_y) ** 2, 0))
    left = records[i, SHEAR] * at_left - records[i, HALF_WIDTH] * narrowing_left
    right = records[i, SHEAR] * at_right + records[i, HALF_WIDTH] * narrowing_right
    return tile_span(records[i, X] + left, records[i, X] + right, width)


@kernel
def bound_tiles(counter, records, radii, width, height, boxes):
    """The tiles of each seen splat's bounding box: first and end row, first and end column."""
    n = len(boxes)
    pieces = (n + CHUNK - 1) // CHUNK
    piece = fetch_add(counter)
    while piece < pieces:
        for i in range(piece * CHUNK, min(n, (piece + 1) * CHUNK)):
            if radii[i, 0] > 0:
                x, y, reach_x, reach_y = (
                    records[i, X],
                    records[i, Y],
                    records[i, REACH_X],
                    records[i, REACH_Y],
                )
                boxes[i, 0], boxes[i, 1] = tile_span(y - reach_y, y + reach_y, height)
                boxes[i, 2], boxes[i, 3] = tile_span(x - reach_x, x + reach_x, width)
        piece = fetch_add(counter)


@kernel
def spread_piece(counter, pieces):
    """The next piece of work, such that pieces done at the same time are far apart and share no cache lines."""
    k = fetch_add(counter)
    return k // 2 + (k % 2) * ((pieces + 1) // 2) if k < pieces else pieces


@kernel
def count_pairs(counter, records, order, starts, width, columns, boxes, counts, slot_offsets):
    """Pairs of each tile in each piece of the order; and of each splat, one place late, to be summed up."""
    piece = spread_piece(counter, len(starts) - 1)
    while piece < len(starts) - 1:
        for j in range(starts[piece], starts[piece + 1]):
            i = order[j]
            first_row, end_row, first, end = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
            is_line = end_row - first_row == 1 or end - first == 1
            pairs = 0
            for row in range(first_row, end_row):
                if not is_line:
                    first, end = tile_columns(records, i, row, width)
                for column in range(first, end):
                    counts[piece, row * columns + column] += 1
                pairs += end - first
            slot_offsets[i + 1] = pairs
        piece = spread_piece(counter, len(starts) - 1)


@kernel
def place_pieces(counts, camera_of_piece, offsets):
    """Turn counts into the places where each piece begins in each tile; and the tiles' offsets."""
    pieces, tiles = counts.shape
    place = 0
    first = 0
    while first < pieces:
        end = first
        while end < pieces and camera_of_piece[end] == camera_of_piece[first]:
            end += 1
        for tile in range(tiles):
            offsets[camera_of_piece[first] * tiles + tile] = place
            for piece in range(first, end):
                count = counts[piece, tile]
                counts[piece, tile] = place
                place += count
        first = end
    offsets[len(offsets) - 1] = place


@kernel
def append_pairs(
    counter, records, order, starts, width, columns, boxes, counts, slot_offsets, splats, slots
):  # fmt: skip
    """Write each pair to its place; ``counts`` are the next free places."""
    piece = spread_piece(counter, len(starts) - 1)
    while piece < len(starts) - 1:
        for j in range(starts[piece], starts[piece + 1]):
            i = order[j]
            slot = slot_offsets[i]
            first_row, end_row, first, end = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
            is_line = end_row - first_row == 1 or end - first == 1
            for row in range(first_row, end_row):
                if not is_line:
                    first, end = tile_columns(records, i, row, width)
                for column in range(first, end):
                    place = counts[piece, row * columns + column]
                    counts[piece, row * columns + column] = place + 1
                    splats[place] = i
                    slots[place] = slot
                    slot += 1
        piece = spread_piece(counter, len(starts) - 1)
