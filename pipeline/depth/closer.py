"""A closer look at four parts of a photo, for detail that the answer to the whole is too coarse for.

The whole tells the layout, its parts the chair in the corner: two sizes of input and what each is good at are from
Miangoleh et al., Boosting Monocular Depth Estimation Models to High-Resolution, 2021. The parts overlap, each is moved
to the depth of the whole, and they have their say beside it, more of it in what is small.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..blur import blur
from .upsample import resize_map

SHARE = 0.6
"""Of the photo's width and height that each of the four parts has; training crops down to half."""
LAYOUT_WEIGHT = 0.4
"""Of the parts beside the whole in what is large: between 0.35 and 0.5 it matters little."""
DETAIL_WEIGHT = 0.65
"""The same in what is small, which the whole has few tokens for."""
SMALL = 0.034
"""Standard deviation of the blur that tells large from small, in lengths of the photo's long side."""
RIM = 0.15
"""Share of a part's side over which its weight rises from its border."""


def look_closer(
    whole: Float[Tensor, "h w"],
    far: Bool[Tensor, "h w"],
    photo: Float[Tensor, "H W 3"],
    answer: Callable[[Float[Tensor, "a b 3"]], Float[Tensor, "c d"]],
) -> Float[Tensor, "hf wf"]:
    """Log-depth at ``1 / SHARE`` times the size of the answer to the whole.

    Args:
        whole: log-depth of the whole photo.
        far: sky, whose depth means nothing.
        photo: of any size.
        answer: log-depth, up to a constant, of a part of the photo, at any size.
    """
    rows, columns = whole.shape
    size = (round(rows / SHARE), round(columns / SHARE))
    whole = resize_map(whole, size)
    far = resize_map(far.to(whole), size) > 0.5
    rise = _rising(rows, like=whole)[:, None] * _rising(columns, like=whole)
    total, weight = torch.zeros_like(whole), torch.zeros_like(whole)
    parts = [max(1, round(SHARE * n)) for n in photo.shape[:2]]
    for lower, right in product((False, True), (False, True)):
        part = resize_map(answer(photo[_end(parts[0], lower), _end(parts[1], right)]), (rows, columns))
        here = (_end(rows, lower), _end(columns, right))
        apart = whole[here] - part
        solid = apart[~far[here]]
        total[here] += rise * (part + (solid if solid.numel() else apart).median())
        weight[here] += rise
    apart = total / weight - whole
    layout = blur(apart[None, None], SMALL * max(size))[0, 0]
    return whole + LAYOUT_WEIGHT * layout + DETAIL_WEIGHT * (apart - layout)


def _end(count: int, last: bool) -> slice:
    return slice(-count, None) if last else slice(count)


def _rising(count: int, *, like: Tensor) -> Float[Tensor, "n"]:
    place = torch.linspace(0, 1, count, dtype=like.dtype, device=like.device)
    return (torch.minimum(place, 1 - place) / RIM).clamp(0.02, 1)
