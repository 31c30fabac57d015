"""The rest of a sky of which some was found: clouds look solid to a head that has seen few.

Two linear answers from each of DINOv2's tokens tell: whether it is more like this very photo's sky than like its
ground, fitted to the photo itself, and whether it looks like sky at all, fitted to many photos. Either alone takes
trees in the background for sky, or leaves clouds out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.errors import InputError
from ...reconstruct.files.atomic import atomic_write
from ...reconstruct.windows import window_max
from ..training.checkpoints import load_weights

SURE = 0.5
"""Logit from which on a token that was found to be sky is taken for an example of it."""
NEAREST = math.log(4.0)
"""Canonical log-depth of the nearest of them."""
LOW, FEWEST = 0.6, (0.03, 0.05)
"""Below this share of the picture, and where it is nearer than half of what is solid, there is ground for sure; shares
of the picture that sky and ground must have, for what is said of the rest to mean something."""
MORE, LOOKS = 0.75, 0.12
"""Of the two answers, -1 (no sky) to 1, from where on a token is sky."""
RIDGE, RIDGE_OF_MANY = 0.02, 0.01
SAID = 1.0
"""Logit beyond which the head's answers to many photos are learnt from."""


@dataclass(frozen=True)
class SkyProbe:
    """Whether a token of DINOv2's last layer looks like sky: about 1 if it does, about -1 if not."""

    weight: Float[Tensor, "c"]
    bias: Float[Tensor, ""]

    def __call__(self, tokens: Float[Tensor, "*n c"]) -> Float[Tensor, "*n"]:
        """The answers."""
        return tokens @ self.weight + self.bias


def rest_of_sky(
    tokens: Float[Tensor, "h w c"],
    far_logit: Float[Tensor, "h w"],
    log_depth: Float[Tensor, "h w"],
    probe: SkyProbe,
) -> Float[Tensor, "h w"]:
    """How sure it is that tokens are sky that was not found: above 0 if so, -1 to 1.

    Args:
        tokens: of DINOv2's last layer.
        far_logit: what was found, above 0 sky.
        log_depth: canonical.
        probe: what looks like sky.
    """
    nothing = torch.full_like(far_logit, -1.0)
    sky, rest = (far_logit > SURE) & (log_depth > NEAREST), far_logit < 0
    if not rest.any():
        return nothing
    low = torch.arange(len(rest), device=rest.device)[:, None] > LOW * len(rest)
    ground = rest & (low | (log_depth < log_depth[rest].median()))
    if any(float(some.float().mean()) < share for some, share in zip((sky, ground), FEWEST, strict=True)):
        return nothing
    centred = F.normalize(tokens - tokens.mean((0, 1)), dim=-1)
    own = _fit(centred[sky], centred[ground], RIDGE)
    sure = torch.minimum(own(centred) - MORE, probe(tokens) - LOOKS)
    return torch.where(_beside(sure > 0, sky), (4 * sure).clamp(-1, 1), nothing)


def fit_sky_probe(tokens: Float[Tensor, "n c"], far_logit: Float[Tensor, "n"]) -> SkyProbe:
    """The probe of many photos' tokens, from what a head says of them where it is sure.

    Raises:
        InputError: it is sure of too few.
    """
    sky, ground = tokens[far_logit > SAID], tokens[far_logit < -SAID]
    if not len(sky) or not len(ground):
        raise InputError("a probe of the sky needs photos with sky and others")
    mean, scale = tokens.mean(0), tokens.std(0).clamp_min(1e-6)
    white = _fit((sky - mean) / scale, (ground - mean) / scale, RIDGE_OF_MANY)
    return SkyProbe(white.weight / scale, white.bias - (mean / scale) @ white.weight)


def load_sky_probe(path: Path, device: torch.device | str = "cpu") -> SkyProbe:
    """What ``save_sky_probe`` wrote.

    Raises:
        InputError: the file is missing or holds something else.
    """
    _, tensors = load_weights(path)
    if tensors.keys() != {"weight", "bias"} or tensors["weight"].ndim != 1 or tensors["bias"].ndim:
        raise InputError(f"{path} holds no probe of the sky")
    return SkyProbe(tensors["weight"].float().to(device), tensors["bias"].float().to(device))


def save_sky_probe(path: Path, probe: SkyProbe) -> None:
    """Write what ``load_sky_probe`` reads (float32)."""
    with atomic_write(path) as temporary:
        tensors = {"weight": probe.weight.cpu().contiguous(), "bias": probe.bias.cpu()}
        save_file(tensors, temporary, {"config": "{}"})


def _fit(yes: Float[Tensor, "a c"], no: Float[Tensor, "b c"], ridge: float) -> SkyProbe:
    """Ridge regression on 1 and -1, both sides of the same weight."""
    inputs = F.pad(torch.cat([yes, no]).double(), (0, 1), value=1.0)
    wanted = torch.cat([inputs.new_ones(len(yes)), -inputs.new_ones(len(no))])
    weights = torch.cat(
        [inputs.new_full((len(yes),), 1 / len(yes)), inputs.new_full((len(no),), 1 / len(no))]
    )
    weighted = (inputs * weights[:, None]).T
    unit = torch.eye(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
    solved = torch.linalg.solve(weighted @ inputs + ridge * unit, weighted @ wanted).to(yes)
    return SkyProbe(solved[:-1], solved[-1])


def _beside(more: Bool[Tensor, "h w"], sky: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """What hangs together with the sky."""
    together = sky
    for _ in range(sum(sky.shape)):  # a path that winds more is none
        grown = (window_max(together.float(), 1) > 0) & (more | sky)
        if torch.equal(grown, together):
            break
        together = grown
    return together
