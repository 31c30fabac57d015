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

import numpy as np
import torch
from jaxtyping import Float, UInt32
from torch import Tensor

from ..reconstruct.gaussians import Gaussians, rotation_from_wxyz
from ..reconstruct.spherical_harmonics import eval_sh

CHUNK = 1 << 16
"""Splats packed at a time: bounds the memory and stays in the cache."""
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
        gaussians: in scene units.
        position: camera centre in scene units.
        focal_px: of the camera; decides which splats are too small.
        scale: display units per scene unit.
    """
    buffer = np.zeros((len(gaussians), 8), np.uint32)
    for start in range(0, len(gaussians), CHUNK):
        _pack(gaussians[start : start + CHUNK], position, focal_px, scale, buffer[start : start + CHUNK])
    return buffer


def _pack(
    part: Gaussians, position: Tensor, focal_px: float, scale: float, out: UInt32[np.ndarray, "m 8"]
) -> None:
    offsets = part.means - position
    colour = eval_sh(part.sh, offsets).clamp_max(1.0)
    rotation = rotation_from_wxyz(part.quats)
    sigma = part.scales.clamp_max(_LARGEST_SIGMA / scale)
    wider, fainter = _at_least_visible(offsets, rotation, sigma, part.opacities, focal_px)
    m = rotation * sigma[:, None, :]
    covariance = m @ m.transpose(-1, -2) + wider[:, None, None] * torch.eye(3)
    triangle = covariance.flatten(1)[:, [0, 1, 2, 4, 5, 8]] * scale**2
    rgba = torch.cat([colour, (part.opacities * fainter)[:, None]], dim=1)
    out[:, :3] = (part.means * scale).numpy().view(np.uint32)
    out[:, 4:7] = triangle.half().contiguous().numpy().view(np.uint32)
    out[:, 7:8] = (rgba * 255 + 0.5).to(torch.uint8).contiguous().numpy().view(np.uint32)


def _at_least_visible(
    offsets: Float[Tensor, "n 3"],
    rotation: Float[Tensor, "n 3 3"],
    sigma: Float[Tensor, "n 3"],
    opacity: Float[Tensor, "n"],
    focal_px: float,
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """What to add to the covariance, and what to multiply the opacity with.

    Adding the variance t to both screen axes turns the determinant det into det + t trace + t^2; the opacity
    falls with the square root of their ratio, so that the splat covers as much as before. Solved for
    opacity * sqrt(det det') = bound. The screen covariance is taken across the ray to the splat, where its
    trace and determinant are closed forms in u = R^T ray; it does not depend on where the camera looks.
    """
    distance2 = offsets.square().sum(-1).clamp_min(1e-12)
    u2 = (rotation.transpose(-1, -2) @ (offsets / distance2.sqrt()[:, None])[..., None])[..., 0].square()
    px2 = focal_px**2 / distance2
    s2 = sigma.square()
    trace = 2 * BLUR_PX2 + px2 * (s2.sum(-1) - (s2 * u2).sum(-1))
    adjugate = torch.stack([s2[:, 1] * s2[:, 2], s2[:, 0] * s2[:, 2], s2[:, 0] * s2[:, 1]], dim=-1)
    det = BLUR_PX2**2 + BLUR_PX2 * (trace - 2 * BLUR_PX2) + px2.square() * (adjugate * u2).sum(-1)
    wanted = (_LEAST_WEIGHTED_DET / opacity.clamp_min(1e-3)).square() / det
    t = ((trace.square() + 4 * (wanted - det).clamp_min(0)).sqrt() - trace) / 2
    t = torch.where(t <= _WIDEST_PX2, t, 0.0)
    return t / px2, (det / (det + t * trace + t * t)).sqrt()
