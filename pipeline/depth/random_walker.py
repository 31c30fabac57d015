"""Which side of a step a pixel belongs to, decided together with its neighbours.

Judged one by one, pixels beside a silhouette fray: a gleam on a saucer's rim looks more like the table than like the
saucer. Here a walker starts at each pixel, crosses the photo's edges seldom, and takes the side that it stops on: the
random walker with priors (Grady, Multilabel Random Walker Image Segmentation Using Prior Models, 2005), of two labels.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, uniform_filter
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import cg
from torch import Tensor

from ...reconstruct.windows import window_max, window_min

RATIO = 1.06
"""Of far to near depth from which there are two sides."""
BETWEEN = 0.1
"""Share of a window's pixels that lie on neither side from which there is a third, and nothing is changed."""
STOP = 0.05
"""Chance to stop, beside 1 to go on to a neighbour of the same colour."""
COLOUR_SIGMA, LEAK = 0.06, 0.005
"""Of colours in [0, 1]: how fast neighbours part, and how much all hold together: with more of it, poles go."""
OWN = 0.55
"""Weight of the pixel's own side beside that of the smooth depth, where a walker stops."""
DOUBT = 0.35
"""Chance of the near side from which a pixel is given to it: what shows some of both goes with the thing in front."""
NEIGHBOURS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.7), (1, -1, 0.7))
"""(down, right, weight): half of the eight, each pair once."""
TOLERANCE, ROUNDS = 1e-3, 120
"""Of the conjugate gradients."""


def walk_to_sides(
    depth: Float[Tensor, "h w"],
    smooth: Float[Tensor, "h w"],
    photo: Float[Tensor, "h w 3"],
    *,
    radius: int,
) -> Float[Tensor, "h w"]:
    """Depth whose silhouettes are lines: pixels on the wrong side take the depth of the nearest on the right one.

    Args:
        depth: > 0, with steps one pixel wide.
        smooth: the same before its steps were moved to the photo's edges.
        photo: sRGB in [0, 1].
        radius: of the windows in which there are two sides, in pixels.
    """
    near_of_two, prior, band = _two_sides(1 / depth, 1 / smooth, radius)
    if not band.any():
        return depth
    walked = _chance_of_near(prior, band, photo.cpu().numpy()) > DOUBT
    wrong = band & (walked != near_of_two)
    settled = depth.cpu().numpy().copy()
    for side in (False, True):
        source, moved = band & ~wrong & (near_of_two == side), wrong & (walked == side)
        if not source.any() or not moved.any():
            continue
        away, (rows, columns) = distance_transform_edt(~source, return_indices=True)  # pyright: ignore
        moved &= away < radius
        settled[moved] = settled[rows[moved], columns[moved]]
    return torch.from_numpy(settled).to(depth)


def _two_sides(
    inverse: Float[Tensor, "h w"], smooth: Float[Tensor, "h w"], radius: int
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.bool_]]:
    """Whether each pixel is on the near side, how near it is believed to be, and where there are two sides at all."""
    far, near = window_min(inverse, radius), window_max(inverse, radius)
    step = near - far
    wide = window_max(inverse, 2 * radius) - window_min(inverse, 2 * radius)
    # a slope changes twice as much over twice the window
    is_step = (near > RATIO * far) & (step > 0.6 * wide)
    place, smooth_place = (((m - far) / step.clamp_min(1e-9)).clamp(0, 1) for m in (inverse, smooth))
    between = ((place > 0.25) & (place < 0.75)).float().cpu().numpy()
    is_near = place > 0.5
    prior = OWN * is_near.float() + (1 - OWN) * smooth_place
    band = is_step.cpu().numpy() & (uniform_filter(between, 2 * radius + 1) < BETWEEN)
    return is_near.cpu().numpy(), prior.cpu().numpy(), band


def _chance_of_near(
    prior: NDArray[np.float32], band: NDArray[np.bool_], photo: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The chance that a walker stops on the near side; 0 outside the band."""
    height, width = band.shape
    number = np.full(band.shape, -1, np.int64)
    number[band] = np.arange(band.sum())
    ones, others, weights = [], [], []
    for down, right, weight in NEIGHBOURS:
        one = slice(0, height - down), slice(max(0, -right), width - max(0, right))
        other = slice(down, height), slice(max(0, right), width - max(0, -right))
        both = band[one] & band[other]
        apart = np.square(photo[one][both] - photo[other][both]).sum(-1)
        ones.append(number[one][both])
        others.append(number[other][both])
        weights.append(weight * (np.exp(-apart / (2 * COLOUR_SIGMA**2)) + LEAK))
    one, other, weight = (np.concatenate(parts) for parts in (ones, others, weights))
    pairs = np.r_[one, other], np.r_[other, one]
    go_on = coo_matrix((np.r_[weight, weight], pairs), shape=2 * (int(band.sum()),)).tocsr()
    total = np.asarray(go_on.sum(1))[:, 0] + STOP
    start = prior[band].astype(np.float64)
    solved, _ = cg(
        diags(total) - go_on, STOP * start, x0=start, rtol=TOLERANCE, maxiter=ROUNDS, M=diags(1 / total)
    )
    chance = np.zeros(band.shape)
    chance[band] = solved
    return chance
