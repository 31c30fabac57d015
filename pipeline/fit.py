"""What ``cosmorama fit`` and ``cosmorama bench fit`` share: a capture fitted, with a report."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..reconstruct.captures import Capture, capture_of, is_capture, load_capture
from ..reconstruct.errors import InputError
from ..reconstruct.fit import CaptureFit, fit_capture
from .device import pick_device
from .fit_options import FitOptions
from .photo_files import cameras_of, is_clip, photos_in, upright_photos
from .progress import Reporter, peak_memory_mb

LONGEST_PX = 1920
"""Long side of photos whose cameras are found, before ``downscale``."""
MOST_PHOTOS, FRAMES = 80, 30
"""Of those photos, and of a clip's frames: each is compared with each."""


def checkpoint_of(out: Path) -> Path:
    """Where the state of an unfinished run is kept."""
    return out.with_name(out.name + ".checkpoint.safetensors")


def fit_and_report(
    options: FitOptions, reporter: Reporter, *, checkpoint: Path | None = None, resume: bool = False
) -> tuple[CaptureFit, dict[str, Any]]:
    """Load, fit, measure.

    Args:
        options: of ``cosmorama fit`` and ``bench fit``.
        reporter: shows progress.
        checkpoint: file for the state of the run.
        resume: go on from it.

    Returns:
        The fit, and what ``--json`` prints: times in seconds (all of the run, with loading), PSNR in dB, the curve as
        [[seconds since the fit began, PSNR of the held-out photos], ...].

    Raises:
        InputError: the options or the capture cannot be used, or there is no checkpoint to resume from.
        FitError: see ``reconstruct.fit.fit_gaussians``.
    """
    options.check()
    device = pick_device(options.device)
    if resume and (checkpoint is None or not checkpoint.is_file()):
        raise InputError(
            f"{checkpoint}: no such checkpoint to resume from; without --resume the fit starts anew"
        )
    began, began_cpu = time.perf_counter(), time.process_time()
    capture = _load(options, reporter)
    cameras = capture.views.cameras
    config = options.config(cameras.width, cameras.height)
    reporter.note(
        f"{len(capture.views)} photos of {cameras.width}x{cameras.height}, {config.iterations} steps, up to "
        f"{options.splats} splats on {device}"
    )
    perceptual = None
    if options.perceptual:
        from .perceptual import dinov2_distance

        perceptual = dinov2_distance()
    with reporter.stage("fit") as advance:

        def progress(done: int, total: int, *, gaussians: object, **details: object) -> None:
            advance(done, total, **details)

        fit = fit_capture(
            capture, config, start=options.start, first_splats=options.first_splats,
            hold_out_every=options.hold_out_every, perceptual=perceptual, seed=options.seed, device=device,
            checkpoint=checkpoint, resume=resume, on_progress=progress,
        )  # fmt: skip
    cpu_seconds = time.process_time() - began_cpu
    return fit, _report(fit, time.perf_counter() - began, cpu_seconds, device)


def _load(options: FitOptions, reporter: Reporter) -> Capture:
    """The capture; for photos that tell of no cameras, and clips, these are found."""
    path = options.capture
    if is_capture(path) or not (is_clip(path) or (path.is_dir() and photos_in(path))):
        with reporter.stage("load"):
            return load_capture(path, downscale=options.downscale)
    with tempfile.TemporaryDirectory() as folder:
        with reporter.stage("cameras") as advance:
            photos = upright_photos(
                [path], Path(folder), long_side=LONGEST_PX, most=MOST_PHOTOS, frames=FRAMES
            )
            if len(photos) < 2:
                raise InputError(f"{path}: a scene is fitted to several photos; `cosmorama make` takes one")
            found = cameras_of(photos, seed=options.seed, advance=advance)
        names = [photos[index].name for index in found.given]
        # stereo is a better start than the points that the cameras were found by: 30.6 dB in place of 29.6 (fox)
        cloud = found.cloud if options.start == "cloud" else None
        reporter.note(f"the cameras of {len(names)} of {len(photos)} photos were found")
        with reporter.stage("load"):
            capture = capture_of(found.posed, cloud, downscale=options.downscale)
    return replace(capture, names=names)


def _report(fit: CaptureFit, seconds: float, cpu_seconds: float, device: str) -> dict[str, Any]:
    result, cameras = fit.result, fit.train.cameras
    return {
        "test_psnr": None if fit.scores is None else round(fit.scores.psnr, 3),
        "test_ssim": None if fit.scores is None else round(fit.scores.ssim, 4),
        "test_lpips": None if fit.scores is None or fit.scores.lpips is None else round(fit.scores.lpips, 4),
        "test_psnr_per_view": None if fit.scores is None else [round(p, 2) for p in fit.scores.psnr_per_view],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "fit_seconds": round(result.seconds, 1),
        "iterations": result.iterations,
        "splats": len(result.gaussians),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "curve": [[round(t, 1), round(p, 2)] for t, p in result.curve],
        "splat_counts": result.splat_counts,
        "train_views": len(fit.train),
        "test_views": len(fit.held_out),
        "image_size": [cameras.width, cameras.height],
        "device": device,
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1),
    }
