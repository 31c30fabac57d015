"""An estimator against true depth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import DepthEstimator
from .frames import frame_folder, read_frame
from .metrics import DepthMetrics, depth_metrics, mean_metrics


def evaluate_folder(
    estimator: DepthEstimator, folder: Path, *, on_progress: Callable[..., None] | None = None
) -> dict[str, Any]:
    """Metrics over the frames of a folder (layout: ``frames.py``), each frame counting the same.

    Returns:
        ``metric`` (as predicted) and ``median`` (scaled per frame to the true median), each with absrel, delta1, rmse,
        log_rmse, boundary_f1, inverse_correlation; ``frames``, ``seconds_per_frame``, ``estimator``, ``licences``.

    Raises:
        InputError: the folder does not hold such frames.
    """
    paths = frame_folder(folder)
    metric: list[DepthMetrics] = []
    median: list[DepthMetrics] = []
    seconds = 0.0
    for done, path in enumerate(paths, start=1):
        frame = read_frame(path)
        start = time.perf_counter()
        predicted = estimator(frame.image, frame.focal_px).depth_m
        seconds += time.perf_counter() - start
        valid = frame.depth_m > 0
        if valid.any():
            metric.append(depth_metrics(predicted, frame.depth_m, valid))
            median.append(depth_metrics(predicted, frame.depth_m, valid, median_scaling=True))
        if on_progress:
            on_progress(done, len(paths))
    return {
        "frames": len(metric),
        "metric": asdict(mean_metrics(metric)),
        "median": asdict(mean_metrics(median)),
        "seconds_per_frame": seconds / len(paths),
        "estimator": estimator.name,
        "licences": list(estimator.licences),
    }
