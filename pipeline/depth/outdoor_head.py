"""Photos of the open are read by a head that has some parts of its own, learnt from open ground alone.

Rooms and open ground ask for different answers to the same features: a white patch above is a ceiling or the sky,
and far means four metres or a hundred. A head this small loses in one what it gains in the other. Its parts for the
open are swapped in by degrees, as far as a probe is sure that the photo shows no room: logistic regression on the mean
of the features, between rooms and open ground of the synthetic world.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.errors import InputError
from ...reconstruct.files.atomic import atomic_write
from ..training.checkpoints import load_weights
from .head import DepthHead

UNSURE, SURE = 0.45, 0.65
"""Below the first chance of being in the open a photo is read like a room, above the second like open ground alone."""
RIDGE = 1e-2
"""Of the probe's weights: features of photos lie beyond those of renderings, and large weights would run away."""
PROBE = ("probe.weight", "probe.bias")


@dataclass(frozen=True)
class OutdoorHead:
    """A head for the open, and the probe that tells when it is asked."""

    head: DepthHead
    probe_weight: Float[Tensor, "c"]
    """Of the mean of the whitened features of all layers."""
    probe_bias: Float[Tensor, ""]

    def share(self, features: list[Float[Tensor, "1 hp wp c"]]) -> float:
        """How much this head counts for a photo, from its features; the other counts the rest."""
        pooled = self.head.pooled(features)[0].float()
        chance = torch.sigmoid(pooled @ self.probe_weight + self.probe_bias)
        return float(((chance - UNSURE) / (SURE - UNSURE)).clamp(0, 1))


def load_outdoor_head(path: Path, rooms: DepthHead) -> OutdoorHead:
    """The head for the open: that for rooms with the parts that the file holds.

    Raises:
        InputError: the file is missing, holds something else, or parts of another head.
    """
    config, tensors = load_weights(path)
    device = next(rooms.parameters()).device
    weight, bias = (tensors.pop(name, None) for name in PROBE)
    known = {name: parameter.shape for name, parameter in rooms.named_parameters()}
    fits = tensors and all(known.get(name) == value.shape for name, value in tensors.items())
    if not fits or weight is None or bias is None or weight.shape != rooms.scale_probe.weight[0].shape:
        raise InputError(f"{path} holds no parts of a depth head for the open")
    if config.get("rooms") != digest(rooms):
        raise InputError(f"{path} holds parts of another depth head than the one for rooms")
    head = DepthHead(rooms.config).to(device)
    head.load_state_dict({**rooms.state_dict(), **tensors})
    return OutdoorHead(head.eval(), weight.to(device), bias.to(device))


def save_outdoor_head(
    path: Path, parts: Mapping[str, Tensor], probe: tuple[Tensor, Tensor], rooms: DepthHead
) -> None:
    """Write what ``load_outdoor_head`` reads (float16).

    Args:
        path: of the file.
        parts: by the names that they have in the head.
        probe: weight and bias.
        rooms: the head that they belong to.
    """
    tensors = {**parts, **dict(zip(PROBE, probe, strict=True))}
    config = json.dumps({"rooms": digest(rooms)})
    with atomic_write(path) as temporary:
        save_file({n: t.half().contiguous() for n, t in tensors.items()}, temporary, {"config": config})


def digest(head: DepthHead) -> str:
    """What tells a head from all others: a hash of its weights in float16."""
    total = hashlib.sha256()
    for name, value in sorted(head.state_dict().items()):
        total.update(name.encode() + value.half().cpu().numpy().tobytes())
    return total.hexdigest()[:16]


def fit_probe(
    rooms: Sequence[Float[Tensor, "c"]], outdoors: Sequence[Float[Tensor, "c"]]
) -> tuple[Float[Tensor, "c"], Float[Tensor, ""]]:
    """Weight and bias of a logistic regression on pooled features, by Newton-like steps to its end."""
    inputs = torch.stack([*rooms, *outdoors]).double()
    is_open = torch.tensor([0.0] * len(rooms) + [1.0] * len(outdoors), dtype=torch.double)
    weight = torch.zeros(inputs.shape[1], dtype=torch.double, requires_grad=True)
    bias = torch.zeros((), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(inputs @ weight + bias, is_open)
        loss = loss + RIDGE * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType]
    return weight.detach().float(), bias.detach().float()
