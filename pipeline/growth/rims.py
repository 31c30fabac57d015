"""Pixels at silhouettes show some of what is in front and some of what is behind: which is which, and how much of each.

They lie with what is in front. Opaque, they would go with it as an outline in the colours of what was behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.windows import window_max
from .hiding import STEP

RIM_PX = 3
"""Width of the strip in front of a step in depth whose pixels are mixed."""
ASIDE_PX = 6
"""What is behind, and so near a silhouette, says nothing of what is in front."""
TOLD_APART = 0.1
"""Distance of two colours, of 0..1 each, from which on a mixture of them is one."""
OFF_LINE = 0.1
"""Of colours that are no mixture: halos of sharpening, which are brighter than both sides."""
NOTHING, GUESS = 0.1, 0.03
"""Where so little of what is in front is seen, what is behind may be moved from its guess by so much. The rest goes
with what is in front: halos of sharpening, left behind, would draw its outline there."""
LEAST = 0.03
"""Of what is in front: something must be seen of it."""


@dataclass(frozen=True)
class Unmixed:
    """A picture in two layers: alpha * front + (1 - alpha) * back is the picture."""

    alpha: Float[Tensor, "h w"]
    front: Float[Tensor, "h w 3"]
    back: Float[Tensor, "h w 3"]


def unmix(
    image: Float[Tensor, "h w 3"],
    depth: Float[Tensor, "h w"],
    rim: Bool[Tensor, "h w"],
    back: Float[Tensor, "h w 3"],
) -> Unmixed:
    """The two layers of a picture, one and the same but for the rim of what is in front.

    Args:
        image: the picture.
        depth: of what is in front.
        rim: pixels in front that may be mixed, see ``RIM_PX``.
        back: colours of what is behind, as they may be.
    """
    opaque = Unmixed(torch.ones_like(depth), image, back)
    if not rim.any():
        return opaque
    beside = window_max(torch.where(rim, 1 / depth, 0.0), ASIDE_PX)
    inner = ~rim & ~((beside > 0) & (STEP / depth < beside))
    if not inner.any():
        return opaque
    smooth = _mean_of(image, inner)
    _, nearest = distance_transform_edt(~inner.numpy(), return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    front = smooth[nearest[0], nearest[1]]
    apart = front - back
    length = apart.square().sum(-1)
    alpha = (((image - back) * apart).sum(-1) / length.clamp_min(1e-6)).clamp(LEAST, 1)
    rest = (image - back - alpha[..., None] * apart).square().sum(-1)
    mixed = rim & (length > TOLD_APART**2) & (rest < OFF_LINE**2)
    only_back = (mixed & (alpha < NOTHING))[..., None]
    back = torch.where(only_back, back + (image - back).clamp(-GUESS, GUESS), back)
    alpha = torch.where(mixed, torch.maximum(alpha, _least_share(image, back)), 1.0)[..., None]
    front = torch.where(alpha < 1, (image - (1 - alpha) * back) / alpha, image).clamp(0, 1)
    return Unmixed(alpha[..., 0], front, back)


def _least_share(image: Float[Tensor, "h w 3"], back: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    """How much of something in front, of whatever colour, it takes to make a picture of what is behind."""
    apart = image - back
    room = torch.where(apart > 0, 1 - back, back)
    return (apart.abs() / room.clamp_min(1e-6)).amax(-1).clamp(LEAST, 1)


def _mean_of(image: Float[Tensor, "h w 3"], where: Bool[Tensor, "h w"]) -> Float[Tensor, "h w 3"]:
    """The mean of the chosen pixels in windows of 3 x 3."""
    weight = where[..., None].to(image)
    maps = torch.cat([image * weight, weight], dim=-1).permute(2, 0, 1)[None]
    maps = F.avg_pool2d(maps, 3, 1, 1)[0].permute(1, 2, 0)
    return maps[..., :3] / maps[..., 3:].clamp_min(1e-6)
