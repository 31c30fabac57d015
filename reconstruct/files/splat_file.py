"""What every splat format is read into, and the rules that all readers share.

A splat that no renderer can show (a value that is not finite or beyond 1e18, a rotation of length zero, a scale
beyond 1e17) is dropped with a note; a file of nothing else is refused. Infinite opacities (the logits of
exactly 0 and 1) and log-scales of -inf (flat splats) are meant well by those who write them: they are clamped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..gaussians import Gaussians
from ..motion import Motion

MAX_SPLATS = 100_000_000
"""More than any scene in use; a header that claims more is taken for a fault."""
_SMALL = 100_000
"""So many splats are harmless whatever they were unpacked from."""
_most: ContextVar[int] = ContextVar("most_splats", default=MAX_SPLATS)
CHUNK = 1 << 14
"""Splats handled at a time, so that a conversion needs little more memory than the splats themselves."""
PHOTO_UP = (0.0, -1.0, 0.0)
"""Up in a world whose axes are x right, y down, z forward."""
_LARGEST = 1e18
_LARGEST_LOG_SCALE = 40.0
_FLAT_LOG_SCALE = -30.0
_SHORTEST_QUAT = 1e-9
_OPAQUE_LOGIT = 16.0


@dataclass(frozen=True)
class Traits:
    """What a format says about the world its splats stand in; every codec has one."""

    axes: Literal["untold", "told", "y up"] = "untold"
    """``y up``: the format prescribes x right, y up, z towards the viewer; its codec reads and writes only that."""
    unit: Literal["untold", "told", "required", "metre"] = "untold"
    """``required``: a file that tells none means something other than "not known". ``metre``: always metres."""
    moves: bool = False
    """Whether motion is kept."""


@dataclass(frozen=True)
class SplatFile:
    """What a splat file holds; codecs read it and write it."""

    gaussians: Gaussians
    motion: Motion | None = None
    up: Float[Tensor, "3"] | None = None
    """Unit world up direction, if the format prescribes one or the file tells."""
    metres_per_unit: float | None = None
    """Length of one scene unit, if the format prescribes one or the file tells."""
    notes: tuple[str, ...] = ()
    """What was lost, truncated or converted, one line each."""


@contextmanager
def at_most(splats: int) -> Iterator[None]:
    """Within it, files that claim more splats are refused, before memory is taken for them."""
    token = _most.set(min(splats, MAX_SPLATS))
    try:
        yield
    finally:
        _most.reset(token)


def check_count(path: Path, count: int, available: int, bytes_per_splat: float) -> None:
    """Refuse a claimed number of splats before anything is allocated for them.

    Args:
        path: named in the message.
        count: what the header claims.
        available: bytes of the file that can hold splats.
        bytes_per_splat: the least that one splat needs.
    """
    if count < 1:
        raise InputError(f"{path} holds no splats")
    _check_limit(path, count)
    if count > MAX_SPLATS or count * bytes_per_splat > available:
        raise InputError(f"{path} is damaged or cut short: it claims {count} splats in {available} bytes")


def most_splats(size: int) -> int:
    """How many splats a compressed file of ``size`` bytes may claim.

    At least a byte for each beyond the first 100,000: in real files it is 8 to 50, in bombs a fraction.
    """
    return min(_most.get(), max(_SMALL, size))


def check_packed_count(path: Path, count: int) -> None:
    """The same for a compressed file, whatever it would unpack to."""
    size = path.stat().st_size
    if count < 1:
        raise InputError(f"{path} holds no splats")
    _check_limit(path, count)
    if count > most_splats(size):
        raise InputError(f"{path} is damaged or made to do harm: it claims {count} splats in {size} bytes")


def _check_limit(path: Path, count: int) -> None:
    if _most.get() < min(count, MAX_SPLATS):
        raise InputError(f"{path} holds {count:,} splats; at most {_most.get():,} can be opened here")


def allocate(count: int, sh_degree: int) -> Gaussians:
    """Uninitialised splats to be filled chunk by chunk; check the count first.

    NumPy asks the system for huge pages where torch does not: the first touch of the memory costs a quarter.
    """
    shapes = [(count, 3), (count, 4), (count, 3), (count,), (count, (sh_degree + 1) ** 2, 3)]
    return Gaussians(*(torch.from_numpy(np.empty(shape, np.float32)) for shape in shapes))


def chunks(count: int, size: int = CHUNK) -> Iterator[slice]:
    """Slices that cover ``count`` rows."""
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def logit_from_byte(alpha: Tensor | NDArray[np.uint8]) -> Float[Tensor, "*n"]:
    """Opacity logits of 8-bit opacities; 0 and 255 become a quarter step inside, since the ends are infinite."""
    steps = torch.as_tensor(alpha).float().clamp(0.25, 254.75)
    return torch.log(steps / (255 - steps))


def byte_from_unit(values: Float[Tensor, "*n"]) -> UInt8[Tensor, "*n"]:
    """Values in 0..1, clamped, as the nearest of 256 levels."""
    return (values * 255).round().clamp(0, 255).to(torch.uint8)


def count_beyond(values: Float[Tensor, "n *d"], low: float, high: float) -> int:
    """How many values lie outside a range."""
    parts = (values[part] for part in chunks(len(values)))
    return sum(int(((part < low) | (part > high)).sum()) for part in parts)


def usable(gaussians: Gaussians) -> Bool[Tensor, "n"]:
    """Which splats a renderer can show."""
    mask = torch.ones(len(gaussians), dtype=torch.bool)
    for part in chunks(len(gaussians)):
        chunk = gaussians[part]
        if _all_usable(chunk):
            continue
        good = chunk.opacity_logits.abs() < _LARGEST
        for values in (chunk.means, chunk.quats, chunk.log_scales, chunk.sh):
            good &= (values.abs() < _LARGEST).flatten(1).all(dim=1)
        good &= (chunk.log_scales < _LARGEST_LOG_SCALE).all(dim=1)
        good &= chunk.quats.norm(dim=1) > _SHORTEST_QUAT
        mask[part] = good
    return mask


def _all_usable(gaussians: Gaussians) -> bool:
    """Whether every splat is usable, from extremes alone: fast, and true of almost every file."""
    bounds = dict.fromkeys(gaussians.tensors(), _LARGEST) | {"log_scales": _LARGEST_LOG_SCALE}
    for name, values in gaussians.tensors().items():
        low, high = (float(v) for v in values.aminmax())  # not a number if any value is not
        if not (low > -_LARGEST and high < bounds[name]):
            return False
    return float(gaussians.quats.norm(dim=1).min()) > _SHORTEST_QUAT


def drop_unusable(
    gaussians: Gaussians, motion: Motion | None, name: str
) -> tuple[Gaussians, Motion | None, tuple[str, ...]]:
    """Clamp and drop what cannot be shown (see the module's docstring).

    Args:
        gaussians: as read.
        motion: its motion; a splat is dropped if it is unusable at any key time.
        name: of the file, for messages.

    Returns:
        The splats, the motion and one note for each thing that was done.

    Raises:
        InputError: no splat is left.
    """
    notes = []
    logits, flat = gaussians.opacity_logits, gaussians.log_scales == -torch.inf
    if bool(logits.isinf().any()) or bool(flat.any()):
        logits = torch.where(logits.isinf(), logits.sign() * _OPAQUE_LOGIT, logits)
        log_scales = torch.where(flat, _FLAT_LOG_SCALE, gaussians.log_scales)
        gaussians = replace(gaussians, opacity_logits=logits, log_scales=log_scales)
        notes.append("infinite opacities or scales were clamped")
    mask = usable(gaussians)
    if motion is not None:
        mask &= (motion.means.abs() < _LARGEST).all(dim=-1).all(dim=0)
        mask &= (
            (motion.quats.abs() < _LARGEST).all(dim=-1) & (motion.quats.norm(dim=-1) > _SHORTEST_QUAT)
        ).all(dim=0)
    dropped = int((~mask).sum())
    if dropped == len(mask):
        raise InputError(f"{name} holds no usable splat: all {dropped} are not finite or have no rotation")
    if dropped:
        gaussians = gaussians[mask]
        if motion is not None:
            motion = replace(motion, means=motion.means[:, mask], quats=motion.quats[:, mask])
        notes.append(
            f"{dropped} of {len(mask)} splats were dropped: not finite, too large or without a rotation"
        )
    return gaussians, motion, tuple(notes)
