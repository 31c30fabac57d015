"""Estimated depth of a photo, brought to the depth of points that several photos share.

Points are right but few, the estimate is everywhere but off by a factor that changes slowly over the photo, and with
the surface. That factor is a bilateral grid (Chen, Paris and Durand 2007) over place and depth, blurred.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from . import SKY_DEPTH_M

CELLS = 14
"""Of the grid along the photo's long side, for points here and there."""
BIN = 0.2
"""Of the grid in the logarithm of depth."""
BLURS = 3
"""Times that the grid is blurred by its neighbours."""
OUTLIER, SLACK = 3.0, 0.03
"""Points that differ from the median factor by so many median deviations are mistaken; the slack is added to these."""
MOST = math.log(1.7)
"""Points that differ more are on another surface."""
ERROR = 0.1
"""Of an estimate beside the median factor; a point whose depth is as uncertain counts half."""
DOUBT = 0.5
"""Weight of the median factor in a cell, in points."""
LEAST = 8
"""Points that tell the factor."""


def scale_to_points(
    depth: Float[Tensor, "h w"], pixels: Float[Tensor, "k 2"], z: Float[Tensor, "k"]
) -> float | None:
    """By how much the points are farther away than the estimate says: the median; None if there are too few.

    Args:
        depth: the estimate.
        pixels: of the points in the photo.
        z: their depths.
    """
    rows, columns, kept = _located(depth, pixels, z)
    return float((z[kept] / depth[rows, columns]).median()) if len(rows) >= LEAST else None


def bring_to_points(
    depth: Float[Tensor, "h w"],
    pixels: Float[Tensor, "k 2"],
    z: Float[Tensor, "k"],
    errors: Float[Tensor, "k"],
    *,
    cells: int = CELLS,
    doubtful: bool = True,
) -> Float[Tensor, "h w"]:
    """Depth that agrees with points; the sky stays where it is.

    Args:
        depth: the estimate, in metres.
        pixels: of the points in the photo.
        z: their depths, in metres.
        errors: standard deviations of the logarithms of these.
        cells: of the grid along the photo's long side.
        doubtful: whether points that differ more from the median factor than others are mistaken.
    """
    rows, columns, kept = _located(depth, pixels, z)
    if len(rows) < LEAST:
        return depth
    sky = depth > SKY_DEPTH_M
    log_depth = depth.log()
    places = torch.stack([rows, columns], -1)
    factors = z[kept].log() - log_depth[rows, columns]
    middle = factors.median()
    away = (factors - middle).abs()
    most = (OUTLIER * (1.4826 * away.median() + SLACK)).clamp_max(MOST) if doubtful else torch.tensor(MOST)
    good = away < most
    grid = _Grid(log_depth, cells)
    weights = 1 / (1 + (errors[kept][good] / ERROR).square())
    total, weight = grid.gathered(
        places[good], log_depth[rows, columns][good], weights * (factors[good] - middle), weights
    )
    correction = grid.looked_up(total / (weight + DOUBT), log_depth)
    return torch.where(sky, depth, (log_depth + middle + correction).exp().clamp_max(SKY_DEPTH_M))


def _located(
    depth: Float[Tensor, "h w"], pixels: Float[Tensor, "k 2"], z: Float[Tensor, "k"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and indices of the points inside the photo, before its camera, and not on what is taken for sky."""
    height, width = depth.shape
    columns, rows = pixels.floor().long().unbind(-1)
    kept = (z > 0) & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    kept &= depth[rows.clamp(0, height - 1), columns.clamp(0, width - 1)] <= SKY_DEPTH_M
    return rows[kept], columns[kept], kept.nonzero()[:, 0]


class _Grid:
    """Cells over rows, columns and the logarithm of depth."""

    def __init__(self, log_depth: Float[Tensor, "h w"], cells: int) -> None:
        height, width = log_depth.shape
        self.cell = max(height, width) / cells
        self.near = float(log_depth.min())
        deep = math.ceil((float(log_depth.max()) - self.near) / BIN) + 2
        self.shape = (deep, math.ceil(height / self.cell) + 1, math.ceil(width / self.cell) + 1)

    def gathered(
        self,
        places: Tensor,
        log_depth: Float[Tensor, "k"],
        values: Float[Tensor, "k"],
        weights: Float[Tensor, "k"],
    ) -> tuple[Float[Tensor, "d r c"], Float[Tensor, "d r c"]]:
        """Sums of values and of weights in each cell and its neighbours."""
        cells = torch.cat([((log_depth - self.near) / BIN)[:, None], places / self.cell], -1).round().long()
        flat = (cells[:, 0] * self.shape[1] + cells[:, 1]) * self.shape[2] + cells[:, 2]
        sums = torch.zeros(2, math.prod(self.shape)).index_add(1, flat, torch.stack([values, weights]))
        grid = sums.reshape(2, 1, *self.shape)
        kernel = torch.tensor([0.25, 0.5, 0.25])
        for _ in range(BLURS):
            for dim, padding in ((2, (0, 0, 0, 0, 1, 1)), (3, (0, 0, 1, 1)), (4, (1, 1))):
                shape = [1] * 5
                shape[dim] = 3
                grid = F.conv3d(F.pad(grid, padding), kernel.reshape(shape))
        return 8 * grid[0, 0], 8 * grid[1, 0]

    def looked_up(
        self, grid: Float[Tensor, "d r c"], log_depth: Float[Tensor, "h w"]
    ) -> Float[Tensor, "h w"]:
        """The grid's values at every pixel, interpolated."""
        height, width = log_depth.shape
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        at = torch.stack([columns / self.cell, rows / self.cell, (log_depth - self.near) / BIN], -1)
        size = torch.tensor([self.shape[2], self.shape[1], self.shape[0]])
        where = 2 * at / (size - 1) - 1
        return F.grid_sample(grid[None, None], where[None, None], align_corners=True, padding_mode="border")[
            0, 0, 0
        ]
