"""What a photo's scene shows to those who go further than its views went: coarse, so that nobody looks into a void.

The views along the planned path are the good ones. Around them a ring of wide pictures at half the size closes what
still gapes behind things and beyond the photo's edges when one leaves the path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from ..reconstruct.cameras import Cameras, look_at
from ..reconstruct.gaussians import Gaussians
from ..reconstruct.mesh.grid import DepthPicture
from .generators import ViewGenerator
from .grow import Growth, grow
from .trajectories import Reach

RING = ((-1.0, 0.0), (1.0, 0.0), (-0.7, -0.7), (0.7, -0.7), (0.0, -1.0), (0.0, 0.4))
"""Where the pictures are taken: to the right and down, in parts of the ring's radius. Less below: ground is there."""
RADIUS = 0.6
"""Of the ring in steps of the paths, twice as far out as the widest of them goes."""
SCALE = 0.5
"""Size of the pictures beside the photo."""
LENS = 0.8
"""Focal length beside the photo's: they see further to all sides."""
OVERLAP = 2
"""Pixels by which they go on under the rim of what was there."""


def grow_outskirts(
    growth: Growth,
    photo: DepthPicture,
    reach: Reach,
    generator: ViewGenerator,
    *,
    seed: int,
    text: str | None = None,
    on_view: Callable[[int, int, Gaussians], bool] | None = None,
) -> Growth:
    """Splats and pieces for what the scene does not show yet from a ring around the photo's camera.

    Args:
        growth: the scene so far.
        photo: with its depth.
        reach: of the paths.
        generator: makes the pictures.
        seed: for the generator.
        text: a description, for generators that take one.
        on_view: called as (views done, views in all, scene so far); if it returns True, that is all.

    Returns:
        The scene; its views are those it had, the ring is too coarse to be shown or fitted to.
    """
    cameras = ring_cameras(photo.camera, reach)

    def shown(done: int, gaussians: Gaussians, *_: object) -> bool:
        return on_view is not None and on_view(done, len(cameras), gaussians)

    around = grow(
        growth.gaussians, photo, cameras, generator, seed=seed, text=text, overlap=OVERLAP, on_view=shown
    )
    return replace(growth, gaussians=around.gaussians, pieces=[*growth.pieces, *around.pieces])


def ring_cameras(home: Cameras, reach: Reach) -> Cameras:
    """The cameras of the ring, which look at the paths' focus.

    Args:
        home: the photo's, a batch of one.
        reach: of the paths.
    """
    focus = torch.tensor([0.0, 0.0, reach.focus])
    places = RADIUS * reach.step * torch.tensor([(*place, 0.0) for place in RING])
    poses = home.world_from_cam[0] @ look_at(places, focus.expand_as(places))
    lens = torch.tensor([[LENS, 1.0, 1.0], [1.0, LENS, 1.0], [1.0, 1.0, 1.0]])
    cameras = Cameras(poses, (home.intrinsics * lens).expand(len(poses), 3, 3), home.width, home.height)
    return cameras.resized(max(16, round(SCALE * home.width)), max(16, round(SCALE * home.height)))
