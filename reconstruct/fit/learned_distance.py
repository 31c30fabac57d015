"""LPIPS, where someone has installed the ``lpips`` package; it drags in torchvision, so nothing here requires it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

log = logging.getLogger(__name__)


def find_lpips() -> Callable[[Float[Tensor, "h w 3"], Float[Tensor, "h w 3"]], float] | None:
    """The distance of Zhang et al. 2018 with AlexNet features, as 3D reconstruction papers report it.

    Returns:
        (picture, picture), both in [0, 1] -> distance; or None if the package or its weights cannot be had.
    """
    try:
        import lpips
    except ImportError:
        return None
    try:
        network = lpips.LPIPS(net="alex", verbose=False).eval()
    except Exception as error:  # whatever the download of its weights may raise
        log.warning("no LPIPS: the lpips package cannot load its weights (%s)", error)
        return None

    def distance(a: Float[Tensor, "h w 3"], b: Float[Tensor, "h w 3"]) -> float:
        with torch.no_grad():
            return float(network(*(picture.cpu().permute(2, 0, 1)[None] * 2 - 1 for picture in (a, b))))

    return distance
