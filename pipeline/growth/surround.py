"""The rest of a place that is known, for turning round and walking about: what cubes around where people may stand see.

Coarser than the photo and the views near it: one splat per pixel of a cube's face, only where nothing is yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.cameras import Cameras, cat_cameras, focal_px_from_fov, look_at, pinhole_intrinsics
from ...reconstruct.gaussians import Gaussians, cat_gaussians
from ...reconstruct.hidden import hidden_from
from ...reconstruct.lift_blocks import lift_blocks
from ...reconstruct.mesh.grid import DepthPicture
from .pieces import known_piece, show

STANDPOINTS = 4
"""Places at most from which a scene is completed."""
SIGMA_PX = 0.75
"""Standard deviation of splats in pixels: one looks at them from nearer than they were seen, dots would show."""
MAX_STRETCH = 12.0
"""Of splats: depth is exact here, ground can be closed up to the horizon."""
FACE_DEG = 91.0
"""Field of view of a face: a little over a right angle, so that no crack is left between two."""
OUTLOOKS, OUTLOOK_DEG = 4, 130.0
"""Windows at most that are looked out of, and the field of view there: people inside see much of it from the side."""


class KnownPlace(Protocol):
    """Somebody who can tell what every camera sees, as exactly as a photo is."""

    @property
    def up(self) -> Float[Tensor, "3"]:
        """Unit vector in the photo's world."""
        ...

    def photograph(self, cameras: Cameras) -> tuple[Float[Tensor, "v h w 3"], Float[Tensor, "v h w"]]:
        """Pictures and their z depth."""
        ...

    def depth_of(self, cameras: Cameras) -> Float[Tensor, "v h w"]:
        """That depth alone."""
        ...

    def is_free(self, cameras: Cameras) -> bool:
        """Whether all the cameras can be there."""
        ...

    def standpoints(self, most: int) -> Float[Tensor, "n 3"]:
        """Where eyes may be, far from each other, the photo's place first; n is ``most`` or fewer."""
        ...

    def outlooks(self, most: int) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """Places just outside windows, and the directions away from the house; n is ``most`` or fewer."""
        ...


def surround(
    gaussians: Gaussians,
    place: KnownPlace,
    photo: DepthPicture,
    *,
    size: int,
    on_view: Callable[[int, int, Gaussians], bool] | None = None,
) -> tuple[Gaussians, list[DepthPicture]]:
    """Splats for what the scene does not show yet from any of some places, in all directions, and out of its windows.

    Args:
        gaussians: the scene so far.
        place: what it shows.
        photo: with its depth; what it shows it shows better.
        size: pixels along a side of a face.
        on_view: called as (faces done, faces in all, scene so far); if it returns True, that is all.

    Returns:
        The scene, and what each face added.
    """
    cameras = cube_faces(place.standpoints(STANDPOINTS), place.up, size)
    windows, outwards = place.outlooks(OUTLOOKS)
    if len(windows):
        cameras = cat_cameras([cameras, square_cameras(windows, outwards, place.up, size, OUTLOOK_DEG)])
    pieces: list[DepthPicture] = []
    for index, camera in enumerate(cameras):
        pictures, depths = place.photograph(camera)
        piece = known_piece(*show(gaussians, camera), pictures[0], depths[0], camera)
        points = camera.unproject(piece.depth[None])[0]
        piece = replace(piece, mask=piece.mask & hidden_from(photo.camera, photo.depth, points))
        new = lift_blocks(
            piece.image, piece.depth, camera, mask=piece.mask, sigma_px=SIGMA_PX, max_stretch=MAX_STRETCH
        )
        gaussians = cat_gaussians([gaussians, new])
        pieces.append(piece)
        if on_view and on_view(index + 1, len(cameras), gaussians):
            break
    return gaussians, pieces


def cube_faces(positions: Float[Tensor, "n 3"], up: Float[Tensor, "3"], size: int) -> Cameras:
    """Six square cameras at each position: forward (the photo's direction, level), right, back, left, down, up."""
    forward = torch.tensor([0.0, 0.0, 1.0])
    forward = F.normalize(forward - (forward @ up) * up, dim=0)
    right = torch.linalg.cross(forward, up)
    ways = torch.stack([forward, right, -forward, -right, -up, up])
    above = torch.stack([up, up, up, up, forward, forward])
    count = len(positions)
    return square_cameras(
        positions.repeat_interleave(len(ways), 0),
        ways.repeat(count, 1),
        above.repeat(count, 1),
        size,
        FACE_DEG,
    )


def square_cameras(
    positions: Float[Tensor, "n 3"],
    forward: Float[Tensor, "n 3"],
    up: Float[Tensor, "*ups 3"],
    size: int,
    fov_deg: float,
) -> Cameras:
    """Cameras of square pictures, ``size`` pixels and ``fov_deg`` degrees wide; one up for all, or one for each."""
    focal = float(focal_px_from_fov(fov_deg, size))
    intrinsics = pinhole_intrinsics(focal, size, size).expand(len(positions), 3, 3)
    return Cameras(look_at(positions, positions + forward, up=up), intrinsics, size, size)
