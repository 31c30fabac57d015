"""Splats as few bytes, for the page that carries its own scene.

Splats are ordered along a Morton curve and cut into blocks of 256; positions are 16 bit within the box of
their block over all of time, so that far things cost near things no precision. Every array below is one
plane of the payload, in this order, little-endian:

    boxes      float32 [blocks, 6]     lowest corner and size
    position   uint16  [times, n, 3]   in the block's box; ``times`` is 1 for a scene that stands still
    rotation   uint32  [times, n]      smallest three, 10 bits each, and which is missing (2 bits)
    scale      uint8   [n, 3]          log-scale between ``scale_range``
    opacity    uint8   [n]
    color      uint8   [n, 3]          the harmonics' constant between ``color_range``
    sh         int8    [k, n, 3]       higher harmonics in units of ``sh_unit`` of their degree, k = 0, 3, 8
    or 15
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..reconstruct.files.morton import morton_order
from ..reconstruct.files.quaternions import SQRT_HALF, smallest_three
from ..reconstruct.gaussians import Gaussians
from ..reconstruct.motion import Motion

BLOCK = 256
_LOG_SCALE_LIMITS = (-16.0, 8.0)


def quantise(
    gaussians: Gaussians, motion: Motion | None, sh_degree: int
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Header and planes of the payload.

    Args:
        gaussians: at least one splat.
        motion: of the splats, or None.
        sh_degree: harmonics above it are left out.
    """
    order = morton_order(gaussians.means)
    gaussians = gaussians[order]
    means = gaussians.means[None] if motion is None else motion.means[:, order]
    quats = gaussians.quats[None] if motion is None else motion.quats[:, order]
    boxes, position = _in_boxes(means)
    log_scales = gaussians.log_scales.clamp(*_LOG_SCALE_LIMITS)
    scale_range, scale = _to_range(log_scales)
    color_range, color = _to_range(gaussians.sh[:, 0].clamp(-4, 4))
    units, sh = _higher_harmonics(gaussians.sh, min(sh_degree, gaussians.sh_degree))
    opacity = (gaussians.opacities * 255 + 0.5).to(torch.uint8).numpy()
    header = {
        "count": len(gaussians), "block": BLOCK, "times": [0.0] if motion is None else motion.times.tolist(),
        "seconds": 0.0 if motion is None else motion.seconds,
        "scale_range": scale_range, "color_range": color_range, "sh_units": units,
    }  # fmt: skip
    return header, [boxes, position, _packed_rotations(quats), scale, opacity, color, sh]


def _in_boxes(means: Float[Tensor, "t n 3"]) -> tuple[np.ndarray, np.ndarray]:
    t, n, _ = means.shape
    pad = -n % BLOCK
    blocks = torch.cat([means, means[:, -1:].expand(-1, pad, -1)], dim=1).reshape(t, -1, BLOCK, 3)
    low, high = blocks.amin((0, 2)), blocks.amax((0, 2))
    size = (high - low).clamp_min(1e-12)
    scaled = (blocks - low[:, None]) / size[:, None] * 65535 + 0.5
    position = scaled.clamp(0, 65535).reshape(t, -1, 3)[:, :n].to(torch.int32).numpy().astype("<u2")
    return torch.cat([low, size], dim=1).numpy().astype("<f4"), position


def _to_range(values: Float[Tensor, "n c"]) -> tuple[list[float], np.ndarray]:
    low, high = float(values.min()), float(values.max())
    high = max(high, low + 1e-6)
    return [low, high], ((values - low) / (high - low) * 255 + 0.5).to(torch.uint8).numpy()


def _higher_harmonics(sh: Float[Tensor, "n k 3"], degree: int) -> tuple[list[float], np.ndarray]:
    """Each degree in its own unit, chosen so that one value in a thousand is clipped."""
    units, planes = [], [np.zeros((0, len(sh), 3), np.int8)]
    for band in range(1, degree + 1):
        part = sh[:, band * band : (band + 1) ** 2]
        sample = part.abs().flatten()[:: max(1, part.numel() // 1_000_000)]
        unit = max(float(torch.quantile(sample, 0.999)), 1e-6) / 127
        units.append(unit)
        planes.append((part / unit).round().clamp(-127, 127).to(torch.int8).transpose(0, 1).numpy())
    return units, np.concatenate(planes)


def _packed_rotations(quats: Float[Tensor, "t n 4"]) -> np.ndarray:
    largest, others = smallest_three(quats.flatten(0, 1))
    a, b, c = ((others / SQRT_HALF * 0.5 + 0.5).clamp(0, 1) * 1023).round().long().unbind(-1)
    return (largest << 30 | a << 20 | b << 10 | c).numpy().astype("<u4").reshape(quats.shape[:2])
