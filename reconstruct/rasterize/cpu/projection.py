"""From raw parameters to splats on the image plane, and their colours as seen from each camera.

Kernels compute in float64 (as fast as float32 where it is not vectorised) and leave one record of float32 per camera
and splat. The 2D covariance is built as T T^T with T = J W^T R S, so its determinant is the squared area spanned by
the rows of T, without cancellation even for needles.
"""

from __future__ import annotations

import math

import numpy as np

from ..constants import BLUR, MAX_EXTENT, MIN_ALPHA, VIEW_MARGIN
from .parallel import kernel
from .simd import fetch_add

RECORD = 16
"""Floats per camera and splat: two fill one pair of cache lines."""
X, Y, L1, L2, L3, LOG_OPACITY, DEPTH, RED, GREEN, BLUE, REACH_X, REACH_Y, RIGHTMOST, SHEAR, HALF_WIDTH = (
    np.uintp(field) for field in range(15)
)
"""Fields of a record. With d = pixel centre - (X, Y), u = L1 d_x and v = L2 d_y + L3 d_x, the splat covers the pixel
by alpha = 2^(LOG_OPACITY - u^2 - v^2). The ellipse where alpha is MIN_ALPHA lies within REACH_X and REACH_Y of the
centre; its rightmost point is at d_y = RIGHTMOST; at d_y it extends HALF_WIDTH sqrt(1 - (d_y / REACH_Y)^2) to both
sides of SHEAR d_y."""
WHITENING = math.sqrt(0.5 / math.log(2))
"""u and v are standard deviations times this, so that powers of 2 serve in place of e."""
CHUNK = 2048
"""Splats per piece of work."""
CAMERA = 16
"""Floats per camera: rotation world_from_cam by rows, position, fx, fy, cx, cy."""
EMPTY, SEEN, NOT_FINITE = 0, 1, 2


@kernel
def rotation_from_quaternion(quats, i):
    """Rows of the rotation matrix, and the quaternion's normalised parts and length."""
    w, x, y, z = float(quats[i, 0]), float(quats[i, 1]), float(quats[i, 2]), float(quats[i, 3])
    length = max(math.sqrt(w * w + x * x + y * y + z * z), 1e-12)
    w, x, y, z = w / length, x / length, y / length, z / length
    rotation = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return rotation, (w, x, y, z), length


@kernel
def camera_point(means, i, cameras, c):
    """The splat's offset from the camera in world axes, and its position in the camera."""
    dx = means[i, 0] - cameras[c, 9]
    dy = means[i, 1] - cameras[c, 10]
    dz = means[i, 2] - cameras[c, 11]
    x = cameras[c, 0] * dx + cameras[c, 3] * dy + cameras[c, 6] * dz
    y = cameras[c, 1] * dx + cameras[c, 4] * dy + cameras[c, 7] * dz
    z = cameras[c, 2] * dx + cameras[c, 5] * dy + cameras[c, 8] * dz
    return (dx, dy, dz), (x, y, z)


@kernel
def linearised_slopes(x, y, z, cameras, c, width, height):
    """x/z and y/z, kept near the image: where the projection is linearised."""
    fx, fy, cx, cy = cameras[c, 12], cameras[c, 13], cameras[c, 14], cameras[c, 15]
    margin_x, margin_y = VIEW_MARGIN * width / fx, VIEW_MARGIN * height / fy
    slope_x = max(min(x / z, (width - cx) / fx + margin_x), -cx / fx - margin_x)
    slope_y = max(min(y / z, (height - cy) / fy + margin_y), -cy / fy - margin_y)
    return slope_x, slope_y


@kernel
def image_axes(rotation, scales, cameras, c, slope_x, slope_y, z):
    """Columns of V = W^T R S (the splat's axes in the camera) and rows of T = J V (the same on the image)."""
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation
    sx, sy, sz = scales
    m00, m01, m02 = r00 * sx, r01 * sy, r02 * sz
    m10, m11, m12 = r10 * sx, r11 * sy, r12 * sz
    m20, m21, m22 = r20 * sx, r21 * sy, r22 * sz
    v00 = cameras[c, 0] * m00 + cameras[c, 3] * m10 + cameras[c, 6] * m20
    v01 = cameras[c, 0] * m01 + cameras[c, 3] * m11 + cameras[c, 6] * m21
    v02 = cameras[c, 0] * m02 + cameras[c, 3] * m12 + cameras[c, 6] * m22
    v10 = cameras[c, 1] * m00 + cameras[c, 4] * m10 + cameras[c, 7] * m20
    v11 = cameras[c, 1] * m01 + cameras[c, 4] * m11 + cameras[c, 7] * m21
    v12 = cameras[c, 1] * m02 + cameras[c, 4] * m12 + cameras[c, 7] * m22
    v20 = cameras[c, 2] * m00 + cameras[c, 5] * m10 + cameras[c, 8] * m20
    v21 = cameras[c, 2] * m01 + cameras[c, 5] * m11 + cameras[c, 8] * m21
    v22 = cameras[c, 2] * m02 + cameras[c, 5] * m12 + cameras[c, 8] * m22
    fx, fy = cameras[c, 12] / z, cameras[c, 13] / z
    axes = (v00, v01, v02, v10, v11, v12, v20, v21, v22)
    on_image = (
        fx * (v00 - slope_x * v20), fx * (v01 - slope_x * v21), fx * (v02 - slope_x * v22),
        fy * (v10 - slope_y * v20), fy * (v11 - slope_y * v21), fy * (v12 - slope_y * v22),
    )  # fmt: skip
    return axes, on_image


@kernel
def covariance_2d(on_image):
    """Blurred covariance xx, xy, yy, its determinant, and the determinant before the blur."""
    t00, t01, t02, t10, t11, t12 = on_image
    xx = t00 * t00 + t01 * t01 + t02 * t02
    xy = t00 * t10 + t01 * t11 + t02 * t12
    yy = t10 * t10 + t11 * t11 + t12 * t12
    c0, c1, c2 = t01 * t12 - t02 * t11, t02 * t10 - t00 * t12, t00 * t11 - t01 * t10
    sharp = c0 * c0 + c1 * c1 + c2 * c2
    blurred = sharp + BLUR * (xx + yy) + BLUR * BLUR
    return xx + BLUR, xy, yy + BLUR, blurred, sharp


@kernel
def sh_basis(x, y, z, degree, basis):
    """The real harmonics at a unit direction, as ``spherical_harmonics.sh_basis``."""
    basis[0] = 0.28209479177387814
    if degree >= 1:
        basis[1], basis[2], basis[3] = (
            -0.4886025119029199 * y,
            0.4886025119029199 * z,
            -0.4886025119029199 * x,
        )
    if degree >= 2:
        xx, yy, zz = x * x, y * y, z * z
        basis[4] = 1.0925484305920792 * x * y
        basis[5] = -1.0925484305920792 * y * z
        basis[6] = 0.31539156525252005 * (2 * zz - xx - yy)
        basis[7] = -1.0925484305920792 * x * z
        basis[8] = 0.5462742152960396 * (xx - yy)
        if degree >= 3:
            basis[9] = -0.5900435899266435 * y * (3 * xx - yy)
            basis[10] = 2.890611442640554 * x * y * z
            basis[11] = -0.4570457994644658 * y * (4 * zz - xx - yy)
            basis[12] = 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy)
            basis[13] = -0.4570457994644658 * x * (4 * zz - xx - yy)
            basis[14] = 1.445305721320277 * z * (xx - yy)
            basis[15] = -0.5900435899266435 * x * (xx - 3 * yy)


@kernel
def project(
    counter, means, quats, log_scales, opacity_logits, sh, degree, cameras, width, height, near, far, antialiased,
    records, means2d, radii, status,
):  # fmt: skip
    """Write the record and the radii of every splat in every camera (radii 0, and no record, if it is not seen).

    ``status`` becomes NOT_FINITE if a parameter that was looked at is not finite.
    """
    n = len(means)
    basis = np.empty(16)
    pieces = (n + CHUNK - 1) // CHUNK
    coefficients = (degree + 1) ** 2
    piece = fetch_add(counter)
    while piece < pieces:
        for i in range(piece * CHUNK, min(n, (piece + 1) * CHUNK)):
            rotation, _, _ = rotation_from_quaternion(quats, i)
            sx, sy, sz = math.exp(log_scales[i, 0]), math.exp(log_scales[i, 1]), math.exp(log_scales[i, 2])
            opacity = 1 / (1 + math.exp(-opacity_logits[i]))
            total = (
                quats[i, 0]
                + quats[i, 1]
                + quats[i, 2]
                + quats[i, 3]
                + means[i, 0]
                + means[i, 1]
                + means[i, 2]
            )
            if not math.isfinite(total + sx + sy + sz + opacity):
                status[0] = NOT_FINITE
                continue
            for c in range(len(cameras)):
                radii[c, i, 0] = 0
                radii[c, i, 1] = 0
                means2d[c, i, 0] = 0
                means2d[c, i, 1] = 0
                (dx, dy, dz), (x, y, z) = camera_point(means, i, cameras, c)
                if not (near < z < far):
                    continue
                slope_x, slope_y = linearised_slopes(x, y, z, cameras, c, width, height)
                _, on_image = image_axes(rotation, (sx, sy, sz), cameras, c, slope_x, slope_y, z)
                xx, xy, yy, blurred, sharp = covariance_2d(on_image)
                shown = opacity * math.sqrt(sharp / blurred) if antialiased else opacity
                if shown < MIN_ALPHA:
                    continue
                mean_x = cameras[c, 12] * x / z + cameras[c, 14]
                mean_y = cameras[c, 13] * y / z + cameras[c, 15]
                reach = 2 * math.log(shown / MIN_ALPHA)
                extent = min(math.sqrt(reach), MAX_EXTENT)
                radius_x, radius_y = math.ceil(extent * math.sqrt(xx)), math.ceil(extent * math.sqrt(yy))
                if not (-radius_x < mean_x < width + radius_x and -radius_y < mean_y < height + radius_y):
                    continue
                radii[c, i, 0] = min(radius_x, 1e9)
                radii[c, i, 1] = min(radius_y, 1e9)
                means2d[c, i, 0] = mean_x
                means2d[c, i, 1] = mean_y
                length = max(math.sqrt(dx * dx + dy * dy + dz * dz), 1e-12)
                sh_basis(dx / length, dy / length, dz / length, degree, basis)
                red = green = blue = 0.5
                for k in range(coefficients):
                    red += basis[k] * sh[i, k, 0]
                    green += basis[k] * sh[i, k, 1]
                    blue += basis[k] * sh[i, k, 2]
                if not math.isfinite(red + green + blue):
                    status[0] = NOT_FINITE
                records[c, i, X], records[c, i, Y], records[c, i, DEPTH] = mean_x, mean_y, z
                records[c, i, L1] = WHITENING / math.sqrt(xx)
                records[c, i, L2] = WHITENING * math.sqrt(xx / blurred)
                records[c, i, L3] = -records[c, i, L2] * (xy / xx)
                records[c, i, LOG_OPACITY] = math.log2(shown)
                records[c, i, RED], records[c, i, GREEN], records[c, i, BLUE] = (
                    max(red, 0.0),
                    max(green, 0.0),
                    max(blue, 0.0),
                )
                records[c, i, REACH_X], records[c, i, REACH_Y] = math.sqrt(reach * xx), math.sqrt(reach * yy)
                records[c, i, RIGHTMOST] = xy * math.sqrt(reach / xx)
                records[c, i, SHEAR], records[c, i, HALF_WIDTH] = xy / yy, math.sqrt(reach * blurred / yy)
        piece = fetch_add(counter)
