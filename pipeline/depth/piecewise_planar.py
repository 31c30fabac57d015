"""Evens out the dents that a network's depth has at the grid of its features, and keeps the steps.

Inverse depth of a plane is linear in the image. Total generalized variation of second order (Bredies, Kunisch and Pock,
2010) asks for few changes of slope and few steps; both are cheaper where the photo has an edge, as in Ferstl et al.,
Image Guided Depth Upsampling (2013), and steps also where the depth already has one. Minimised by the primal-dual
iteration of Chambolle and Pock (2011).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .primal_dual import ascend, descend

FIDELITY = 2.0
"""Weight of staying where the network was."""
SLOPE = 4.0
"""Cost of a change of slope beside that of a step."""
PHOTO_EDGE = 25.0
"""How fast a step gets cheaper with the photo's own, colours in [0, 1]."""
DEPTH_EDGE, DEPTH_STEP = 300.0, 0.006
"""The same with a step of log-depth, from this size on."""
PHOTO_CHEAPEST, CHEAPEST = 0.03, 0.01
"""Cost of a step at the strongest edge of the photo alone, and of both."""
NEAR_ENOUGH = 0.3
"""In units of inverse median depth: what is much further away than this says is not smoothed more for being far."""
SKY = 0.02
"""Fidelity where depth means nothing."""
ROUNDS = 800
"""Iterations: with fewer, what was even stays so but dents go less. Begun at half the size, steps would lean."""
DUAL_STEP, PRIMAL_STEP = 20 / 12**0.5, 0.05 / 12**0.5
"""Their product may be a twelfth; inverse depths change little between pixels, hence the ratio."""


def even_out(
    log_depth: Float[Tensor, "h w"], far: Bool[Tensor, "h w"], photo: Float[Tensor, "h w 3"]
) -> Float[Tensor, "h w"]:
    """Log-depth of surfaces that bend less.

    Args:
        log_depth: of a network, no larger than some hundred pixels a side.
        far: sky, whose depth means nothing.
        photo: of the same size, sRGB in [0, 1].
    """
    solid = log_depth[~far] if bool((~far).any()) else log_depth
    middle = solid.median()
    inverse = torch.exp(middle - log_depth)
    evened = _minimise(inverse, photo, torch.where(far, SKY, 1.0))
    return middle - evened.clamp(inverse.min(), inverse.max()).log()


def _minimise(
    inverse: Float[Tensor, "h w"], photo: Float[Tensor, "h w 3"], trust: Float[Tensor, "h w"]
) -> Float[Tensor, "h w"]:
    """The inverse depth that costs least."""
    nearness = 1 / (inverse + NEAR_ENOUGH)
    nearness = nearness / nearness.max()
    costs = torch.stack([_step_cost(inverse, photo, dim) for dim in (1, 0)])
    step_price = 1 / (costs * nearness)
    bend_price = 1 / (SLOPE * costs.amin(0) * nearness)
    pull = PRIMAL_STEP * FIDELITY * trust * nearness.square()
    data, prices, bend_prices, pulls = (
        m.float().cpu().contiguous().numpy() for m in (inverse, step_price, bend_price, pull)
    )
    height, width = data.shape
    u, v = data.copy(), np.zeros((2, height, width), np.float32)
    u_ahead, v_ahead = (np.pad(m, [(0, 0)] * (m.ndim - 2) + [(0, 1)] * 2, mode="edge") for m in (u, v))
    p, q = (np.zeros((*axes, height + 1, width + 1), np.float32) for axes in ((2,), (2, 2)))
    for _ in range(ROUNDS):
        ascend(u_ahead, v_ahead, p, q, prices, bend_prices, np.float32(DUAL_STEP))
        descend(u, v, u_ahead, v_ahead, p, q, data, pulls, np.float32(PRIMAL_STEP))
    return torch.from_numpy(u).to(inverse)


def _step_cost(inverse: Tensor, photo: Tensor, dim: int) -> Float[Tensor, "h w"]:
    """Of a step to the next pixel along an axis, between ``CHEAPEST`` and 1; the last has none."""
    colour = photo.diff(dim=dim).abs().amax(-1)
    step = (inverse.log().diff(dim=dim).abs() - DEPTH_STEP).clamp_min(0)
    cost = torch.exp(-PHOTO_EDGE * colour).clamp_min(PHOTO_CHEAPEST) * torch.exp(-DEPTH_EDGE * step)
    beyond = torch.ones_like(inverse.narrow(dim, 0, 1))
    return torch.cat([cost.clamp_min(CHEAPEST), beyond], dim)
