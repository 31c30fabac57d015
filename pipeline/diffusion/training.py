"""Training the multi-view denoiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ...reconstruct.errors import InputError
from ..training.checkpoints import load_weights
from ..training.ema import Ema
from ..training.loop import LoopConfig, train
from ..training.processes import Processes
from .batches import BatchConfig, ViewBatch, random_batch
from .conditions import Conditions
from .layers import zero_init
from .model import NetworkConfig, ViewModel, build_network, load_view_model, save_view_model
from .objectives import Objective, per_sample, wrap_network
from .prior import Spread, measure_spread, prior_of
from .repa import RepaConfig, RepaHead, alignment_loss
from .schedules import NoiseDistribution
from .shards import Shards
from .transformer import MultiViewTransformer, TransformerConfig
from .unet import SpaceTimeUNet, UNetConfig
from .weightings import Weighting, loss_weights

PresetName = Literal["cpu", "gpu", "cluster"]


@dataclass(frozen=True)
class ViewTrainingConfig:
    """Everything that decides what is learnt."""

    network: NetworkConfig = field(default_factory=TransformerConfig)
    objective: Objective = "v"
    weighting: Weighting = "unit"
    noise: NoiseDistribution = field(default_factory=lambda: NoiseDistribution(1.0, 1.6))
    """Of a single view; shifted with the number of views."""
    batch: BatchConfig = field(default_factory=BatchConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    repa: RepaConfig | None = None
    """Align inner features with DINOv2's; needs samples prepared with features."""
    compile: bool = False
    """Compile the network with TorchInductor (on the CPU this needs a C++ compiler, and minutes for the first step)."""


def preset(name: PresetName) -> ViewTrainingConfig:
    """Sizes for a kind of machine.

    ``cpu``: 14 M parameters, an hour or more on two cores. ``gpu``: 90 M, legs of 10 to 25 minutes on one large GPU.
    ``cluster``: 650 M on several machines; never run by us.
    """
    match name:
        case "cpu":
            return ViewTrainingConfig(
                network=UNetConfig(joint_blocks=6),
                loop=LoopConfig(
                    steps=2_000, learning_rate=1.5e-3, warmup_steps=50, ema_decay=0.998, checkpoint_every=500
                ),
                batch=BatchConfig(
                    scenes=4, min_views=3, max_views=5, photo_share=0.25, drop_given=0.1,
                    drop_memory=0.03, drop_both=0.06, seen_weight=0.15,
                ),
            )  # fmt: skip
        case "gpu":
            return ViewTrainingConfig(
                network=TransformerConfig(width=768, depth=12),
                loop=LoopConfig(steps=40_000, learning_rate=4e-4, warmup_steps=500, ema_decay=0.9995),
                batch=BatchConfig(scenes=64),
                repa=RepaConfig(),
            )
        case "cluster":
            return ViewTrainingConfig(
                network=TransformerConfig(width=1536, depth=22, head_channels=96),
                loop=LoopConfig(steps=300_000, learning_rate=2e-4, warmup_steps=2000, ema_decay=0.9999),
                batch=BatchConfig(scenes=16),
                repa=RepaConfig(),
            )
    raise ValueError(f"unknown preset {name!r}")


class TrainedNetwork(nn.Module):
    """The denoiser and, for REPA, its head, with one forward pass for both (as data parallelism wants it)."""

    def __init__(
        self,
        network: MultiViewTransformer | SpaceTimeUNet,
        config: ViewTrainingConfig,
        spread: Spread | None = None,
    ) -> None:
        super().__init__()
        self.network, self.spread = network, spread
        self.objective: Objective = config.objective
        self.repa = config.repa
        self.head = RepaHead(network.feature_channels, config.repa) if config.repa else None

    def forward(self, x: Tensor, sigma: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor | None]:
        """x0 and the features to be aligned."""
        inner: list[Tensor | None] = [None]

        def network(scaled: Tensor, level: Tensor) -> Tensor:
            after = self.repa.after_block if self.repa else None
            out = self.network(scaled, level, conditions, features_after=after)
            inner[0] = out.features
            return out.prediction

        x0 = wrap_network(network, self.objective, prior_of(conditions, self.spread))(x, sigma)
        features = inner[0]
        return x0, self.head(features) if self.head is not None and features is not None else None


def view_loss(
    network: nn.Module,
    batch: ViewBatch,
    config: ViewTrainingConfig,
    generator: torch.Generator,
    *,
    spread: Spread | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted squared error of x0 at random noise levels, and scalars to log.

    Args:
        network: a ``TrainedNetwork``, possibly wrapped for data parallelism.
        batch: on the network's device.
        config: objective, weighting and noise.
        generator: of noise and noise levels, on the CPU.
        spread: of the network's prior.
    """
    device, views = batch.latents.device, batch.latents.shape[1]
    law = config.noise.shifted(views)
    sigma = law.sample(len(batch.latents), generator=generator).to(device)
    noise = torch.randn(batch.latents.shape, generator=generator).to(device)
    x = batch.latents + per_sample(sigma, batch.latents) * noise
    x0, features = network(x, sigma, batch.conditions)
    error = (x0.float() - batch.latents).square()
    weights = loss_weights(
        config.weighting, per_sample(sigma, error), objective=config.objective, distribution=law,
        spread=prior_of(batch.conditions, spread).spread,
    )  # fmt: skip
    loss = (weights * batch.weights * error).mean()
    scalars = {"denoising": loss, "x0_error": (batch.weights * error).mean()}
    if features is not None and batch.features is not None and config.repa:
        scalars["alignment"] = alignment_loss(features, batch.features)
        loss = loss + config.repa.weight * scalars["alignment"]
    return loss, scalars


def begin_with(network: MultiViewTransformer | SpaceTimeUNet, weights: Path) -> None:
    """Take the weights of a model of the same shape; its last layer is set to zero, so that the prior speaks at first.

    Raises:
        InputError: the file holds another network.
    """
    _take(network, load_weights(weights)[1], weights)
    zero_init(network.final)


def go_on_from(network: MultiViewTransformer | SpaceTimeUNet, weights: Path, objective: Objective) -> Spread:
    """Take all the weights of a model of the same shape and objective; returns the spread of its prior.

    Raises:
        InputError: the file holds another network or one with another objective.
    """
    model = load_view_model(weights)
    if model.objective != objective:
        raise InputError(f"{weights} was trained with the objective {model.objective}, not {objective}")
    _take(network, model.network.state_dict(), weights)
    return model.spread


def _take(
    network: MultiViewTransformer | SpaceTimeUNet, tensors: Mapping[str, Tensor], weights: Path
) -> None:
    """Load weights; a joint transformer may be new, since it changes nothing before it is trained."""
    try:
        missing, unknown = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise InputError(f"{weights} holds another network: {str(error).splitlines()[0]}") from error
    other = [*unknown, *(name for name in missing if not name.startswith("joint."))]
    if other:
        raise InputError(f"{weights} holds another network: {other[0]} is in only one of them")


def train_views(
    data: Path,
    out: Path,
    config: ViewTrainingConfig,
    processes: Processes,
    *,
    start: Path | None = None,
    initial: Path | None = None,
    on_progress: Callable[..., None] | None = None,
    on_checkpoint: Callable[[int, ViewModel], None] | None = None,
) -> Ema:
    """Train, or go on training, a denoiser on prepared samples; leaves ``views.safetensors`` in ``out``.

    Args:
        data: folder of shards, see ``shards.py``.
        out: folder of the checkpoint, the log and the weights.
        config: everything else.
        processes: from ``join_processes``.
        start: weights of a model with the same network to begin with, the last layer aside.
        initial: a model of the same network and objective to go on from, with its last layer and its prior.
        on_progress: called as (done, total, loss=…).
        on_checkpoint: called as (step, averaged model) after every checkpoint, to judge it and to draw samples.
    """
    shards = Shards(data)
    if config.repa and not shards.has_features:
        raise InputError(f"{data}: its samples have no features to align with; prepare them with --features")
    network = build_network(config.network)
    if initial is not None:
        spread = go_on_from(network, initial, config.objective)
    else:
        spread = measure_spread(shards)
        if start is not None:
            begin_with(network, start)
    model = TrainedNetwork(network, config, spread)
    if config.compile:
        network.compile(dynamic=False)

    def batch_at(generator: torch.Generator) -> ViewBatch:
        return random_batch(shards, config.batch, generator).to(processes.device)

    def loss_fn(
        network: nn.Module, batch: ViewBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return view_loss(network, batch, config, generator, spread=spread)

    def keep(step: int, averaged: nn.Module) -> None:
        assert isinstance(averaged, TrainedNetwork)
        save_view_model(out / "views.safetensors", averaged.network, config.objective, spread)
        if on_checkpoint:
            on_checkpoint(step, ViewModel(averaged.network, config.objective, spread))

    return train(
        model, batch_at, loss_fn, config.loop, out=out, processes=processes, on_progress=on_progress,
        on_checkpoint=keep,
    )  # fmt: skip
