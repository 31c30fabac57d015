"""What is done once per installation."""

from __future__ import annotations

import torch

from ..reconstruct.cameras import Cameras, pinhole_intrinsics
from ..reconstruct.fit import FitConfig, fit_gaussians
from ..reconstruct.gaussians import gaussians_from_points
from .dinov2 import load_dinov2
from .growth.patches import lay_patches


def fetch_weights() -> None:
    """Put into the cache what the main job needs: DINOv2.

    Raises:
        InputError: the package index cannot be reached.
    """
    load_dinov2(torch.device("cpu"))


def compile_kernels() -> None:
    """Compile what the main job runs on the CPU: rasterizer, SSIM and optimiser by fitting two splats for a step."""
    splats = gaussians_from_points(
        torch.tensor([[0.0, 0, 2], [0.1, 0, 3]]), torch.rand(2, 3), torch.full((2,), 0.1)
    )
    camera = Cameras(torch.eye(4)[None], pinhole_intrinsics(30.0, 32, 32)[None], 32, 32)
    fit_gaussians(splats, camera, torch.rand(1, 32, 32, 3), config=FitConfig(iterations=1, sh_degree=0))
    holes = torch.zeros(32, 32, dtype=torch.bool)
    holes[:, 24:] = True
    lay_patches(torch.rand(32, 32, 3), ~holes, holes)
