"""A scene in a mirror and with its colours exchanged: a right answer would be the same, turned back.

What a network answers to all of these looks, averaged, is free of what one of them alone made it think.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras
from ..generators import Memory, ViewRequest


@dataclass(frozen=True)
class Look:
    """One way to look at a scene."""

    order: tuple[int, int, int] = (0, 1, 2)
    """Of red, green and blue."""
    mirrored: bool = False
    """Left and right exchanged."""

    def at(self, request: ViewRequest) -> ViewRequest:
        """The request as it looks so; without its text, which tells of the plain look's colours and sides."""
        if self == PLAIN:
            return request
        memory = replace(request.memory, color=request.memory.color[..., self.order])
        request = replace(request, memory=memory, photos=request.photos[..., self.order], text=None)
        return mirrored_request(request) if self.mirrored else request

    def at_pictures(self, pictures: Float[Tensor, "v h w 3"]) -> Float[Tensor, "v h w 3"]:
        """Pictures of the scene as they look so."""
        pictures = pictures[..., self.order]
        return pictures.flip(-2) if self.mirrored else pictures

    def back(self, pictures: Float[Tensor, "v h w 3"]) -> Float[Tensor, "v h w 3"]:
        """The inverse of ``at_pictures``."""
        pictures = pictures.flip(-2) if self.mirrored else pictures
        return pictures[..., [self.order.index(channel) for channel in range(3)]]


PLAIN = Look()
LOOKS = tuple(
    Look(order, mirrored) for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1)) for mirrored in (False, True)
)
"""The plain look first."""


def mirrored_request(request: ViewRequest) -> ViewRequest:
    """The same request of a world whose x axis is turned round."""
    memory, depths = request.memory, request.photo_depths
    return replace(
        request,
        cameras=mirrored_cameras(request.cameras),
        memory=Memory(memory.color.flip(2), memory.depth.flip(2), memory.coverage.flip(2)),
        photos=request.photos.flip(2),
        photo_cameras=mirrored_cameras(request.photo_cameras),
        photo_depths=None if depths is None else depths.flip(2),
    )


def mirrored_cameras(cameras: Cameras) -> Cameras:
    """Cameras in a world whose x axis is turned round, whose pictures are the mirror images."""
    turn = torch.diag(cameras.world_from_cam.new_tensor([-1.0, 1.0, 1.0, 1.0]))
    intrinsics = cameras.intrinsics.clone()
    intrinsics[..., 0, 2] = cameras.width - intrinsics[..., 0, 2]
    return Cameras(turn @ cameras.world_from_cam @ turn, intrinsics, cameras.width, cameras.height)
