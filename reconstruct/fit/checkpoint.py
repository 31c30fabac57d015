"""The whole state of a fit in one safetensors file: splats, moments, clocks, corrections, curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from ..files.atomic import atomic_write
from ..gaussians import Gaussians


def save_checkpoint(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write tensors and a JSON record; the file appears whole or not at all."""
    with atomic_write(path) as temporary:
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(whole, temporary, {"fit": json.dumps(record)})


def load_checkpoint(path: Path, *, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``save_checkpoint`` wrote.

    Raises:
        InputError: there is no such file or it is not a checkpoint of a fit.
    """
    try:
        with safe_open(path, framework="pt", device=device) as file:
            record = json.loads(file.metadata()["fit"])
            return {name: file.get_tensor(name) for name in file.keys()}, record  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a checkpoint of a fit ({error})") from None


def splats_in_checkpoint(path: Path) -> Gaussians:
    """The splats as they were when the checkpoint was written."""
    tensors, _ = load_checkpoint(path)
    return Gaussians(**under("splats.value.", tensors))


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
