"""The first picture of a scene: the page shows it while everything else is still on its way.

Nothing here needs torch: drawing straight from the arrays of a plain .ply, the picture is there before torch is.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .home import Color, Home, half_height_to_show

POSTER_PATH = "/cosmorama/poster.jpg"
WIDTH, HEIGHT = 1600, 640
"""Wider than most windows: the page cuts off the sides."""
WINDOW_ASPECT = 16 / 10
"""Of the window that a new visitor's lens is first made for."""


@dataclass(frozen=True)
class RawSplats:
    """Parameters of splats as contiguous float32 arrays; named and shaped as in ``Gaussians``."""

    means: NDArray[np.float32]
    quats: NDArray[np.float32]
    log_scales: NDArray[np.float32]
    opacity_logits: NDArray[np.float32]
    sh: NDArray[np.float32]


def draw_poster(splats: RawSplats, home: Home, near: float, backdrop: Color) -> bytes:
    """What a new visitor will see first, as a JPEG; empty if there are no splats.

    Args:
        splats: of the scene.
        home: its first camera.
        near: the near plane in scene units.
        backdrop: colour where there is nothing.

    Raises:
        FloatingPointError: a parameter that matters is not finite.
    """
    from PIL import Image

    from ..reconstruct.rasterize.cpu.forward import Settings, run_forward

    if not len(splats.means):
        return b""
    focal = HEIGHT / (2 * half_height_to_show(home, WINDOW_ASPECT))
    intrinsics = np.array([[[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]]])
    degree = round(splats.sh.shape[1] ** 0.5) - 1
    inputs = (
        splats.means, splats.quats, splats.log_scales, splats.opacity_logits, splats.sh,
        np.zeros((len(splats.means), 0), np.float32), home.world_from_cam[None],
    )  # fmt: skip
    images, _ = run_forward(inputs, Settings(intrinsics, WIDTH, HEIGHT, degree, False, near, 1e10))
    color = images.color[0] + (1 - images.alpha[0])[..., None] * np.array(backdrop, np.float32)
    pixels = (color.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
