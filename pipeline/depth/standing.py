"""Things that stand before the sky stand upright: towers, masts, trees and people.

A network draws them towards the sky that surrounds them: they lean back by up to half their distance, and what is thin
bends. They are followed from the sky down to where they no longer stand out, and the middle of their depth, row by row,
is brought near a line that leans little, the nearer the narrower they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import find_objects, gaussian_filter1d, label
from torch import Tensor

from . import SKY_DEPTH_M

TALL = 0.08
"""Height of the lowest thing, in lengths of the photo's long side."""
WIDEST, WIDEST_AT_EDGE = 0.5, 0.2
"""Of the photo's width that a thing takes up at most: with sky on both sides, and with the photo's edge on one."""
LEAN = 0.18
"""Tangent of the angle by which a thing leans at most, to or from the camera, which may be tilted by some degrees."""
DEEP = 0.25
"""How far the middle of a row is from the line at most, in widths of the row."""
FOOT, HELD, UPPER = 0.15, 0.05, 0.3
"""Of a thing's height: the lowest part, whose depth is believed, the last part, which stays where it is, and from where
on it tells how the thing leans."""
ONE_DEPTH, RARELY = 0.22, 0.2
"""Log ratio between the quartiles of the depths of a row up to which they are of one thing, and how many rows may have
more: two people who hold a banner are no thing that stands."""
SMOOTH = 0.01
"""Standard deviation of the blur, from row to row, of what they are moved by, in lengths of the long side."""
FULL = 0.6
"""Of the width of the widest row before the sky: a thing is followed down from the last that is as wide as this."""
STEP = 0.25
"""Log ratio of the depths of two rows from which on the lower one is of something else."""
SAME, MOSTLY = 0.22, 0.7
"""Log ratio of depths up to which pixels of a row are of one thing, and how many of them have to be."""
FARTHER, BESIDE = 0.11, 0.2
"""Log ratio of depths by which something is farther away on one side of a row at least, and how far to that side, in
widths of the row."""


def straighten(depth: Float[Tensor, "h w"], focal_px: float) -> Float[Tensor, "h w"]:
    """Depth with things before the sky upright; all else is left alone.

    Args:
        depth: > 0; of the sky it is ``FAR_DEPTH_M``.
        focal_px: of the same picture.
    """
    before = depth.numpy(force=True).astype(np.float64)
    sky, after = before > SKY_DEPTH_M, before.copy()
    for thing in _things(np.log(before), sky):
        for row, factor in _factors(thing, before, focal_px):
            after[row, thing[row]] = before[row, thing[row]] * factor
    return torch.from_numpy(np.where(sky, before, after.clip(max=SKY_DEPTH_M))).to(depth)


def _things(
    log_depth: Float[np.ndarray, "h w"], sky: Bool[np.ndarray, "h w"]
) -> Iterator[Bool[np.ndarray, "h w"]]:
    """Each thing's pixels."""
    pieces, _ = label(_before_sky(sky), np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
    tall = TALL * max(sky.shape)
    for number, box in enumerate(find_objects(pieces), start=1):
        if box[0].stop - box[0].start < tall / 2:
            continue
        thing = pieces == number
        widths = thing.sum(1)
        last = int(np.flatnonzero(widths >= FULL * widths.max())[-1])
        thing[last + 1 :] = False
        _follow_down(thing, last, log_depth)
        if thing.any(1).sum() >= tall:
            yield thing


def _before_sky(sky: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Runs of pixels, along rows, that end in the sky on both sides, or on one and at the photo's edge on the other."""
    before, width = np.zeros_like(sky), sky.shape[1]
    framed = np.pad(sky, ((0, 0), (1, 1)), constant_values=True).astype(np.int8)
    for row, change in enumerate(np.diff(framed, axis=1)):
        for start, stop in zip(np.flatnonzero(change < 0), np.flatnonzero(change > 0), strict=True):
            at_edge = int(start == 0) + int(stop == width)
            before[row, start:stop] = stop - start <= (WIDEST, WIDEST_AT_EDGE, 0)[at_edge] * width
    return before


def _follow_down(thing: Bool[np.ndarray, "h w"], last: int, log_depth: Float[np.ndarray, "h w"]) -> None:
    """Add the rows below the last before the sky, as long as they go on and stand out from one side at least."""
    height, width = thing.shape
    left, right = np.flatnonzero(thing[last])[[0, -1]]
    middle = np.median(log_depth[last, thing[last]])
    for row in range(last + 1, height):
        line = log_depth[row]
        above, middle = middle, np.median(line[left : right + 1])
        enough = MOSTLY * (right + 1 - left)
        left, right = max(0, left - 2), min(width - 1, right + 2)
        same = np.abs(line[left : right + 1] - middle) < SAME
        if abs(middle - above) > STEP or same.sum() < enough:
            return
        inside, beside = left + np.flatnonzero(same), max(6, round(BESIDE * (right - left)))
        left, right = inside[[0, -1]]
        sides = (
            line[max(0, left - beside) : left + 1] - line[left],
            line[right : right + beside + 1] - line[right],
        )
        if all(np.sort(side)[-3:][0] < FARTHER for side in sides):
            return
        thing[row, inside] = True


def _factors(
    thing: Bool[np.ndarray, "h w"], depth: Float[np.ndarray, "h w"], focal_px: float
) -> Iterator[tuple[int, float]]:
    """Rows of a thing, and what their depth is to be multiplied by: at its foot by 1."""
    rows = np.flatnonzero(thing.any(1))
    quartiles = np.array([np.quantile(depth[row, thing[row]], (0.25, 0.5, 0.75)) for row in rows])
    if np.mean(quartiles[:, 2] > np.exp(ONE_DEPTH) * quartiles[:, 0]) > RARELY:
        return
    middles = quartiles[:, 1]
    foot = np.median(middles[-max(3, round(FOOT * len(rows))) :])
    unit = foot / focal_px
    heights = unit * (rows[-1] - rows)
    upper = heights > UPPER * heights[0]
    lean = np.median((middles[upper] - foot) / heights[upper])
    line = foot + np.clip(lean, -LEAN, LEAN) * heights
    sigma = SMOOTH * max(depth.shape)
    most = DEEP * unit * gaussian_filter1d(thing[rows].sum(1).astype(np.float64), 2 * sigma, mode="nearest")
    upright = line + most * np.tanh((middles - line) / most)
    moved = gaussian_filter1d(np.log(upright / middles), sigma, mode="nearest")
    factors = np.exp(moved * np.clip(heights / (HELD * heights[0]), 0, 1))
    yield from zip(rows.tolist(), factors.tolist(), strict=True)
