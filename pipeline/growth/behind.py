"""What stands before something else hides a strip of it: that strip, as the photo's own place would show it.

From there all that is known of what lies behind is seen at once and at its sharpest. Views along a path see parts of
the strip, from further and further to the side: filled view by view, it would be another guess in each.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ...reconstruct.depth_completion import complete_depth
from ...reconstruct.gaussians import Gaussians, cat_gaussians, sh_from_rgb
from ...reconstruct.hidden import BEHIND, REACH
from ...reconstruct.lift import lift
from ...reconstruct.mesh.grid import DepthPicture
from ...reconstruct.windows import window_max
from ..depth import FAR_DEPTH_M, DepthEstimator
from ..generators.inpaint import fill_softly
from ..trajectories import Reach
from .frame import depth_around
from .hiding import STEP, hiding
from .patches import lay_patches
from .rims import RIM_PX, unmix

ASIDE = 0.6
"""How far to the side people go, in steps of the paths: twice as far as the widest of them."""
DISTANT = 3.0
"""What is farther away than so many times what the paths turn around hides nothing: plains reach to the sky."""
BEYOND = 1.1
"""What goes on behind something is so many times as far away, where it is beside it but no rim is between them; less is
the thing's own relief."""
SIGMA_PX = 0.65
"""Standard deviation of the layer's splats in pixels: it is soft anyway, and nothing shines through."""
MIXED_PX = 2
"""Pixels beside what hides something that show some of both."""
SKY = 0.5
"""What is surrounded by depth from here on, in parts of the sky's, is sky, even if it does not look like it."""
SIDEWAYS = 4
"""How many times farther to the side than up or down colours go on: horizons, shores and floors are level."""


def grow_behind(
    gaussians: Gaussians,
    picture: DepthPicture,
    reach: Reach,
    estimator: DepthEstimator,
    *,
    only_sky: bool = False,
) -> tuple[Gaussians, DepthPicture]:
    """Splats behind what hides something, and the piece that they are; what hides it lets it through at its rim.

    Args:
        gaussians: those of the picture, one for each pixel.
        picture: all that is seen from the photo's place, with its depth.
        reach: of the paths.
        estimator: of the depth of what is hidden.
        only_sky: leave what lies behind things to somebody else where that is not the sky.
    """
    aside = ASIDE * reach.step
    distant = DISTANT * reach.focus
    things, sky = (hiding(picture, aside, sky=far, distant=distant) for far in (False, True))
    sky &= ~things
    if only_sky:
        things = torch.zeros_like(sky)
    before = things | sky
    if not before.any():
        return gaussians, replace(picture, mask=before)
    image, depth = picture.image, picture.depth
    for holes, far in ((sky, True), (things, False)):
        if holes.any():
            image, depth = _filled(picture, holes, image, depth, None if far else estimator)
    rims = [
        hiding(picture, aside, sky=far, distant=distant, widest=RIM_PX)
        for far in ((True,) if only_sky else (False, True))
    ]
    layers = unmix(picture.image, picture.depth, torch.stack(rims).any(0) & before, image)
    piece = DepthPicture(layers.back, depth, picture.camera, before)
    opacities = gaussians.opacities * layers.alpha.flatten()
    colors = sh_from_rgb(layers.front.reshape(-1, 1, 3))
    gaussians = replace(gaussians, opacity_logits=torch.logit(opacities), sh=colors)
    closed = before | (window_max(before.float(), 1) > 0) & _beyond(picture.depth, before, mixed_px=0)
    hidden = lift(piece.image, depth, picture.camera, mask=closed, sigma_px=SIGMA_PX)
    return cat_gaussians([gaussians, hidden]), piece


def _filled(
    picture: DepthPicture,
    holes: Bool[Tensor, "h w"],
    image: Float[Tensor, "h w 3"],
    depth: Float[Tensor, "h w"],
    estimator: DepthEstimator | None,
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    """Image and depth with what lies behind the picture in the holes.

    Args:
        picture: what is seen.
        holes: where things are taken away from it.
        image: what is known to lie behind elsewhere.
        depth: of the same.
        estimator: of depth; None if there is sky behind.
    """
    source = _beyond(picture.depth, holes)
    soft = fill_softly(picture.image, source, sideways=SIDEWAYS)
    filled = lay_patches(torch.where(holes[..., None], soft, picture.image), source, holes)
    behind = torch.full_like(depth, FAR_DEPTH_M)
    if estimator:
        around = complete_depth(picture.depth, ~holes, source)
        guess = depth_around(filled, torch.where(holes, 0.0, picture.depth), picture.camera, estimator)
        behind = torch.where(around > SKY * FAR_DEPTH_M, behind, guess)
    behind = torch.maximum(behind, BEHIND * picture.depth)
    return torch.where(holes[..., None], filled, image), torch.where(holes, behind, depth)


def _beyond(
    depth: Float[Tensor, "h w"], holes: Bool[Tensor, "h w"], *, mixed_px: int = MIXED_PX
) -> Bool[Tensor, "h w"]:
    """What may go on behind what is taken away: what is farther away than that, or not beside it."""
    away, nearest = distance_transform_edt(~holes.numpy(), return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    away, (rows, columns) = torch.from_numpy(away), torch.from_numpy(nearest)
    at_rim = window_max(torch.where(holes, 0.0, depth), 1) > STEP * depth
    times = torch.where(at_rim, STEP, BEYOND)[rows, columns]
    beyond = (depth > times * depth[rows, columns]) | (away > REACH * max(depth.shape))
    beside = ~holes & (away > mixed_px)
    return next((some for some in (beyond & beside, beside) if some.any()), ~holes)
