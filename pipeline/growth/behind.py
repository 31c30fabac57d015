"""What stands before something else hides a strip of it: that strip, as the photo's own place would show it.

From there all that is known of what lies behind is seen at once and at its sharpest. Views along a path see parts of
the strip, from further and further to the side: filled view by view, it would be another guess in each.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from ...reconstruct.depth_completion import complete_depth
from ...reconstruct.depth_edges import depth_edges
from ...reconstruct.gaussians import Gaussians, cat_gaussians, sh_from_rgb
from ...reconstruct.lift import lift
from ...reconstruct.mesh.grid import DepthPicture
from ...reconstruct.windows import window_max, window_min
from ..depth import FAR_DEPTH_M, DepthEstimator
from ..generators import Memory, ViewGenerator, ViewRequest
from ..trajectories import Reach
from .frame import depth_around
from .patches import with_patches
from .pieces import BEHIND
from .rims import RIM_PX, unmix

ASIDE = 0.6
"""How far to the side people go, in steps of the paths: twice as far as the widest of them."""
STEP = 1.06
"""What lies behind is so many times as far away."""
SKY = 0.5
"""What is surrounded by depth from here on, in parts of the sky's, is sky, even if it does not look like it."""
WIDEST, FINER = 0.21, 1.33
"""Width of the widest strip in lengths of the long side, and the ratio of one that is tried to the next."""


def grow_behind(
    gaussians: Gaussians,
    picture: DepthPicture,
    reach: Reach,
    generator: ViewGenerator,
    estimator: DepthEstimator,
    *,
    seed: int,
    text: str | None = None,
) -> tuple[Gaussians, DepthPicture]:
    """Splats behind what hides something, and the piece that they are; what hides it lets it through at its rim.

    Args:
        gaussians: those of the picture, one for each pixel.
        picture: all that is seen from the photo's place, with its depth.
        reach: of the paths.
        generator: fills what is hidden.
        estimator: of its depth.
        seed: of the generator.
        text: a description, for generators that take one.
    """
    before = hiding(picture, ASIDE * reach.step)
    if not before.any():
        return gaussians, replace(picture, mask=before)
    shown = (~before)[None].float()
    memory = Memory(picture.image[None] * shown[..., None], picture.depth[None] * shown, shown)
    request = ViewRequest(
        picture.camera,
        memory,
        picture.image[None],
        picture.camera,
        seed,
        text,
        photo_depths=picture.depth[None],
    )
    image = torch.where(before[..., None], generator(request)[0], picture.image)
    if generator.soft:
        image = with_patches(request, image)
    depth = depth_around(image, memory.depth[0], picture.camera, estimator)
    around = complete_depth(memory.depth[0], ~before, request.support[0])
    depth = torch.where(around > SKY * FAR_DEPTH_M, FAR_DEPTH_M, depth)
    depth = torch.where(before, torch.maximum(depth, BEHIND * picture.depth), picture.depth)
    rim = hiding(picture, ASIDE * reach.step, widest=RIM_PX)
    layers = unmix(picture.image, picture.depth, rim, image)
    piece = DepthPicture(layers.back, depth, picture.camera, before)
    opacities = gaussians.opacities * layers.alpha.flatten()
    colors = sh_from_rgb(layers.front.reshape(-1, 1, 3))
    gaussians = replace(gaussians, opacity_logits=torch.logit(opacities), sh=colors)
    return cat_gaussians([gaussians, lift(piece.image, depth, picture.camera, mask=before)]), piece


def hiding(picture: DepthPicture, aside: float, *, widest: float | None = None) -> Bool[Tensor, "h w"]:
    """Pixels of things that one sees past from so far to the side: what lies behind them there comes into view.

    Args:
        picture: with its depth.
        aside: in scene units.
        widest: how many pixels from a silhouette at most; default ``WIDEST``.
    """
    inverse = 1 / picture.depth
    behind = depth_edges(picture.depth) & (picture.depth > STEP * window_min(picture.depth, 1))
    parallax = float(picture.camera.intrinsics[0, 0, 0]) * aside
    near = window_max(inverse, 1)
    width, between = parallax * (near - inverse), (near * inverse).sqrt()
    hides = torch.zeros_like(behind)
    for radius in _radii(WIDEST * max(hides.shape) if widest is None else widest):
        limit = window_min(torch.where(behind & (width >= radius), between, torch.inf), radius)
        hides |= inverse > limit
    return hides


def _radii(largest: float) -> list[int]:
    """Whole numbers from 1 up, each about ``FINER`` times the one before."""
    radii = [1]
    while radii[-1] < largest:
        radii.append(max(radii[-1] + 1, round(FINER * radii[-1])))
    return radii
