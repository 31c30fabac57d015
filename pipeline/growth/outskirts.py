"""What a photo's scene shows to those who go further than its views went: coarse, so that nobody looks into a void.

The views along the planned path are the good ones. A ring of wide pictures around the photo's place closes what still
gapes behind things when one leaves the path; a last look from wider paths closes the cracks that open between all of
these. They come when all else is fitted: splats that the fitted views hardly see would be fitted to noise. Holes are
filled by the inpainting routine and with patches, cracks by the routine alone, whatever generator made the views: this
far out the bundled network has nothing to tell but grey.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from ...reconstruct.cameras import Cameras, cat_cameras, look_at, turned
from ...reconstruct.gaussians import Gaussians
from ...reconstruct.lift import lift
from ...reconstruct.mesh.grid import DepthPicture
from ..generators.inpaint import InpaintGenerator
from ..trajectories import Reach, plan_trajectory
from .grow import Growth, grow

FRAME_SCALE, FRAME_LENS = 0.85, 0.72
"""Size and focal length, beside the photo's, of a picture around the photo where there is none yet."""
RING_SCALE, RING_LENS = 0.85, 0.8
"""The same of the pictures of the ring."""
RING = ((-1.0, 0.0), (1.0, 0.0), (-0.7, -0.7), (0.7, -0.7), (0.0, -1.0), (0.0, 0.4))
"""Where they are taken: to the right and down, in parts of the ring's radius. Less below: ground is there."""
RADIUS = 0.6
"""Of the ring in steps of the paths, twice as far out as the widest of them goes."""
OVERLAP = 2
"""Pixels by which they go on under the rim of what was there."""
SIGMA_PX, MAX_STRETCH = 0.8, 12.0
"""Of their splats: what is coarse is seen from near and from the side, and rubber is better than a void."""
TURNED = ((-30.0, 0.0), (30.0, 0.0), (0.0, 24.0), (0.0, -24.0))
"""Degrees to the right and up by which a camera at the photo's place is turned."""
TURNED_SCALE, TURNED_LENS = 0.45, 0.7
"""Size and focal length of what it sees, beside the photo's: 40 degrees from the middle are still inside."""
WIDE, WIDER = 1.5, 2.0
"""Extents, beside the planned path's, of those from which cracks are looked for."""


def grow_outskirts(
    growth: Growth,
    photo: DepthPicture,
    reach: Reach,
    *,
    around: DepthPicture | None = None,
    others: Sequence[DepthPicture] = (),
    on_view: Callable[[int, int, Gaussians], bool] | None = None,
) -> Growth:
    """Splats and pieces for what the scene does not show yet around the photo: from a ring around its camera, in
    cracks, and beside, above and below; and around further photos.

    Args:
        growth: the scene so far.
        photo: with its depth.
        reach: of the paths.
        around: what a wider lens would show, which they go on from; where it is unknown, that is filled first.
        others: further photos with their depth.
        on_view: called as (views done, views in all, scene so far); if it returns True, that is all.

    Returns:
        The scene; its views are those it had, these are too coarse to be shown or fitted to.
    """
    home = photo.camera
    frame = [] if around else [(_seen_wider(home, FRAME_LENS, FRAME_SCALE), True)]
    groups = [
        *frame,
        (ring_cameras(home, reach), True),
        (crack_cameras(home, reach), False),
        (turned_cameras(home), True),
        *((_seen_wider(other.camera, TURNED_LENS, TURNED_SCALE), True) for other in others),
    ]
    generator = InpaintGenerator()
    total, before = sum(len(cameras) for cameras, _ in groups), 0
    stopped = False

    def shown(done: int, gaussians: Gaussians, *_: object) -> bool:
        nonlocal stopped
        stopped = on_view is not None and on_view(before + done, total, gaussians)
        return stopped

    for cameras, textured in groups:
        if stopped:
            break
        more = grow(
            growth.gaussians, around or photo, cameras, generator, seed=before, overlap=OVERLAP,
            lifted=partial(lift, sigma_px=SIGMA_PX, max_stretch=MAX_STRETCH), textured=textured, others=others,
            on_view=shown,
        )  # fmt: skip
        growth = replace(growth, gaussians=more.gaussians, pieces=[*growth.pieces, *more.pieces])
        before += len(cameras)
    return growth


def ring_cameras(home: Cameras, reach: Reach) -> Cameras:
    """The cameras of the ring, which look at the paths' focus.

    Args:
        home: the photo's, a batch of one.
        reach: of the paths.
    """
    focus = torch.tensor([0.0, 0.0, reach.focus])
    places = RADIUS * reach.step * torch.tensor([(*place, 0.0) for place in RING])
    poses = home.world_from_cam[0] @ look_at(places, focus.expand_as(places))
    count = len(poses)
    cameras = Cameras(poses, home.intrinsics.expand(count, 3, 3), home.width, home.height)
    return _seen_wider(cameras, RING_LENS, RING_SCALE)


def crack_cameras(home: Cameras, reach: Reach) -> Cameras:
    """Cameras that look for cracks: ends of orbits and places on a spiral, as large as the photo.

    Args:
        home: the photo's, a batch of one.
        reach: of the paths.
    """
    ends = [plan_trajectory("orbit", home, reach, 4, extent=extent)[[1, 3]] for extent in (WIDER, WIDE)]
    around = plan_trajectory("spiral", home, reach, 9, extent=WIDER)[[1, 3, 5, 7]]
    return cat_cameras([*ends, around])


def turned_cameras(home: Cameras) -> Cameras:
    """Cameras at the photo's place that look to the sides, up and down.

    Args:
        home: the photo's, a batch of one.
    """
    poses = home.world_from_cam[0] @ turned(TURNED)
    cameras = Cameras(poses, home.intrinsics.expand(len(poses), 3, 3), home.width, home.height)
    return _seen_wider(cameras, TURNED_LENS, TURNED_SCALE)


def _seen_wider(cameras: Cameras, lens: float, scale: float) -> Cameras:
    """The same places through a shorter lens, in pictures of another size."""
    size = (max(16, round(scale * side)) for side in (cameras.width, cameras.height))
    return cameras.zoomed(lens).resized(*size)
