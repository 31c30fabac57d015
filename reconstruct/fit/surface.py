"""Losses that make splats lie on surfaces: flat discs, at one depth in each pixel, facing as the depth says.

Source: Huang et al., 2D Gaussian Splatting (2024), equations 13 and 14 with squared distances, and the flattening of
PGSR (Chen et al., 2024), on splats of three dimensions.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras
from ..gaussians import Gaussians
from ..rasterize import Rendering
from ..surfels import normals_from_depth, surface_maps
from .config import SurfaceLosses


def flatness_loss(gaussians: Gaussians, thinnest: float) -> Float[Tensor, ""]:
    """How much thicker splats are than ``thinnest`` times their middle axis, on average."""
    axes = gaussians.log_scales.sort(dim=-1).values
    return (torch.exp(axes[:, 0] - axes[:, 1].detach()) - thinnest).clamp_min(0).mean()


def surface_loss(
    gaussians: Gaussians, rendering: Rendering, camera: Cameras, losses: SurfaceLosses, progress: float
) -> Float[Tensor, ""]:
    """The sum of the terms that are due at this point of the run.

    Args:
        gaussians: splats.
        rendering: of one view; with ``surface_features`` once ``losses.start`` is past.
        camera: of that view.
        losses: weights.
        progress: fraction of the run that is done.
    """
    loss = losses.flat * flatness_loss(gaussians, losses.thinnest)
    if rendering.features is None or progress < losses.start:
        return loss
    alpha = rendering.alpha[0]
    maps = surface_maps(rendering.features[0], alpha, rendering.depth[0], camera)
    loss = loss + losses.distortion * maps.variance.mean()
    normals = normals_from_depth(maps.depth, camera)
    agreement = (normals * maps.normals).sum(-1)
    known = normals.detach().square().sum(-1) > 0.5
    weight = torch.where(known, alpha.detach().square(), 0.0)
    return loss + losses.normal * (weight * (1 - agreement)).mean()
