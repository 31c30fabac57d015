"""Fitting splats to posed images by gradient descent on their renderings.

One step shows one view. Everything random about a step is drawn from a generator seeded with (seed, step), so a run
that was interrupted goes on from its checkpoint to the same bits.

Source: Kerbl et al., 3D Gaussian Splatting (2023), with schedules for thousands of steps instead of tens of thousands.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..cameras import Cameras
from ..errors import InputError
from ..gaussians import Gaussians
from ..rasterize import Rendering, rasterize
from ..surfels import surface_features
from ..views import Images, Views
from .adam import RowAdam
from .checkpoint import load_checkpoint, save_checkpoint, under
from .config import FitConfig, GradientGrowth, McmcGrowth
from .evaluate import evaluate, psnr
from .growth_gradient import accumulate_pull, grow_by_gradient, reset_opacities
from .growth_mcmc import add_splats, relocate, shake
from .objective import Perceptual, depth_loss, restraint, view_loss
from .pyramid import Pyramid, View
from .refine import centre_exposures, corrected_cameras, expose, initial_corrections
from .result import FitError, FitResult
from .schedule import divisor_at, sh_degree_at, splat_rates, step_generator, view_order, view_rates
from .surface import surface_loss

PROGRESS_EVERY = 10


def fit_gaussians(
    gaussians: Gaussians,
    cameras: Cameras,
    images: Images,
    *,
    config: FitConfig | None = None,
    view_weights: Float[Tensor, "c"] | Callable[[float], Float[Tensor, "c"]] | None = None,
    view_sampling: Float[Tensor, "c"] | None = None,
    pixel_weights: Float[Tensor, "c h w"] | None = None,
    depths: Float[Tensor, "c h w"] | None = None,
    perceptual: Perceptual | None = None,
    held_out: Views | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    resume: bool = False,
    seconds_before: float = 0.0,
    on_progress: Callable[..., object] | None = None,
) -> FitResult:
    """Fit splats to posed images of one size, on the device that they are on.

    Args:
        gaussians: where to start.
        cameras: C training cameras.
        images: what they saw, float in [0, 1] or bytes.
        config: how to fit.
        view_weights: factor on each view's loss, or a function of progress in [0, 1) that gives them; default 1.
        view_sampling: how often each view is shown, relative to the others; default all alike.
        pixel_weights: how much each pixel counts (masks).
        depths: z depth where it is known, else 0.
        perceptual: (rendering [h, w, 3], image [h, w, 3], view) -> scalar loss, weighted by ``config.losses``.
        held_out: views to measure on, never fitted.
        seed: decides everything that is random.
        checkpoint: file for the state of the run, written now and then and when it fails.
        resume: go on from ``checkpoint`` if it exists.
        on_progress: called as (done, total, psnr=…, loss=…, splats=…, gaussians=…); psnr is the held-out one where
            there are held-out views, else of the last training view; gaussians is a function that gives the splats as
            they are. If it returns True, the run stops there.

    Returns:
        The splats and what is known about the run.

    Raises:
        InputError: what was given does not fit together, or the checkpoint belongs to another run.
        FitError: the loss is not finite, or a view shows no splat; the state before that step is in ``checkpoint``.
    """
    config = FitConfig() if config is None else config
    views = Views(cameras, images, pixel_weights, depths)
    _check(gaussians, views, view_sampling)
    run = _Run(gaussians, views, config, view_weights, view_sampling, perceptual, held_out, seed)
    run.seconds = seconds_before
    if resume and checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    run.go(checkpoint, on_progress)
    return run.result()


@dataclass
class _Live:
    """What on_progress is told."""

    loss: float = math.nan
    psnr: float = math.nan


class _Run:
    """The state of one fit."""

    def __init__(
        self,
        gaussians: Gaussians,
        views: Views,
        config: FitConfig,
        view_weights: Tensor | Callable[[float], Tensor] | None,
        view_sampling: Tensor | None,
        perceptual: Perceptual | None,
        held_out: Views | None,
        seed: int,
    ) -> None:
        self.config, self.seed, self.perceptual, self.held_out = config, seed, perceptual, held_out
        self.device = gaussians.means.device
        self.pyramid, self.cameras = Pyramid(views), views.cameras
        self.view_weights = view_weights
        sampling = torch.ones(len(views)) if view_sampling is None else view_sampling.cpu()
        self.order = view_order(sampling, config.iterations, step_generator(seed, 0))
        self.extent = scene_extent(gaussians, views.cameras) if config.extent is None else config.extent
        self.background = torch.tensor(config.background, device=self.device)
        self.splats = RowAdam(gaussians.tensors())
        self.corrections = RowAdam(initial_corrections(len(views), self.device))
        self.pull = torch.zeros(len(gaussians), 2, device=self.device)
        self.first_count = len(gaussians)
        self.step, self.seconds = 0, 0.0
        self.curve: list[tuple[float, float]] = []
        self.counts: list[tuple[int, int]] = [(0, len(gaussians))]

    def go(self, checkpoint: Path | None, on_progress: Callable[..., object] | None) -> None:
        """Step until the end."""
        config, live, before = self.config, _Live(), time.perf_counter() - self.seconds
        while self.step < config.iterations:
            try:
                self._one_step(live)
            except FitError:
                if checkpoint is not None:
                    self.save(checkpoint)
                raise
            self.step += 1
            self.seconds = time.perf_counter() - before
            last = self.step == config.iterations
            if self.held_out is not None and (self.step % config.evaluate_every == 0 or last):
                live.psnr = evaluate(self.gaussians(), self.held_out, config, thorough=False).psnr
                self.curve.append((self.seconds, live.psnr))
            if checkpoint is not None and (self.step % config.checkpoint_every == 0 or last):
                self.save(checkpoint)
            if on_progress and (self.step % PROGRESS_EVERY == 0 or last):
                told = {"psnr": live.psnr, "loss": live.loss, "splats": len(self.splats)}
                if on_progress(self.step, config.iterations, gaussians=self.gaussians, **told):
                    break
        self.seconds = time.perf_counter() - before

    def gaussians(self) -> Gaussians:
        """The splats as they are now."""
        return Gaussians(**{name: t.detach() for name, t in self.splats.tensors.items()})

    def result(self) -> FitResult:
        """What the caller gets."""
        rates, corrections = self.config.learning_rates, self.corrections.tensors
        cameras = (
            self.cameras
            if not rates.poses
            else corrected_cameras(self.cameras, corrections["poses"].detach())
        )
        exposures = corrections["exposures"].detach() if rates.exposures else None
        return FitResult(
            self.gaussians(), cameras, exposures, self.step, self.seconds, self.curve, self.counts
        )

    def _one_step(self, live: _Live) -> None:
        config, progress = self.config, self.step / self.config.iterations
        self._widen_harmonics(progress)
        index = int(self.order[self.step])
        view = self.pyramid.view(index, divisor_at(progress, config.resolutions))
        rates = splat_rates(
            progress,
            config.learning_rates,
            extent=self.extent,
            sh_coefficients=self.splats.tensors["sh"].shape[1],
        )
        gaussians = Gaussians(**self.splats.leaves(rates))
        view = self._corrected(view, index)
        rendering, color = self._render(gaussians, view, index)
        loss = self._loss(gaussians, rendering, color, view, index, progress)
        seen = (rendering.info["radii"][0] > 0).all(-1)
        self._check_step(loss, seen, index)
        loss.backward()
        if isinstance(config.growth, GradientGrowth):
            size = (view.camera.width, view.camera.height)
            info = rendering.info
            accumulate_pull(self.pull, info["means2d"], info["radii"], size, config.growth.absgrad)
        moved = seen if config.skip_unseen else torch.ones_like(seen)
        self.splats.step(rates, moved & self._matters() if config.skip_faint else moved)
        self._step_corrections(progress, index)
        self._grow(progress)
        if (self.step + 1) % PROGRESS_EVERY == 0:
            live.loss = float(loss.detach())
            if self.held_out is None:
                live.psnr = psnr(color.detach().clamp(0, 1), view.image, view.weights)

    def _matters(self) -> Bool[Tensor, "n"]:
        """Splats whose colour the step's view has something to say about."""
        pull = self.splats.tensors["sh"].grad
        if pull is None:
            return torch.ones(len(self.splats), dtype=torch.bool, device=self.device)
        pull = pull.flatten(1).abs()
        pull = pull @ pull.new_ones(pull.shape[1])
        return pull * pull.count_nonzero() > self.config.skip_faint * pull.sum()

    def _corrected(self, view: View, index: int) -> View:
        """The view from its corrected camera; its correction gets gradients."""
        if not self.config.learning_rates.poses:
            return view
        corrections = self.corrections.leaves(view_rates(0.0, self.config.learning_rates, extent=self.extent))
        return replace(view, camera=corrected_cameras(view.camera, corrections["poses"][index : index + 1]))

    def _render(self, gaussians: Gaussians, view: View, index: int) -> tuple[Rendering, Tensor]:
        config, camera = self.config, view.camera
        corrections = self.corrections.leaves(view_rates(0.0, config.learning_rates, extent=self.extent))
        growing = isinstance(config.growth, GradientGrowth)
        on_surfaces = config.surface is not None and self.step / config.iterations >= config.surface.start
        try:
            rendering = rasterize(
                gaussians, camera, features=surface_features(gaussians, camera) if on_surfaces else None,
                background=self.background, antialiased=config.antialiased, backend=config.backend,
                absgrad=isinstance(config.growth, GradientGrowth) and config.growth.absgrad,
            )  # fmt: skip
        except InputError as error:
            raise FitError(f"step {self.step}: {error}") from error
        if growing and rendering.info["means2d"].requires_grad:
            rendering.info["means2d"].retain_grad()
        color = rendering.color[0]
        return rendering, expose(
            color, corrections["exposures"][index]
        ) if config.learning_rates.exposures else color

    def _loss(
        self,
        gaussians: Gaussians,
        rendering: Rendering,
        color: Tensor,
        view: View,
        index: int,
        progress: float,
    ) -> Tensor:
        losses = self.config.losses
        loss = view_loss(color, view.image, losses, weights=view.weights)
        depth = losses.depth if self.config.surface is None else self.config.surface.depth
        if view.depth is not None and depth:
            loss = loss + depth * depth_loss(rendering.depth[0], rendering.alpha[0], view.depth, self.extent)
        if self.perceptual is not None and losses.perceptual and self.step % losses.perceptual_every == 0:
            loss = loss + losses.perceptual * self.perceptual(color, view.image, index)
        if self.view_weights is not None:
            weights = self.view_weights(progress) if callable(self.view_weights) else self.view_weights
            loss = loss * float(weights[index])
        if losses.opacity or losses.scale:
            loss = loss + restraint(gaussians, losses, self.extent)
        if self.config.surface is not None:
            loss = loss + surface_loss(gaussians, rendering, view.camera, self.config.surface, progress)
        return loss

    def _check_step(self, loss: Tensor, seen: Bool[Tensor, "n"], index: int) -> None:
        if not bool(seen.any()):
            raise FitError(f"step {self.step}: view {index} shows none of the {len(self.splats)} splats")
        if not bool(loss.isfinite()):
            raise FitError(f"step {self.step}: the loss of view {index} is {float(loss.detach())}")

    def _step_corrections(self, progress: float, index: int) -> None:
        rates = view_rates(progress, self.config.learning_rates, extent=self.extent)
        if not rates:
            return
        row = torch.zeros(len(self.corrections), dtype=torch.bool, device=self.device)
        row[index] = True
        self.corrections.step(rates, row)
        if "exposures" in rates:
            centre_exposures(self.corrections.tensors["exposures"].detach())

    def _widen_harmonics(self, progress: float) -> None:
        coefficients = (sh_degree_at(progress, self.config) + 1) ** 2
        if coefficients > self.splats.tensors["sh"].shape[1]:
            self.splats.widen("sh", coefficients)

    def _grow(self, progress: float) -> None:
        growth, generator = self.config.growth, step_generator(self.seed, 1, self.step)
        if isinstance(growth, McmcGrowth):
            rates = self.config.learning_rates
            shake(
                self.splats,
                growth.noise * rates.means * self.extent * rates.final_factor**progress,
                generator,
            )
        if isinstance(growth, GradientGrowth) and growth.reset_opacity_every and progress < growth.stop:
            reset_opacities(self.splats, self.step, growth)
        if not _is_growth_step(self.step, self.config):
            return
        if isinstance(growth, McmcGrowth):
            relocate(self.splats, growth, generator)
            add_splats(self.splats, growth, generator)
        elif isinstance(growth, GradientGrowth):
            part = min(1.0, (progress - growth.start) / (0.9 * (growth.stop - growth.start)))
            budget = round(self.first_count + part * (growth.max_splats - self.first_count))
            grow_by_gradient(
                self.splats, self.pull, growth, budget=budget, extent=self.extent, generator=generator
            )
            self.pull = torch.zeros(len(self.splats), 2, device=self.device)
        self.counts.append((self.step + 1, len(self.splats)))

    def save(self, path: Path) -> None:
        """Write the whole state."""
        tensors = {f"splats.{name}": t for name, t in self.splats.state().items()}
        tensors |= {f"views.{name}": t for name, t in self.corrections.state().items()}
        record = {
            "identity": self._identity(), "step": self.step, "seconds": self.seconds, "curve": self.curve,
            "counts": self.counts, "extent": self.extent, "first_count": self.first_count,
        }  # fmt: skip
        save_checkpoint(path, {**tensors, "pull": self.pull}, record)

    def load(self, path: Path) -> None:
        """Take over the whole state."""
        tensors, record = load_checkpoint(path, device=str(self.device))
        if record["identity"] != self._identity():
            raise InputError(
                f"{path}: belongs to a run with other settings, views or seed; it cannot be resumed"
            )
        self.splats.load(under("splats.", tensors))
        self.corrections.load(under("views.", tensors))
        self.pull = tensors["pull"]
        self.step, self.seconds = record["step"], record["seconds"]
        self.extent, self.first_count = record["extent"], record["first_count"]
        self.curve = [tuple(point) for point in record["curve"]]
        self.counts = [tuple(point) for point in record["counts"]]

    def _identity(self) -> list[Any]:
        return [repr(self.config), self.seed, len(self.cameras), self.cameras.width, self.cameras.height]


def scene_extent(gaussians: Gaussians, cameras: Cameras) -> float:
    """Median distance from splats to the camera that is nearest to each; what step sizes are relative to."""
    means = gaussians.means.detach()[:: max(1, len(gaussians) // 4096)]
    nearest = torch.cdist(means, cameras.positions.detach()).amin(1)
    return max(float(nearest.median()), 1e-6)


def _is_growth_step(step: int, config: FitConfig) -> bool:
    growth = config.growth
    if not isinstance(growth, GradientGrowth | McmcGrowth):
        return False
    progress = step / config.iterations
    return growth.start <= progress < growth.stop and (step + 1) % growth.every == 0


def _check(gaussians: Gaussians, views: Views, view_sampling: Tensor | None) -> None:
    c, h, w = len(views), views.cameras.height, views.cameras.width
    if not len(gaussians):
        raise InputError("there are no splats to fit")
    if tuple(views.images.shape) != (c, h, w, 3):
        raise InputError(
            f"{c} cameras of {w}x{h} pixels do not fit images of shape {list(views.images.shape)}"
        )
    for name, tensor in (("pixel_weights", views.weights), ("depths", views.depths)):
        if tensor is not None and tuple(tensor.shape) != (c, h, w):
            raise InputError(f"{name} must have shape {[c, h, w]}, not {list(tensor.shape)}")
    if views.images.is_floating_point() and not bool(views.images.isfinite().all()):
        raise InputError("an image is not finite")
    if views.weights is not None:
        empty = (views.weights.flatten(1).sum(1) <= 0).nonzero()[:, 0].tolist()
        if empty:
            raise InputError(f"view {empty[0]} is empty: none of its pixels counts")
    if view_sampling is not None and (len(view_sampling) != c or bool((view_sampling < 0).any())):
        raise InputError(f"view_sampling must hold {c} numbers that are not negative")
