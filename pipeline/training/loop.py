"""The training loop: any network, any loss; the same curve whether or not it was killed on the way.

Every random number of a step comes from a generator seeded with (seed, step, micro-batch, rank), so nothing
but the step number has to be remembered for the data and the noise.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ...reconstruct.errors import InputError
from .checkpoints import load_checkpoint, save_checkpoint
from .ema import Ema
from .processes import Processes, autocast, bf16_helps

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class LoopConfig:
    """How to optimise; what is optimised is the caller's."""

    steps: int = 10_000
    """Optimiser steps in all, those of earlier legs included."""
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    decay_fraction: float = 0.3
    """The last part of the run over which the learning rate falls linearly to zero."""
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    accumulate: int = 1
    """Micro-batches per optimiser step."""
    ema_decay: float = 0.999
    bf16: bool | None = None
    """Autocast to bf16; None decides by the device."""
    seed: int = 0
    checkpoint_every: int = 500
    log_every: int = 20
    stop_after: int | None = None
    """End this leg after so many steps without changing the schedule."""
    minutes: float | None = None
    """End this leg after so many minutes without changing the schedule."""

    def __post_init__(self) -> None:
        for name in ("steps", "learning_rate", "accumulate", "checkpoint_every"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be more than 0, not {getattr(self, name)}")


def learning_rate_factor(step: int, config: LoopConfig) -> float:
    """Warm-up, constant, linear decay to zero (the trapezoid of Hägele et al. 2024), in [0, 1]."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay_steps = max(1, round(config.decay_fraction * config.steps))
    decay = min(1.0, (config.steps - step) / decay_steps) if config.decay_fraction > 0 else 1.0
    return warmup * decay


def step_generator(seed: int, *key: int) -> torch.Generator:
    """A CPU generator that depends on the seed and the key only."""
    state = np.random.SeedSequence([seed, *key]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


def train(
    model: nn.Module,
    batch_at: Callable[[torch.Generator], Batch],
    loss_fn: Callable[[nn.Module, Batch, torch.Generator], tuple[Tensor, Mapping[str, Tensor]]],
    config: LoopConfig,
    *,
    out: Path,
    processes: Processes,
    on_progress: Callable[..., None] | None = None,
    on_checkpoint: Callable[[int, nn.Module], None] | None = None,
) -> Ema:
    """Train, or go on training, ``model`` with AdamW; everything it leaves is in ``out``.

    Args:
        model: on the CPU or already on the device; trained in place.
        batch_at: makes a micro-batch from a generator.
        loss_fn: (network, batch, generator) -> scalar loss and further scalars to log.
        config: the optimisation.
        out: folder of the checkpoint and the log; a checkpoint found there is resumed.
        processes: from ``join_processes``.
        on_progress: called as (done, total, loss=…).
        on_checkpoint: called as (step, averaged network) in the main process after every checkpoint.

    Returns:
        The averaged weights.
    """
    network = processes.wrap(model)
    ema = Ema(model, decay=config.ema_decay)
    optimizer = _adamw(model, config)
    done = _resume(out, model, ema, optimizer)
    last = config.steps if config.stop_after is None else min(config.steps, done + config.stop_after)
    bf16 = bf16_helps(processes.device) if config.bf16 is None else config.bf16
    started, network = time.perf_counter(), network.train()
    for step in range(done, last):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * learning_rate_factor(step, config)
        scalars = _gradients(network, batch_at, loss_fn, config, step, processes, bf16)
        scalars["grad_norm"] = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update(model)
        if not math.isfinite(scalars["loss"].item()):
            raise FloatingPointError(f"the loss is {scalars['loss'].item()} at step {step}")
        finished = step + 1 == last or _time_is_up(started, config, processes)
        if (step + 1) % config.log_every == 0 or finished:
            _log(out, step + 1, scalars, time.perf_counter() - started, processes)
            if on_progress:
                on_progress(step + 1, config.steps, loss=scalars["loss"].item())
        if ((step + 1) % config.checkpoint_every == 0 or finished) and processes.is_main:
            save_checkpoint(out / CHECKPOINT, step=step + 1, model=model, ema=ema, optimizer=optimizer)
            if on_checkpoint:
                on_checkpoint(step + 1, ema.model)
        if finished:
            break
    return ema


def _time_is_up(started: float, config: LoopConfig, processes: Processes) -> bool:
    """Whether this leg has lasted as long as it may, for any of the processes."""
    if config.minutes is None:
        return False
    over = torch.tensor(float(time.perf_counter() - started > 60 * config.minutes), device=processes.device)
    return processes.mean(over).item() > 0


def _gradients(
    network: nn.Module,
    batch_at: Callable[[torch.Generator], Batch],
    loss_fn: Callable[[nn.Module, Batch, torch.Generator], tuple[Tensor, Mapping[str, Tensor]]],
    config: LoopConfig,
    step: int,
    processes: Processes,
    bf16: bool,
) -> dict[str, Tensor]:
    """Accumulate the gradients of one step; returns the mean loss and scalars."""
    totals: dict[str, Tensor] = {}
    for micro in range(config.accumulate):
        generator = step_generator(config.seed, step, micro, processes.rank)
        batch = batch_at(generator)
        waiting = processes.count > 1 and micro + 1 < config.accumulate
        with network.no_sync() if waiting else nullcontext():  # type: ignore[operator]  # DistributedDataParallel
            with autocast(processes.device, bf16=bf16):
                loss, scalars = loss_fn(network, batch, generator)
            (loss / config.accumulate).backward()
        for name, value in {"loss": loss, **scalars}.items():
            totals[name] = totals.get(name, 0) + value.detach() / config.accumulate
    return {name: processes.mean(value) for name, value in totals.items()}


def _adamw(model: nn.Module, config: LoopConfig) -> torch.optim.AdamW:
    """Weight decay on matrices and kernels only."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99))


def _resume(out: Path, model: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer) -> int:
    """Restore a checkpoint in ``out`` and cut the log back to it; returns the steps done."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / CHECKPOINT).exists():
        return 0
    done = load_checkpoint(out / CHECKPOINT, model=model, ema=ema, optimizer=optimizer)
    log.info("going on from step %d", done)
    metrics = out / METRICS
    if metrics.exists():
        lines = [line for line in metrics.read_text().splitlines() if json.loads(line)["step"] <= done]
        metrics.write_text("".join(line + "\n" for line in lines))
    return done


def _log(out: Path, step: int, scalars: dict[str, Tensor], seconds: float, processes: Processes) -> None:
    if not processes.is_main:
        return
    row = {"step": step, **{n: round(v.item(), 6) for n, v in scalars.items()}, "seconds": round(seconds, 1)}
    with (out / METRICS).open("a") as file:
        file.write(json.dumps(row) + "\n")
