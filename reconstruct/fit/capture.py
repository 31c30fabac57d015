"""A whole capture: first splats, fit, measurement, scene folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from ..captures import Capture, estimate_up, split_held_out
from ..errors import InputError
from ..gaussians import Gaussians
from ..scene import Scene, save_scene
from ..transforms_json import images_from_cameras
from ..views import Views
from .checkpoint import splats_in_checkpoint
from .config import FitConfig
from .evaluate import Scores, evaluate
from .fit import fit_gaussians
from .initialise import match_views, splats_from_points, splats_from_views, sure_depths
from .objective import Perceptual
from .result import FitResult
from .stereo import DepthMaps

Start = Literal["auto", "cloud", "stereo"]
MIN_CLOUD = 500
"""Sparse clouds with fewer points are not worth starting from."""


@dataclass(frozen=True)
class CaptureFit:
    """A fitted capture."""

    result: FitResult
    train: Views
    held_out: Views
    scores: Scores | None
    """On the held-out views; None if there are none."""


def fit_capture(
    capture: Capture,
    config: FitConfig,
    *,
    start: Start = "auto",
    first_splats: int = 20_000,
    hold_out_every: int = 8,
    perceptual: Perceptual | None = None,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    resume: bool = False,
    on_progress: Callable[..., object] | None = None,
) -> CaptureFit:
    """Fit splats to a capture.

    Args:
        capture: from ``load_capture``.
        config: how to fit; its background is the capture's. With ``surface``, depths that stereo is sure of are
            fitted too, where the capture has none.
        start: the first splats come from the capture's sparse cloud or from stereo over its photos; ``auto``
            takes the cloud if there is a good one.
        first_splats: roughly how many.
        hold_out_every: every so manieth photo in order of name is measured on and not fitted; 0 for none.
        perceptual, seed, checkpoint, resume, on_progress: as for ``fit_gaussians``.
        device: where to fit.

    Raises:
        InputError: too few photos, or no start can be found.
        FitError: see ``fit_gaussians``.
    """
    config = replace(config, background=capture.background)
    fitted, kept = split_held_out(len(capture.views), hold_out_every)
    if not fitted:
        raise InputError(f"{len(capture.views)} photos are too few to hold out one in {hold_out_every}")
    train, held_out = capture.views[fitted], capture.views[kept]
    before = time.perf_counter()
    maps = match_views(train) if config.surface is not None and len(train) > 2 else None
    if resume and checkpoint is not None and checkpoint.exists():
        first = splats_in_checkpoint(checkpoint)
    else:
        first = first_gaussians(capture, train, start=start, count=first_splats, maps=maps)
    if maps is not None and train.depths is None:
        train = replace(train, depths=sure_depths(maps, train.cameras))
    train, held_out = train.to(device), held_out.to(device)
    result = fit_gaussians(
        first.to(device),
        train.cameras,
        train.images,
        config=config,
        pixel_weights=train.weights,
        depths=train.depths,
        perceptual=perceptual,
        held_out=held_out if kept else None,
        seed=seed,
        checkpoint=checkpoint,
        resume=resume,
        seconds_before=time.perf_counter() - before,
        on_progress=on_progress,
    )
    scores = evaluate(result.gaussians, held_out, config) if kept else None
    return CaptureFit(result, train, held_out, scores)


def first_gaussians(
    capture: Capture, train: Views, *, start: Start, count: int, maps: DepthMaps | None = None
) -> Gaussians:
    """Where to start: see ``fit_capture``."""
    cloud = capture.cloud
    if start == "cloud" and cloud is None:
        raise InputError("the capture has no sparse cloud to start from; use stereo")
    if cloud is not None and (start == "cloud" or (start == "auto" and len(cloud.points) >= MIN_CLOUD)):
        return splats_from_points(cloud.points, cloud.rgb, count=count)
    background = capture.background if any(capture.background) else None
    return splats_from_views(train, count=count, background=background, maps=maps)


def save_fit(folder: Path, fit: CaptureFit, info: dict[str, Any]) -> None:
    """Write a scene folder: splats, the training photos as they were fitted, their cameras, and ``info``."""
    (folder / "views").mkdir()
    views = []
    for i, image in enumerate(fit.train.images.cpu()):
        path = folder / "views" / f"{i:04d}.png"
        Image.fromarray(image.numpy()).save(path)
        views += images_from_cameras(fit.result.cameras[i].to("cpu"), image=path)
    up = estimate_up(fit.result.cameras.to("cpu"))
    save_scene(folder, Scene(fit.result.gaussians.to("cpu"), up=up, views=views, info=info))
