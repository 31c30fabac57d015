"""Fitting splats to posed images."""

from ..views import Views
from .capture import CaptureFit, fit_capture, save_fit
from .config import FitConfig, GradientGrowth, LearningRates, Losses, McmcGrowth, NoGrowth
from .evaluate import Scores, evaluate, psnr, render_view
from .fit import fit_gaussians, scene_extent
from .initialise import splats_from_points, splats_from_views
from .result import FitError, FitResult

__all__ = [
    "CaptureFit",
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
    "fit_capture",
    "fit_gaussians",
    "save_fit",
    "splats_from_points",
    "splats_from_views",
    "psnr",
    "render_view",
    "scene_extent",
]
