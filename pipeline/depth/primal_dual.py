"""Kernels of ``piecewise_planar``: one iteration of Chambolle and Pock (2011) is an ascent and a descent.

Notation: u is the map, v its slope, p and q the duals of what u steps beyond v and of how v changes; the first index of
v and p is the axis (x, y), the first two of q that of v and that of the derivative. u and v have a margin of a pixel at
the bottom and right that repeats the last one; p and q one at the top and left that stays 0.
"""

# pyright: reportIndexIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import numpy as np

from ...reconstruct.rasterize.cpu.parallel import kernel

ONE = np.float32(1.0)


@kernel
def ascend(u, v, p, q, step_price, bend_price, size):
    """Moves p and q up by ``size`` times the gradient; prices are one over what their lengths may be."""
    height, width = bend_price.shape
    for y in range(height):
        for x in range(width):
            px = p[0, y + 1, x + 1] + size * (u[y, x + 1] - u[y, x] - v[0, y, x])
            py = p[1, y + 1, x + 1] + size * (u[y + 1, x] - u[y, x] - v[1, y, x])
            cost_x, cost_y = px * step_price[0, y, x], py * step_price[1, y, x]
            length = np.sqrt(cost_x * cost_x + cost_y * cost_y)
            shrink = ONE / (length if length > ONE else ONE)
            p[0, y + 1, x + 1] = px * shrink
            p[1, y + 1, x + 1] = py * shrink
            xx = q[0, 0, y + 1, x + 1] + size * (v[0, y, x + 1] - v[0, y, x])
            xy = q[0, 1, y + 1, x + 1] + size * (v[0, y + 1, x] - v[0, y, x])
            yx = q[1, 0, y + 1, x + 1] + size * (v[1, y, x + 1] - v[1, y, x])
            yy = q[1, 1, y + 1, x + 1] + size * (v[1, y + 1, x] - v[1, y, x])
            length = np.sqrt(xx * xx + xy * xy + yx * yx + yy * yy) * bend_price[y, x]
            shrink = ONE / (length if length > ONE else ONE)
            q[0, 0, y + 1, x + 1] = xx * shrink
            q[0, 1, y + 1, x + 1] = xy * shrink
            q[1, 0, y + 1, x + 1] = yx * shrink
            q[1, 1, y + 1, x + 1] = yy * shrink
        p[0, y + 1, width] = 0  # there is nothing beyond the last pixel to step to
    p[1, height] = 0


@kernel
def descend(u, v, u_ahead, v_ahead, p, q, data, fidelity, size):
    """Moves u and v down by ``size`` times the gradient, u towards ``data``, and writes where they are heading.

    u and v have no margins here, the others do. ``fidelity`` is already multiplied by ``size``.
    """
    height, width = data.shape
    for y in range(height):
        for x in range(width):
            flow = p[0, y + 1, x + 1] - p[0, y + 1, x] + p[1, y + 1, x + 1] - p[1, y, x + 1]
            pull = fidelity[y, x]
            new = (u[y, x] + size * flow + pull * data[y, x]) / (ONE + pull)
            u_ahead[y, x] = new + new - u[y, x]
            u[y, x] = new
            for axis in range(2):
                flow = (
                    q[axis, 0, y + 1, x + 1] - q[axis, 0, y + 1, x]
                    + q[axis, 1, y + 1, x + 1] - q[axis, 1, y, x + 1]
                )  # fmt: skip
                new = v[axis, y, x] + size * (p[axis, y + 1, x + 1] + flow)
                v_ahead[axis, y, x] = new + new - v[axis, y, x]
                v[axis, y, x] = new
        u_ahead[y, width] = u_ahead[y, width - 1]
        v_ahead[:, y, width] = v_ahead[:, y, width - 1]
    u_ahead[height] = u_ahead[height - 1]
    v_ahead[:, height] = v_ahead[:, height - 1]
