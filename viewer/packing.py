"""Splats as viser's buffer, coloured and sized for one point of view.

viser's renderer has no spherical harmonics and leaves out every splat with ``opacity * det(screen
covariance) < 1/4`` px^4: at a point of view where the splats of a photo are smaller than its pixels it would
show holes. Both are mended here, for the camera the buffer is packed for: colours come from the harmonics in
the direction of the splat, and splats that are too small on the screen are made wider and fainter until they
count.

Buffer row (viser 1.x): float32 centre, one word reserved, six float16 of the covariance's upper triangle,
rgba8.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from jaxtyping import Float, UInt32
from torch import Tensor

from ..reconstruct.gaussians import Gaussians

BLUR_PX2 = 0.3
"""Variance that viser, like our rasterizers, adds on the screen."""
_LEAST_WEIGHTED_DET = 0.26
"""Just above the bound of viser's shader."""
_WIDEST_PX2 = 4.0
"""Splats are made wider by at most this variance; fainter ones than that helps stay unseen."""
_LARGEST_SIGMA = 250.0
"""Display units; its square is near the end of float16."""


def pack_splats(
    gaussians: Gaussians, position: Float[Tensor, "3"], focal_px: float, *, scale: float = 1.0
) -> UInt32[np.ndarray, "n 8"]:
    """The buffer of a viser splat node as seen from one point.

    Args:
        gaussians: in scene units, on the CPU.
        position: camera centre in scene units.
        focal_px: of the camera; decides which splats are too small.
        scale: display units per scene unit.
    """
    n = len(gaussians)
    buffer = np.zeros((n, 8), np.uint32)
    covariance = np.empty((n, 6), np.float32)
    rgba = buffer.view(np.uint8).reshape(n, 32)[:, 28:]
    means, quats, log_scales, logits, sh = (_array(t) for t in gaussians.tensors().values())
    eye, focal, scale = _array(position), float(focal_px), float(scale)
    _pack(means, quats, log_scales, logits, sh, eye, focal, scale, buffer.view(np.float32), covariance, rgba)
    buffer[:, 4:7] = covariance.astype(np.float16).view(np.uint32)
    return buffer


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _pack(means, quats, log_scales, logits, sh, eye, focal_px, scale, centres, covariance, rgba):
    """One pass over all splats, on one thread: it runs beside the fit of a growing scene and must not fight with it."""
    basis = np.empty(16, np.float32)
    r, s = np.empty((3, 3), np.float32), np.empty(3, np.float32)
    largest = _LARGEST_SIGMA / scale
    for i in range(len(means)):
        x, y, z = means[i, 0] - eye[0], means[i, 1] - eye[1], means[i, 2] - eye[2]
        distance2 = max(x * x + y * y + z * z, 1e-12)
        inverse = 1.0 / math.sqrt(distance2)
        x, y, z = x * inverse, y * inverse, z * inverse
        _sh_basis(x, y, z, basis)
        _rotation(quats[i], r)
        for a in range(3):
            s[a] = min(math.exp(log_scales[i, a]), largest)
        opacity = 1.0 / (1.0 + math.exp(-logits[i]))
        px2 = focal_px * focal_px / distance2
        t, fainter = _at_least_visible(x, y, z, r, s, opacity, px2)
        for channel in range(3):
            value = 0.5
            for k in range(sh.shape[1]):
                value += basis[k] * sh[i, k, channel]
            rgba[i, channel] = np.uint8(min(max(value, 0.0), 1.0) * 255.0 + 0.5)
            centres[i, channel] = means[i, channel] * scale
        rgba[i, 3] = np.uint8(min(opacity * fainter, 1.0) * 255.0 + 0.5)
        entry = 0
        for a in range(3):
            for b in range(a, 3):
                value = t / px2 if a == b else 0.0
                for c in range(3):
                    value += r[a, c] * r[b, c] * s[c] * s[c]
                covariance[i, entry] = value * scale * scale
                entry += 1


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _at_least_visible(x, y, z, r, s, opacity, px2):
    """Screen variance to add to a splat, and what to multiply its opacity with.

    Adding the variance t to both screen axes turns the determinant det into det + t trace + t^2; the opacity falls
    with the square root of their ratio, so that the splat covers as much as before. Solved for
    opacity * sqrt(det det') = bound. The screen covariance is taken across the ray (x, y, z) to the splat, where its
    trace and determinant are closed forms in u = R^T ray; it does not depend on where the camera looks.
    """
    across = 0.0
    product = 0.0
    for a in range(3):
        u = r[0, a] * x + r[1, a] * y + r[2, a] * z
        b, c = (a + 1) % 3, (a + 2) % 3
        across += s[a] * s[a] * (1.0 - u * u)
        product += s[b] * s[b] * s[c] * s[c] * u * u
    trace = 2 * BLUR_PX2 + px2 * across
    det = BLUR_PX2 * BLUR_PX2 + BLUR_PX2 * px2 * across + px2 * px2 * product
    bound = _LEAST_WEIGHTED_DET / max(opacity, 1e-3)
    missing = bound * bound / det - det
    if missing <= 0.0:
        return 0.0, 1.0
    t = 0.5 * (math.sqrt(trace * trace + 4 * missing) - trace)
    if t > _WIDEST_PX2:
        return 0.0, 1.0
    return t, math.sqrt(det / (det + t * trace + t * t))


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _rotation(q, out):
    """Rotation matrix of a quaternion wxyz of any length."""
    length = 1.0 / math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    w, x, y, z = q[0] * length, q[1] * length, q[2] * length, q[3] * length
    out[0, 0], out[0, 1], out[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    out[1, 0], out[1, 1], out[1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    out[2, 0], out[2, 1], out[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _sh_basis(x, y, z, out):
    """The basis of ``reconstruct.spherical_harmonics`` up to degree 3."""
    xx, yy, zz = x * x, y * y, z * z
    out[0] = 0.28209479177387814
    out[1], out[2], out[3] = -0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x
    out[4], out[5] = 1.0925484305920792 * x * y, -1.0925484305920792 * y * z
    out[6] = 0.31539156525252005 * (2 * zz - xx - yy)
    out[7], out[8] = -1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy)
    out[9], out[10] = -0.5900435899266435 * y * (3 * xx - yy), 2.890611442640554 * x * y * z
    out[11] = -0.4570457994644658 * y * (4 * zz - xx - yy)
    out[12] = 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy)
    out[13] = -0.4570457994644658 * x * (4 * zz - xx - yy)
    out[14] = 1.445305721320277 * z * (xx - yy)
    out[15] = -0.5900435899266435 * x * (xx - 3 * yy)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


def warm_up() -> None:
    """Compile, so that the first picture does not wait for it."""
    one = Gaussians(
        torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[1.0, 0, 0, 0]]), torch.zeros(1, 3), torch.zeros(1),
        torch.zeros(1, 1, 3),
    )  # fmt: skip
    pack_splats(one, torch.zeros(3), 100.0)
