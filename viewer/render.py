"""Pictures of splats for the browser, by the rasterizer that every other command uses."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8

from ..reconstruct.cameras import Cameras
from ..reconstruct.gaussians import Gaussians


def render_rgb8(gaussians: Gaussians, camera: Cameras) -> UInt8[np.ndarray, "h w 3"]:
    """The picture that a camera (a batch of one) takes, on black."""
    from ..reconstruct.rasterize import rasterize

    with torch.no_grad():
        colour = rasterize(gaussians, camera).color[0]
    return (colour.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()
