"""The backward pass of the projection: from sums per splat-tile pair to gradients of raw parameters and poses.

Notation as in ``projection``; a variable ``g_x`` is the loss's gradient with respect to ``x``.
"""

from __future__ import annotations

import math

import numpy as np

from ..constants import BLUR
from .blend_backward import SUMS
from .parallel import kernel
from .projection import (
    BLUE,
    CHUNK,
    GREEN,
    RED,
    WHITENING,
    camera_point,
    covariance_2d,
    image_axes,
    linearised_slopes,
    rotation_from_quaternion,
    sh_basis,
)
from .simd import fetch_add

POSE = 12
"""Gradients per camera: of the rotation by rows, then of the position."""


@kernel
def add_up_slots(pair_sums, begin, end, total):
    """Sums of one splat in one camera over its tiles, in order."""
    total[:] = 0
    for slot in range(begin, end):
        for k in range(SUMS):
            total[k] += pair_sums[slot, k]


@kernel
def centre_and_covariance_gradient(total, covariance, shown, opacity, antialiased):
    """Gradients of the 2D centre, the 2D covariance (symmetric: xx, xy, yy) and the splat's own opacity."""
    xx, xy, yy, blurred, sharp = covariance
    # The whitened offset is y = L^T d with L L^T the inverse covariance, L = [[p, r], [0, q]].
    p, q = 1 / math.sqrt(xx), math.sqrt(xx / blurred)
    r = -q * xy / xx
    y1, y2 = total[1] / WHITENING, total[2] / WHITENING
    scale = 1 / (WHITENING * WHITENING)
    y11, y12, y22 = total[3] * scale, total[4] * scale, total[5] * scale
    g_center = (-(p * y1 + r * y2), -q * y2)
    # d(y^T y / 2) = -1/2 (L y)^T dC (L y)
    g_xx = -0.5 * (p * p * y11 + 2 * p * r * y12 + r * r * y22)
    g_xy = -0.5 * q * (p * y12 + r * y22)
    g_yy = -0.5 * q * q * y22
    g_opacity = -total[0] / shown
    if antialiased:
        compensation = shown / opacity
        factor = 0.5 * g_opacity * opacity / (compensation * blurred)
        ratio = sharp / blurred
        g_xx += factor * (yy - BLUR - ratio * yy)
        g_yy += factor * (xx - BLUR - ratio * xx)
        g_xy -= factor * xy * (1 - ratio)
        g_opacity *= compensation
    return g_center, (g_xx, g_xy, g_yy), g_opacity


@kernel
def camera_gradient(
    point, slopes, axes, on_image, cameras, c, g_center, g_depth, g_covariance, width, height
):
    """Gradients of the splat's position in the camera and of its axes there (V = W^T R S, by rows)."""
    x, y, z = point
    slope_x, slope_y = slopes
    t00, t01, t02, t10, t11, t12 = on_image
    v20, v21, v22 = axes[6], axes[7], axes[8]
    g_xx, g_xy, g_yy = g_covariance
    fx, fy = cameras[c, 12] / z, cameras[c, 13] / z
    # C = T T^T, so the gradient of T is 2 G T.
    h00, h01, h02 = (
        2 * (g_xx * t00 + g_xy * t10),
        2 * (g_xx * t01 + g_xy * t11),
        2 * (g_xx * t02 + g_xy * t12),
    )
    h10, h11, h12 = (
        2 * (g_xy * t00 + g_yy * t10),
        2 * (g_xy * t01 + g_yy * t11),
        2 * (g_xy * t02 + g_yy * t12),
    )
    g_x, g_y = g_center[0] * fx, g_center[1] * fy
    g_z = g_depth - (g_x * x + g_y * y) / z
    g_z -= (h00 * t00 + h01 * t01 + h02 * t02 + h10 * t10 + h11 * t11 + h12 * t12) / z
    if slope_x == x / z:
        g_slope = -fx * (h00 * v20 + h01 * v21 + h02 * v22)
        g_x += g_slope / z
        g_z -= g_slope * slope_x / z
    if slope_y == y / z:
        g_slope = -fy * (h10 * v20 + h11 * v21 + h12 * v22)
        g_y += g_slope / z
        g_z -= g_slope * slope_y / z
    sx, sy = fx * slope_x, fy * slope_y
    g_axes = (
        fx * h00, fx * h01, fx * h02,
        fy * h10, fy * h11, fy * h12,
        -sx * h00 - sy * h10, -sx * h01 - sy * h11, -sx * h02 - sy * h12,
    )  # fmt: skip
    return (g_x, g_y, g_z), g_axes


@kernel
def quaternion_gradient(quaternion, length, g):
    """Gradient of the raw quaternion from that of the rotation matrix, by rows."""
    w, x, y, z = quaternion
    g_w = 2 * (x * (g[7] - g[5]) + y * (g[2] - g[6]) + z * (g[3] - g[1]))
    g_x = 2 * (y * (g[1] + g[3]) + z * (g[2] + g[6]) + w * (g[7] - g[5]) - 2 * x * (g[4] + g[8]))
    g_y = 2 * (x * (g[1] + g[3]) + z * (g[5] + g[7]) + w * (g[2] - g[6]) - 2 * y * (g[0] + g[8]))
    g_z = 2 * (x * (g[2] + g[6]) + y * (g[5] + g[7]) + w * (g[3] - g[1]) - 2 * z * (g[0] + g[4]))
    along = g_w * w + g_x * x + g_y * y + g_z * z
    g_w, g_x, g_y, g_z = g_w - along * w, g_x - along * x, g_y - along * y, g_z - along * z
    return g_w / length, g_x / length, g_y / length, g_z / length


@kernel
def sh_direction_gradient(x, y, z, degree, h):
    """Gradient of sum_k h_k Y_k with respect to the (not normalised) unit direction."""
    g_x = g_y = g_z = 0.0
    if degree >= 1:
        g_x -= 0.4886025119029199 * h[3]
        g_y -= 0.4886025119029199 * h[1]
        g_z += 0.4886025119029199 * h[2]
    if degree >= 2:
        a, b, d = 1.0925484305920792, 0.31539156525252005, 0.5462742152960396
        g_x += a * (y * h[4] - z * h[7]) - 2 * b * x * h[6] + 2 * d * x * h[8]
        g_y += a * (x * h[4] - z * h[5]) - 2 * b * y * h[6] - 2 * d * y * h[8]
        g_z += a * (-y * h[5] - x * h[7]) + 4 * b * z * h[6]
    if degree >= 3:
        xx, yy, zz = x * x, y * y, z * z
        a, b, d, e, f = (
            0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154, 1.445305721320277,
        )  # fmt: skip
        g_x += -6 * a * x * y * h[9] + b * y * z * h[10] + 2 * d * x * y * h[11] - 6 * e * x * z * h[12]
        g_x += -d * (4 * zz - 3 * xx - yy) * h[13] + 2 * f * x * z * h[14] - 3 * a * (xx - yy) * h[15]
        g_y += -3 * a * (xx - yy) * h[9] + b * x * z * h[10] - d * (4 * zz - xx - 3 * yy) * h[11]
        g_y += -6 * e * y * z * h[12] + 2 * d * x * y * h[13] - 2 * f * y * z * h[14] + 6 * a * x * y * h[15]
        g_z += b * x * y * h[10] - 8 * d * y * z * h[11] + 3 * e * (2 * zz - xx - yy) * h[12]
        g_z += -8 * d * x * z * h[13] + f * (xx - yy) * h[14]
    return g_x, g_y, g_z


@kernel
def color_gradient(sh, i, degree, offset, g_rgb, basis, projected, g_sh):
    """Add to the gradient of the harmonics; gradient of the splat's offset from the camera."""
    dx, dy, dz = offset
    length = max(math.sqrt(dx * dx + dy * dy + dz * dz), 1e-12)
    x, y, z = dx / length, dy / length, dz / length
    g_red, g_green, g_blue = g_rgb
    sh_basis(x, y, z, degree, basis)
    for k in range((degree + 1) ** 2):
        g_sh[i, k, 0] += np.float32(basis[k] * g_red)
        g_sh[i, k, 1] += np.float32(basis[k] * g_green)
        g_sh[i, k, 2] += np.float32(basis[k] * g_blue)
    if degree == 0:
        return 0.0, 0.0, 0.0
    for k in range((degree + 1) ** 2):
        projected[k] = sh[i, k, 0] * g_red + sh[i, k, 1] * g_green + sh[i, k, 2] * g_blue
    g_x, g_y, g_z = sh_direction_gradient(x, y, z, degree, projected)
    along = g_x * x + g_y * y + g_z * z
    return (g_x - along * x) / length, (g_y - along * y) / length, (g_z - along * z) / length


@kernel
def project_backward(
    counter, means, quats, log_scales, opacity_logits, sh, degree, cameras, width, height, antialiased,
    records, slot_offsets, pair_sums, pair_feature_sums, with_places, with_poses,
    g_means, g_quats, g_log_scales, g_opacity_logits, g_sh, g_features, g_means2d, g_means2d_abs, g_poses,
):  # fmt: skip
    """Write the gradients of every splat, and those of the poses per piece of work (``g_poses`` [pieces, c, POSE]).

    All are zero at first; ``g_means2d`` and ``g_means2d_abs`` [c, n, 2] may be empty. Without ``with_places``
    the gradients of means and quaternions are 0, which takes a third less time.
    """
    n = len(means)
    total, basis, projected = np.empty(SUMS), np.empty(16), np.empty(16)
    m, g_m, g_r = np.empty(9), np.empty(9), np.empty(9)
    pieces = (n + CHUNK - 1) // CHUNK
    piece = fetch_add(counter)
    while piece < pieces:
        for i in range(piece * CHUNK, min(n, (piece + 1) * CHUNK)):
            seen = False
            for c in range(len(cameras)):
                seen |= slot_offsets[c * n + i] < slot_offsets[c * n + i + 1]
            if not seen:
                continue
            rotation, quaternion, length = rotation_from_quaternion(quats, i)
            scales = (math.exp(log_scales[i, 0]), math.exp(log_scales[i, 1]), math.exp(log_scales[i, 2]))
            opacity = 1 / (1 + math.exp(-opacity_logits[i]))
            for k in range(9):
                m[k] = rotation[k] * scales[k % 3]
            g_m[:] = 0
            g_own_opacity = 0.0
            for c in range(len(cameras)):
                at = c * n + i
                begin, end = slot_offsets[at], slot_offsets[at + 1]
                if begin == end:
                    continue
                add_up_slots(pair_sums, begin, end, total)
                for slot in range(begin, end):
                    for f in range(g_features.shape[1]):
                        g_features[i, f] += pair_feature_sums[slot, f]
                offset, point = camera_point(means, i, cameras, c)
                slopes = linearised_slopes(*point, cameras, c, width, height)
                axes, on_image = image_axes(rotation, scales, cameras, c, slopes[0], slopes[1], point[2])
                covariance = covariance_2d(on_image)
                shown = opacity * math.sqrt(covariance[4] / covariance[3]) if antialiased else opacity
                g_center, g_covariance, g_opacity = centre_and_covariance_gradient(
                    total, covariance, shown, opacity, antialiased
                )
                g_own_opacity += g_opacity
                if len(g_means2d):
                    g_means2d[c, i, 0], g_means2d[c, i, 1] = g_center
                if len(g_means2d_abs):
                    g_means2d_abs[c, i, 0] = total[6] / (WHITENING * WHITENING)
                    g_means2d_abs[c, i, 1] = total[7] / (WHITENING * WHITENING)
                g_point, g_axes = camera_gradient(
                    point,
                    slopes,
                    axes,
                    on_image,
                    cameras,
                    c,
                    g_center,
                    total[11],
                    g_covariance,
                    width,
                    height,
                )
                g_rgb = (
                    total[8] if records[at, RED] > 0 else 0.0,
                    total[9] if records[at, GREEN] > 0 else 0.0,
                    total[10] if records[at, BLUE] > 0 else 0.0,
                )
                g_offset = color_gradient(sh, i, degree, offset, g_rgb, basis, projected, g_sh)
                for k in range(3):
                    g_log_scales[i, k] += (
                        axes[k] * g_axes[k] + axes[k + 3] * g_axes[k + 3] + axes[k + 6] * g_axes[k + 6]
                    )
                if not with_places:
                    continue
                for a in range(3):
                    g = g_offset[a]
                    for b in range(3):
                        g += cameras[c, 3 * a + b] * g_point[b]
                        for k in range(3):
                            g_m[3 * a + k] += cameras[c, 3 * a + b] * g_axes[3 * b + k]
                            if with_poses:
                                g_poses[piece, c, 3 * a + b] += m[3 * a + k] * g_axes[3 * b + k]
                        if with_poses:
                            g_poses[piece, c, 3 * a + b] += offset[a] * g_point[b]
                    g_means[i, a] += g
                    if with_poses:
                        g_poses[piece, c, 9 + a] -= g
            g_opacity_logits[i] = g_own_opacity * opacity * (1 - opacity)
            if with_places:
                for k in range(9):
                    g_r[k] = g_m[k] * scales[k % 3]
                g_quats[i, 0], g_quats[i, 1], g_quats[i, 2], g_quats[i, 3] = quaternion_gradient(
                    quaternion, length, g_r
                )
        piece = fetch_add(counter)
