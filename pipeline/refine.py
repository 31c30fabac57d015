"""The last stage of a scene: splats are optimised to show the photo, near and nearer, and the generated views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..reconstruct.cameras import Cameras, cat_cameras
from ..reconstruct.fit import FitConfig, LearningRates, fit_gaussians
from ..reconstruct.fit.objective import Perceptual
from ..reconstruct.gaussians import Gaussians
from ..reconstruct.rasterize import rasterize
from ..reconstruct.views import Views, as_float
from .growth.grow import Growth
from .perceptual import dinov2_distance
from .photo import Photo
from .progress import Advance
from .watch import Watcher

REFINE = FitConfig(
    learning_rates=LearningRates(
        means=0.0, quats=0.0, log_scales=0.12, opacity_logits=0.04, sh0=0.08, sh_rest=0.0, last=0.05
    ),
    sh_degree=0,
    skip_faint=0.05,
)
"""Depth says where splats are; what is left to find is how wide, how opaque and of what colour they are."""
REFINE_SEVERAL = replace(REFINE, learning_rates=replace(REFINE.learning_rates, means=3e-4, quats=2e-3))
"""Photos from other places tell where splats are, too."""
STEPS_PER_PHOTO = 0.2
"""Further steps for each further photo, in parts of those for one."""


PERCEPTUAL_EVERY = 4
"""Steps from one perceptual term to the next: each takes as long as a few steps."""
CLOSE_UPS = 0.2
"""Share of the steps that show the photo closer up. More of them cost sharpness where the photo was taken."""


def refine(
    growth: Growth,
    photo: Photo,
    iterations: int,
    seed: int,
    watcher: Watcher,
    advance: Advance,
    *,
    weights: tuple[float, float] = (0.5, 0.25),
    perceptual: float = 0.0,
    others: Views | None = None,
) -> Gaussians:
    """Optimise the splats so that they show the photo and the generated views; the photo counts most.

    Generated pixels count as much as the scene supported them, and less and less towards the end. Some steps show
    quarters of the photo at twice its size: what lies between the photo's pixels would be nobody's business otherwise,
    and come out as a pattern of dots for those who step closer.

    Args:
        growth: the scene so far, and the generated views.
        photo: always right.
        iterations: steps.
        seed: of the order of the views.
        watcher: shown the progress; may stop it.
        advance: told of the progress.
        weights: of generated views at the start and at the end.
        perceptual: weight of the perceptual loss on generated views.
        others: further photos; their pixels count as their weights say.
    """
    views, further = len(growth.cameras), len(others) if others else 0
    if watcher.cancelled:
        return growth.gaussians

    def progress(
        done: int, total: int, *, psnr: float, gaussians: Callable[[], Gaussians], **_: object
    ) -> bool:
        advance(done, total, psnr=psnr)
        watcher.psnr(psnr, done)
        watcher.update(gaussians())
        return watcher.cancelled

    first, last = weights
    close, quarters = close_ups(photo)
    size = photo.image.shape[:2]
    others = others or Views(photo.camera[[]], photo.image[None][:0], torch.zeros(0, *size))
    assert others.weights is not None
    config = REFINE_SEVERAL if further else REFINE
    losses = replace(REFINE.losses, perceptual=perceptual, perceptual_every=PERCEPTUAL_EVERY)
    often = float(max(views, 1))  # the photo as often as all generated views together
    shares = torch.cat([torch.full((1 + further,), often), torch.ones(views)])
    close_up = CLOSE_UPS / (1 - CLOSE_UPS) * float(shares.sum()) / 4
    result = fit_gaussians(
        growth.gaussians,
        cat_cameras([photo.camera, others.cameras, growth.cameras, close]),
        torch.cat([photo.image[None], as_float(others.images), growth.images, quarters]),
        config=replace(config, iterations=round(iterations * (1 + STEPS_PER_PHOTO * further)), losses=losses),
        view_weights=lambda done: torch.cat(
            [torch.ones(1 + further), torch.full((views,), first + (last - first) * done), torch.ones(4)]
        ),
        perceptual=_on_generated(dinov2_distance(), 1 + further, views) if perceptual else None,
        view_sampling=torch.cat([shares, torch.full((4,), close_up)]),
        pixel_weights=torch.cat(
            [torch.ones(1, *size), others.weights, 0.3 + 0.7 * growth.support, torch.ones(4, *size)]
        ),
        seed=seed,
        on_progress=progress,
    )
    return result.gaussians


def close_ups(photo: Photo) -> tuple[Cameras, Float[Tensor, "4 h w 3"]]:
    """The photo's quarters at its own size, bicubic, and the cameras that see them: the photo's with a longer lens."""
    height, width = photo.image.shape[:2]
    planes = photo.image.permute(2, 0, 1)[None]
    twice = F.interpolate(planes, scale_factor=2, mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)
    corners = [(x, y) for y in (0, height) for x in (0, width)]
    intrinsics = photo.camera.intrinsics * torch.tensor([[2.0], [2.0], [1.0]])
    intrinsics = intrinsics.repeat(4, 1, 1)
    intrinsics[:, :2, 2] -= torch.tensor(corners, dtype=intrinsics.dtype)
    cameras = Cameras(photo.camera.world_from_cam.repeat(4, 1, 1), intrinsics, width, height)
    return cameras, torch.stack([twice[y : y + height, x : x + width] for x, y in corners])


def _on_generated(distance: Perceptual, first: int, views: int) -> Perceptual:
    """The distance for the ``views`` generated views from ``first`` on; photos are held to their own pixels."""
    return lambda rendering, image, view: (
        distance(rendering, image, view) if first <= view < first + views else rendering.new_zeros(())
    )


def input_view_psnr(gaussians: Gaussians, photo: Photo) -> float:
    """PSNR in dB of the scene against the photo, from the photo's own camera."""
    with torch.no_grad():
        color = rasterize(gaussians, photo.camera).color[0].clamp(0, 1)
    return float(-10 * torch.log10((color - photo.image).square().mean()))
