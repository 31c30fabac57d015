"""Training the depth head, on cached features (CPU) or with the backbone in the loop (GPU)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ...reconstruct.errors import InputError
from ...reconstruct.files.atomic import atomic_write
from ..dinov2 import dinov2_features
from ..training.checkpoints import save_weights
from ..training.curve import add_to_curve
from ..training.loop import CHECKPOINT, LoopConfig, train
from ..training.processes import Processes
from .augment import Sample, make_sample
from .features import GRIDS, Batch, FeatureCache, Frames, grid_for, photo_for_head
from .head import DepthHead, HeadConfig
from .initialise import initialise_head
from .losses import LossWeights, depth_loss

CONFIG, WEIGHTS = "config.json", "head.safetensors"
TRUTH = ("log_depth", "valid", "far", "instances")


@dataclass(frozen=True)
class DepthTraining:
    """Everything a run depends on besides its data."""

    head: HeadConfig = field(default_factory=HeadConfig)
    loss: LossWeights = field(default_factory=LossWeights)
    loop: LoopConfig = field(default_factory=LoopConfig)
    batch_size: int = 16
    validation_batches: int = 32
    """At most; the same ones every time."""


def train_depth_head(
    batch_at: Callable[[torch.Generator], Batch],
    validation: list[Callable[[], Batch]],
    config: DepthTraining,
    *,
    out: Path,
    processes: Processes,
    probe_batches: Sequence[Callable[[], Batch]] = (),
    initial: dict[str, Tensor] | None = None,
    only: Sequence[str] = (),
    on_progress: Callable[..., None] | None = None,
) -> DepthHead:
    """Train, or go on training, a head; leaves config.json, curve.jsonl, checkpoint and head.safetensors in ``out``.

    Args:
        batch_at: draws a training batch, on the CPU or the device.
        validation: batches for the curve.
        config: the run.
        out: folder; a run found there is resumed.
        processes: from ``join_processes``.
        probe_batches: what ``initialise_head`` takes, for a run that starts from nothing; without them the whitening
            is the identity.
        initial: weights to start from, when the run is new.
        only: beginnings of names of the parameters that are trained, and alone kept in head.safetensors; all if empty.
        on_progress: called as (step, steps, loss=...).

    Returns:
        The head with averaged weights.
    """
    torch.manual_seed(config.loop.seed)
    head = DepthHead(config.head).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fresh = not (out / CHECKPOINT).exists()
    if initial is not None:
        go_on_from(head, initial)
    elif fresh and probe_batches:
        initialise_head(head, probe_batches)
    kept = None
    if only:
        freeze_all_but(head, only)
        kept = {name for name, parameter in head.named_parameters() if parameter.requires_grad}
    out.mkdir(parents=True, exist_ok=True)
    if processes.is_main:
        with atomic_write(out / CONFIG) as temporary:
            temporary.write_text(json.dumps(asdict(config), indent=1))

    def loss_fn(
        model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        batch = batch_to(batch, processes.device)
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))  # of the feature dropout
        return depth_loss(
            model(batch.features, batch.photo),
            batch.log_depth,
            batch.valid,
            batch.far,
            config.loss,
            instances=batch.instances,
        )

    def keep(step: int, averaged: nn.Module) -> None:
        assert isinstance(averaged, DepthHead)
        save_weights(out / WEIGHTS, averaged, config={"head": asdict(config.head), "step": step}, only=kept)
        scores = validate(averaged, validation[: config.validation_batches], processes.device)
        add_to_curve(out, step, scores)

    ema = train(
        head, batch_at, loss_fn, config.loop, out=out, processes=processes,
        on_progress=on_progress, on_checkpoint=keep,
    )  # fmt: skip
    assert isinstance(ema.model, DepthHead)
    return ema.model


def go_on_from(head: DepthHead, weights: dict[str, Tensor]) -> None:
    """Take the weights of a trained head; residual blocks that it lacks stay the identity that they begin as.

    Raises:
        InputError: they are of another shape.
    """
    try:
        missing, unknown = head.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InputError(f"the weights are of another head: {str(error).splitlines()[-1].strip()}") from error
    wrong = [*unknown, *(name for name in missing if not name.startswith("coarse."))]
    if wrong:
        raise InputError(f"the weights are of another head: {wrong[0]} is only in one of them")


def freeze_all_but(head: DepthHead, only: Sequence[str]) -> None:
    """Leave to training the parameters whose names begin like one of these.

    Raises:
        InputError: one of them begins no name, or all that they begin is never trained.
    """
    for beginning in only:
        if not any(name.startswith(beginning) for name, _ in head.named_parameters()):
            raise InputError(f"no part of the head is called {beginning}")
    for name, parameter in head.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name.startswith(tuple(only)))
    if not any(parameter.requires_grad for parameter in head.parameters()):
        raise InputError(f"nothing of {' '.join(only)} can be trained")


@torch.inference_mode()
def validate(head: DepthHead, batches: list[Callable[[], Batch]], device: torch.device) -> dict[str, float]:
    """AbsRel and delta1 with and without median scaling, share of right sky pixels; means over frames."""
    rows = []
    for read in batches:
        batch = batch_to(read(), device)
        output = head(batch.features, batch.photo)
        for i in range(len(batch.photo)):
            valid = batch.valid[i]
            if int(valid.sum()) < 100:
                continue
            error = (output.log_depth[i] - batch.log_depth[i])[valid]
            known = valid | batch.far[i]
            far_right = ((output.far_logit[i] > 0) == batch.far[i])[known].float().mean()
            rows.append([*_errors(error), *_errors(error - error.median()), far_right])
    means = torch.tensor(rows).mean(0).tolist()
    names = ("metric_absrel", "metric_delta1", "median_absrel", "median_delta1", "far_accuracy")
    return {name: round(value, 4) for name, value in zip(names, means, strict=True)}


def live_batches(
    frames: Frames,
    *,
    batch_size: int,
    layers: tuple[int, ...],
    device: torch.device,
    augment: bool = True,
    threads: int = 1,
) -> Callable[[torch.Generator], Batch]:
    """Batches with fresh crops, degradations and features each time: what a GPU can afford.

    Reading and degrading a photo takes 20 to 50 ms of one core, so ``threads`` work on a batch at once.
    """
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def batch_at(generator: torch.Generator) -> Batch:
        grid = GRIDS[int(torch.randint(len(GRIDS), (), generator=generator))]
        picks = torch.randint(len(frames), (batch_size,), generator=generator).tolist()
        seeds = torch.randint(2**31, (batch_size,), generator=generator).tolist()
        grid = grid_for(frames[picks[0]], grid)  # all share the first one's, or they could not share a batch

        def sample(index: int, seed: int) -> Sample:
            return make_sample(frames[index], grid, torch.Generator().manual_seed(seed), augment=augment)

        samples = list(pool.map(sample, picks, seeds))
        photo = torch.stack([s.photo for s in samples]).to(device)
        with torch.no_grad():
            features = dinov2_features(photo, layers=layers)
        truth = (torch.stack([getattr(s, name) for s in samples]) for name in TRUTH)
        return batch_to(Batch(features, photo_for_head(photo), *truth), device)

    return batch_at


def cached_batches(cache: FeatureCache, batch_size: int) -> Callable[[torch.Generator], Batch]:
    """Batches from features on disk."""
    return lambda generator: cache.sample(batch_size, generator)


def batch_to(batch: Batch, device: torch.device) -> Batch:
    """The same batch on a device."""
    features = [f.to(device) for f in batch.features]
    rest = (getattr(batch, name).to(device) for name in ("photo", *TRUTH))
    return Batch(features, *rest)


def _errors(log_error: Tensor) -> list[Tensor]:
    return [log_error.expm1().abs().mean(), (log_error.abs() < 0.22314355).float().mean()]


PRESETS = {
    "cpu": DepthTraining(
        loop=LoopConfig(steps=6_000, learning_rate=1e-3, checkpoint_every=250, ema_decay=0.995),
        batch_size=8,
    ),
    "gpu": DepthTraining(
        loop=LoopConfig(steps=40_000, learning_rate=1e-3, checkpoint_every=1000, ema_decay=0.9995),
        batch_size=64,
    ),
}
