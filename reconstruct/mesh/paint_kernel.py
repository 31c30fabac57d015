"""The inner loop of painting: one picture's colours onto many points."""

from __future__ import annotations

import math

import numpy as np

from ..rasterize.cpu.parallel import kernel
from ..rasterize.cpu.simd import fetch_add

CHUNK = 4096
BORDER = 0.05
"""Pictures fade out towards their borders, over this fraction of the longer side."""
LEAST_FACING = 0.05


@kernel
def add_picture(
    counter: np.ndarray,
    points: np.ndarray,
    normals: np.ndarray,
    cam_from_world: np.ndarray,
    lens: np.ndarray,
    image: np.ndarray,
    surface: np.ndarray,
    tolerance: float,
    total: np.ndarray,
) -> None:
    """Add colours times weights, and weights, of the points that the picture shows.

    Points count by the cosine to their normal to the fourth power and by how many pixels they get, so that the
    sharpest pictures win and few are mixed into a blur.

    Args:
        counter: hands out chunks of points to threads.
        points, normals: [n, 3].
        cam_from_world: [3, 4].
        lens: fx, fy, cx, cy.
        image: [h, w, 3].
        surface: [h, w] z of the surface; 0 where the picture must not be used.
        tolerance: points this much behind the surface are still seen.
        total: [n, 4], added to.
    """
    height, width = surface.shape
    fade = BORDER * max(width, height)
    m = cam_from_world
    while True:
        start = fetch_add(counter) * CHUNK
        if start >= len(points):
            break
        for i in range(start, min(start + CHUNK, len(points))):
            px, py, pz = points[i, 0], points[i, 1], points[i, 2]
            z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz + m[2, 3]
            if z <= 0.0:
                continue
            x = m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz + m[0, 3]
            y = m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz + m[1, 3]
            u, v = lens[0] * x / z + lens[2], lens[1] * y / z + lens[3]
            if not (u > 0.0 and v > 0.0 and u < width and v < height):
                continue
            seen = surface[int(v), int(u)]
            if seen <= 0.0 or z > seen + tolerance + 0.005 * z:
                continue
            nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
            facing = -(
                x * (m[0, 0] * nx + m[0, 1] * ny + m[0, 2] * nz)
                + y * (m[1, 0] * nx + m[1, 1] * ny + m[1, 2] * nz)
                + z * (m[2, 0] * nx + m[2, 1] * ny + m[2, 2] * nz)
            ) / math.sqrt(x * x + y * y + z * z)
            if facing < LEAST_FACING:
                continue
            edge = min(min(u, width - u), min(v, height - v)) / fade
            weight = facing**4 * (lens[0] / z) ** 2 * min(max(edge, 0.01), 1.0)
            fu, fv = min(max(u - 0.5, 0.0), width - 1.0), min(max(v - 0.5, 0.0), height - 1.0)
            u0, v0 = int(fu), int(fv)
            u1, v1 = min(u0 + 1, width - 1), min(v0 + 1, height - 1)
            fu, fv = fu - u0, fv - v0
            for k in range(3):
                top = image[v0, u0, k] * (1 - fu) + image[v0, u1, k] * fu
                low = image[v1, u0, k] * (1 - fu) + image[v1, u1, k] * fu
                total[i, k] += weight * (top * (1 - fv) + low * fv)
            total[i, 3] += weight
