"""Further photos of the same place: what they show is seen, not guessed, and goes before every guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.cameras import cat_cameras
from ...reconstruct.gaussians import Gaussians, cat_gaussians
from ...reconstruct.hidden import BEHIND, hidden_from
from ...reconstruct.lift import lift
from ...reconstruct.mesh.grid import DepthPicture
from ...reconstruct.views import Views
from ..depth import FAR_DEPTH_M, SKY_DEPTH_M
from .grow import Growth
from .pieces import known_piece, show

SEEN_TO = 1.1
"""A photo knows what is there up to so many times the depth that it shows."""
CONTINUED = 0.5
"""Guesses from so many times the sky's depth on are sky, seen from anywhere; the sky goes on as it begins."""
MOST_BRIGHTER = 1.8
"""Factor at most by which the light of two photos differs, in each colour."""
DARK, BRIGHT = 0.04, 0.9
"""Colours between these tell it; what is brighter is white in any light."""
ENOUGH = 0.01
"""Of a picture must tell the light."""
ALIKE, UNLIKE = 0.06, 0.2
"""Differences of a photo and the scene up to which it shows the same, and from which on something else: things that
moved, mirrors, wrong depth."""
ALIKE_PX = 7
"""Width of the windows that are compared."""
SEEN = 0.5
"""Parts of a picture that the scene covered at least so much before it was generated are kept."""


def fold_photos(growth: Growth, home: DepthPicture, others: Sequence[DepthPicture]) -> tuple[Growth, Views]:
    """Splats, views and pieces of further photos, without the guesses that they prove wrong.

    Args:
        growth: the scene so far, and views that were generated for it.
        home: the photo that it begins with; what it shows stays.
        others: the further photos with their depth, in the same world.

    Returns:
        The scene, and those of the photos that are of the home photo's size; pixels count as far as it agrees.
    """
    wrong = _in_the_way(growth.gaussians.means, others) & _unseen(growth.gaussians.means, home)
    gaussians, pieces, known, same = growth.gaussians[~wrong], list(growth.pieces), [home], []
    for photo in others:
        memory, alpha = show(gaussians, photo.camera)
        photo = replace(photo, image=_in_the_light_of(photo.image, memory.color[0], memory.known[0]))
        piece = known_piece(memory, alpha, photo.image, photo.depth, photo.camera)
        points = photo.camera.unproject(photo.depth[None])[0]
        new = torch.stack([hidden_from(p.camera, p.depth, points) for p in known]).all(0)
        piece = replace(piece, mask=piece.mask & new)
        gaussians = cat_gaussians([gaussians, lift(piece.image, piece.depth, photo.camera, mask=piece.mask)])
        pieces.append(piece)
        known.append(photo)
        if photo.image.shape == home.image.shape:
            same.append(photo)
    images = growth.images.clone()
    for view, camera in enumerate(growth.cameras):
        guessed = growth.support[view] <= SEEN
        images[view][guessed] = show(gaussians, camera)[0].color[0][guessed]
    growth = replace(growth, gaussians=gaussians, images=images, pieces=pieces)
    return growth, Views(
        cat_cameras([home.camera[[]], *(photo.camera for photo in same)]),
        torch.stack([photo.image for photo in same]) if same else home.image[None][:0],
        torch.stack([_agreement(gaussians, photo) for photo in same]) if same else home.depth[None][:0],
    )


def _in_the_way(points: Float[Tensor, "n 3"], photos: Sequence[DepthPicture]) -> Bool[Tensor, "n"]:
    """Points of which a photo knows better: where it sees that there is nothing, or what there is."""
    wrong = torch.zeros(len(points), dtype=torch.bool)
    for photo in photos:
        place, z, inside = photo.camera.locate(points)
        shown = photo.depth[place]
        both_sky = (z > CONTINUED * FAR_DEPTH_M) & (shown > SKY_DEPTH_M)
        wrong |= inside & (z < SEEN_TO * shown) & ~both_sky
    return wrong


def _unseen(points: Float[Tensor, "n 3"], photo: DepthPicture) -> Bool[Tensor, "n"]:
    """Points that a photo does not show."""
    place, z, inside = photo.camera.locate(points)
    return ~inside | (z > BEHIND * photo.depth[place])


def _in_the_light_of(
    image: Float[Tensor, "h w 3"], shown: Float[Tensor, "h w 3"], known: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w 3"]:
    """A photo as bright as the scene where both show the same: cameras choose their exposure anew for each photo."""
    exposed = (
        known & (torch.minimum(image, shown) > DARK).all(-1) & (torch.maximum(image, shown) < BRIGHT).all(-1)
    )
    if exposed.float().mean() < ENOUGH:
        return image
    factor = (shown[exposed].log() - image[exposed].log()).median(0).values.exp()
    lit = image * factor.clamp(1 / MOST_BRIGHTER, MOST_BRIGHTER)
    white = ((image.amax(-1, keepdim=True) - BRIGHT) / (1 - BRIGHT)).clamp(0, 1)
    return torch.lerp(lit, image, white).clamp(0, 1)


def _agreement(gaussians: Gaussians, photo: DepthPicture) -> Float[Tensor, "h w"]:
    """How far the scene shows what a photo shows, 0..1."""
    memory, _ = show(gaussians, photo.camera)
    difference = (memory.color[0] - photo.image).abs().mean(-1)
    difference = F.avg_pool2d(difference[None], ALIKE_PX, 1, ALIKE_PX // 2, count_include_pad=False)[0]
    return ((UNLIKE - difference) / (UNLIKE - ALIKE)).clamp(0, 1)
