"""Pictures of one group agree on what they show: with what came first, and with each other."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ...reconstruct.cameras import Cameras
from ...reconstruct.mesh.grid import DepthPicture
from ..blur import blur
from ..generators import Memory
from ..generators.blend import blend_generated

TEXTURE = 1 / 32
"""Share of a picture's long side; finer differences between generated pictures are texture, which is not averaged."""
TRUST = 1 / 8
"""Share of a picture's long side over which the weight of its guesses falls to a third, away from what it knows."""
LEAST_TRUST = 1e-6
"""Weight of what is far from anything known: it has its say where nobody knows more."""


def agreeing(memory: Memory, picture: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """A picture of a group with what the pictures before it added to the scene: what came first stays."""
    return blend_generated(memory.color, memory.known, picture[None])[0]


def in_consensus(
    piece: DepthPicture,
    unknown: Bool[Tensor, "h w"],
    generated: Float[Tensor, "v h w 3"],
    trust: Float[Tensor, "v h w"],
    cameras: Cameras,
    index: int,
) -> DepthPicture:
    """A piece whose colours agree, but for their texture, with what all pictures of its group have at these places.

    Each picture is a guess; their mean is a better one, weighted by how near to what it knows each picture guesses.

    Args:
        piece: of picture ``index``.
        unknown: its pixels that were generated.
        generated: the pictures of the group.
        trust: in them, from ``trust_in``.
        cameras: of the pictures.
        index: which of them the piece is of.
    """
    if len(cameras) == 1 or not unknown.any():
        return piece
    points = piece.camera.unproject(piece.depth[None])[0][unknown]
    own = piece.image[unknown]
    count = trust[index][unknown][:, None]
    total = count * own
    for other, camera in enumerate(cameras):
        if other == index:
            continue
        place, _, inside = camera.locate(points)
        counts = (inside * trust[other][place])[:, None]
        total, count = total + counts * generated[other][place], count + counts
    apart = piece.image.new_zeros(4, *unknown.shape)
    apart[:3, unknown] = (total / count - own).T
    apart[3] = unknown.float()
    apart = blur(apart[None], TEXTURE * max(unknown.shape))[0]
    shift = (apart[:3] / apart[3].clamp_min(1e-4)).permute(1, 2, 0) * unknown[..., None]
    return replace(piece, image=(piece.image + shift).clamp(0, 1))


def trust_in(holes: Bool[Tensor, "v h w"]) -> Float[Tensor, "v h w"]:
    """Weight of each generated pixel, less the farther it lies from what its picture knows; 0 outside the holes."""
    return torch.stack([_trust_in(hole) for hole in holes])


def _trust_in(hole: Bool[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    if hole.all():
        return LEAST_TRUST * hole
    away = torch.from_numpy(distance_transform_edt(hole.numpy())).float()  # pyright: ignore[reportArgumentType]
    return torch.exp(-away / (TRUST * max(hole.shape))).clamp_min(LEAST_TRUST) * hole
