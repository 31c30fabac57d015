"""A training run in one safetensors file: weights, their average, the optimiser, the step."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...reconstruct.errors import InputError
from ...reconstruct.files.atomic import atomic_write
from .ema import Ema


def save_checkpoint(
    path: Path, *, step: int, model: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer
) -> None:
    """Write everything that a run needs to go on as if it had never stopped, atomically."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    metadata = {"step": str(step), "ema_updates": str(ema.updates)}
    with atomic_write(path) as temporary:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary, metadata
        )


def load_checkpoint(path: Path, *, model: nn.Module, ema: Ema, optimizer: torch.optim.Optimizer) -> int:
    """Restore what ``save_checkpoint`` wrote; returns the number of steps already taken.

    Raises:
        InputError: the file belongs to another network.
    """
    tensors, metadata = load_file(path), read_metadata(path)
    try:
        model.load_state_dict(_under("model.", tensors))
        ema.model.load_state_dict(_under("ema.", tensors))
    except RuntimeError as error:
        raise InputError(
            f"{path} is a checkpoint of another network: {str(error).splitlines()[-1].strip()}"
        ) from error
    ema.updates = int(metadata["ema_updates"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        index, field = name.split(".", 1)
        state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(metadata["step"])


def save_weights(
    path: Path,
    model: nn.Module,
    *,
    config: dict[str, Any],
    half: bool = True,
    only: Container[str] | None = None,
) -> None:
    """Weights for use, not for going on: all, or those of the names ``only``; the configuration is in the header."""
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: value.detach().cpu().to(dtype if value.is_floating_point() else value.dtype).contiguous()
        for name, value in model.state_dict().items()
        if only is None or name in only
    }
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, {"config": json.dumps(config)})


def load_weights(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the float32 weights that ``save_weights`` wrote.

    Raises:
        InputError: there is no such file or it is not one of ours.
    """
    try:
        config = json.loads(read_metadata(path)["config"])
        tensors = load_file(path)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise InputError(f"{path} holds no weights of this project: {error}") from error
    return config, {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """The header's string table of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
