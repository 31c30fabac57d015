"""What a camera looks at."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..reconstruct.cameras import Cameras
from ..reconstruct.gaussians import Gaussians


def looked_at(
    gaussians: Gaussians, camera: Cameras, *, near: float = 0.01, reach: int = 8
) -> Float[Tensor, "3"] | None:
    """The point on the surface in the middle of a picture; None if the camera sees nothing there.

    Args:
        gaussians: the scene.
        camera: a batch of one.
        near: nothing closer counts, scene units.
        reach: half the side, in pixels, of the square whose median depth is taken.
    """
    from ..reconstruct.rasterize import rasterize

    small = camera.resized(max(2 * reach, camera.width // 4), max(2 * reach, camera.height // 4))
    with torch.no_grad():
        depth = rasterize(gaussians, small, near=near).median_depth
    rows = slice(small.height // 2 - reach, small.height // 2 + reach)
    columns = slice(small.width // 2 - reach, small.width // 2 + reach)
    patch = depth[0, rows, columns]
    if not bool((patch > 0).any()):
        return None
    return camera.positions[0] + patch[patch > 0].median() * camera.forward[0]
