"""The device is decided once, at the command line."""

from __future__ import annotations

import torch

from ..reconstruct.errors import InputError


def pick_device(wanted: str) -> str:
    """``cpu`` or ``cuda`` from ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: CUDA was asked for and is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device here; see 'cosmorama doctor'")
    return wanted
