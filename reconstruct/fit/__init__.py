"""Fitting splats to posed images."""

from .config import FitConfig, GradientGrowth, LearningRates, Losses, McmcGrowth, NoGrowth
from .evaluate import Scores, evaluate, psnr, render_view
from .fit import fit_gaussians, scene_extent
from .result import FitError, FitResult, Views

__all__ = [
    "FitConfig",
    "FitError",
    "FitResult",
    "GradientGrowth",
    "LearningRates",
    "Losses",
    "McmcGrowth",
    "NoGrowth",
    "Scores",
    "Views",
    "evaluate",
    "fit_gaussians",
    "psnr",
    "render_view",
    "scene_extent",
]
