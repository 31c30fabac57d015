"""Which splats touch which tiles, front to back.

Pieces of the splats are walked twice: to count the pairs of each tile, and to write each pair to its tile's part of one
list. Each tile's part is then sorted by depth, in the order of the splats where depths are equal, so the lists do not
depend on how the work was cut. A splat touches a tile if its ellipse of alpha >= MIN_ALPHA, cut to the tile's rows of
pixel centres, reaches one of the tile's columns (exact, as in Speedy-Splat's AccuTile, Hanson et al. 2025, but for
pixel centres).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .parallel import kernel, run_parallel
from .projection import DEPTH, HALF_WIDTH, REACH_X, REACH_Y, RECORD, RIGHTMOST, SHEAR, X, Y
from .simd import fetch_add

TILE = 16
"""Pixels along a tile's side."""
PIECES = 16
"""Parts into which the splats are cut, in all cameras together, to be counted and appended in parallel."""
FEW = 24
"""Pairs that are sorted by insertion; more are sorted by digits."""
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
    tiles = columns * rows
    records, radii = records.reshape(cameras * n, RECORD), radii.reshape(cameras * n, 2)
    counts = np.zeros((cameras * max(1, PIECES // cameras), tiles), np.int32)
    slot_offsets = np.zeros(cameras * n + 1, np.int64)
    run_parallel(count_pairs, records, radii, cameras, width, height, columns, counts, slot_offsets)
    np.cumsum(slot_offsets, out=slot_offsets)
    pairs = int(slot_offsets[-1])
    offsets = np.empty(cameras * tiles + 1, np.int64)
    place_pieces(counts, cameras, offsets)
    keys, owners = np.empty(pairs, np.uint64), np.empty(pairs, np.int32)
    run_parallel(
        append_pairs, records, radii, cameras, width, height, columns, counts, slot_offsets, keys, owners
    )
    splats, slots = np.empty(pairs, np.int32), np.empty(pairs, np.int32)
    run_parallel(sort_tiles, offsets, keys, owners, splats, slots)
    return TileLists(offsets, splats, slots, slot_offsets, columns, rows)


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
def piece_of_splats(piece, pieces, cameras, n):
    """First splat of a piece and one past its last; the pieces of a camera are of one size."""
    per_camera = pieces // cameras
    camera, part = piece // per_camera, piece % per_camera
    return camera * n + part * n // per_camera, camera * n + (part + 1) * n // per_camera


@kernel
def tile_box(records, i, width, height):
    """First and end row, first and end column of the tiles of a splat's bounding box; and whether it is one tile wide
    or high, so that the splat touches all of it."""
    x, y, reach_x, reach_y = records[i, X], records[i, Y], records[i, REACH_X], records[i, REACH_Y]
    first_row, end_row = tile_span(y - reach_y, y + reach_y, height)
    first, end = tile_span(x - reach_x, x + reach_x, width)
    return first_row, end_row, first, end, end_row - first_row == 1 or end - first == 1


@kernel
def count_pairs(counter, records, radii, cameras, width, height, columns, counts, slot_offsets):
    """Pairs of each tile in each piece of the splats; and of each splat, one place late, to be summed up."""
    pieces, n = len(counts), len(records) // cameras
    piece = fetch_add(counter)
    while piece < pieces:
        begin, end_splat = piece_of_splats(piece, pieces, cameras, n)
        for i in range(begin, end_splat):
            if radii[i, 0] == 0:
                continue
            first_row, end_row, first, end, is_line = tile_box(records, i, width, height)
            pairs = 0
            for row in range(first_row, end_row):
                if not is_line:
                    first, end = tile_columns(records, i, row, width)
                for column in range(first, end):
                    counts[piece, row * columns + column] += 1
                pairs += end - first
            slot_offsets[i + 1] = pairs
        piece = fetch_add(counter)


@kernel
def place_pieces(counts, cameras, offsets):
    """Turn counts into the places where each piece begins in each tile; and the tiles' offsets."""
    pieces, tiles = counts.shape
    per_camera = pieces // cameras
    place = 0
    for camera in range(cameras):
        for tile in range(tiles):
            offsets[camera * tiles + tile] = place
            for piece in range(camera * per_camera, (camera + 1) * per_camera):
                count = counts[piece, tile]
                counts[piece, tile] = place
                place += count
    offsets[cameras * tiles] = place


@kernel
def append_pairs(
    counter, records, radii, cameras, width, height, columns, counts, slot_offsets, keys, owners
):  # fmt: skip
    """Write the key of each pair to its tile, and to its slot whose it is; ``counts`` are the next free places.

    A key is the depth's bits (a positive float is in the order of its bits), then the slot.
    """
    pieces, n = len(counts), len(records) // cameras
    piece = fetch_add(counter)
    while piece < pieces:
        begin, end_splat = piece_of_splats(piece, pieces, cameras, n)
        for i in range(begin, end_splat):
            if radii[i, 0] == 0:
                continue
            slot = slot_offsets[i]
            depth = np.uint64(np.float32(records[i, DEPTH]).view(np.uint32)) << np.uint64(32)
            first_row, end_row, first, end, is_line = tile_box(records, i, width, height)
            for row in range(first_row, end_row):
                if not is_line:
                    first, end = tile_columns(records, i, row, width)
                for column in range(first, end):
                    place = counts[piece, row * columns + column]
                    counts[piece, row * columns + column] = place + 1
                    keys[place] = depth | np.uint64(slot)
                    owners[slot] = i
                    slot += 1
        piece = fetch_add(counter)


@kernel
def sort_few(keys):
    """Sort by insertion."""
    for j in range(1, len(keys)):
        key = keys[j]
        k = j
        while k > 0 and keys[k - 1] > key:
            keys[k] = keys[k - 1]
            k -= 1
        keys[k] = key


@kernel
def sort_by_depth(keys, scratch, position):
    """Sort keys whose slots ascend by their depths, digit by digit; digits that all share are passed over."""
    n = len(keys)
    differing = np.uint64(0)
    for j in range(n):
        differing |= keys[j] ^ keys[0]
    moved = 0
    for digit in range(4):
        shift = np.uint64(32 + 8 * digit)
        if (differing >> shift) & np.uint64(255) == 0:
            continue
        position[:] = 0
        for j in range(n):
            position[((keys[j] >> shift) & np.uint64(255)) + np.uint64(1)] += 1
        for k in range(256):
            position[k + 1] += position[k]
        for j in range(n):
            k = (keys[j] >> shift) & np.uint64(255)
            scratch[position[k]] = keys[j]
            position[k] += 1
        keys, scratch = scratch, keys
        moved += 1
    if moved % 2:
        for j in range(n):
            scratch[j] = keys[j]


@kernel
def sort_tiles(counter, offsets, keys, owners, splats, slots):
    """Sort each tile's pairs front to back."""
    longest = 0
    for tile in range(len(offsets) - 1):
        longest = max(longest, offsets[tile + 1] - offsets[tile])
    scratch, position = np.empty(longest, np.uint64), np.empty(257, np.int64)
    tile = fetch_add(counter)
    while tile < len(offsets) - 1:
        begin, end = offsets[tile], offsets[tile + 1]
        if end - begin <= FEW:
            sort_few(keys[begin:end])
        else:
            sort_by_depth(keys[begin:end], scratch[: end - begin], position)
        for place in range(begin, end):
            slot = np.int64(keys[place] & np.uint64(0xFFFFFFFF))
            splats[place] = owners[slot]
            slots[place] = slot
        tile = fetch_add(counter)
