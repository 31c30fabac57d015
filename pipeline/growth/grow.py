"""Grow a scene outwards from a photo: look where cameras will go, generate what is missing there, fold it in.

The scene itself is the memory. Each group of cameras is shown what the scene has so far, the generator completes the
pictures, and only pixels that the scene did not cover become new splats. What was seen once stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras, cat_cameras
from ...reconstruct.gaussians import Gaussians, cat_gaussians
from ...reconstruct.lift import lift
from ...reconstruct.mesh.grid import DepthPicture
from ...reconstruct.planes import PhotoPlanes
from ..generators import ViewGenerator, ViewRequest
from .consensus import agreeing, in_consensus, trust_in
from .patches import with_patches
from .pieces import known_piece, missing_piece, show


@dataclass(frozen=True)
class Growth:
    """A scene after growing, and the pictures it grew by."""

    gaussians: Gaussians
    cameras: Cameras
    """V generated views, in the order they were generated."""
    images: Float[Tensor, "v h w 3"]
    support: Float[Tensor, "v h w"]
    """How much of each pixel the scene covered before it was generated, 0..1."""
    pieces: list[DepthPicture]
    """What each view added, for meshes."""

    def before(self, later: Growth) -> Growth:
        """This and what grew from its scene; all views are of one size."""
        return Growth(
            later.gaussians,
            cat_cameras([self.cameras, later.cameras]),
            torch.cat([self.images, later.images]),
            torch.cat([self.support, later.support]),
            [*self.pieces, *later.pieces],
        )


def grow(
    gaussians: Gaussians,
    photo: DepthPicture,
    cameras: Cameras,
    generator: ViewGenerator,
    *,
    seed: int,
    text: str | None = None,
    depth_of: Callable[[Cameras], Float[Tensor, "v h w"]] | None = None,
    around: DepthPicture | None = None,
    others: Sequence[DepthPicture] = (),
    overlap: int = 0,
    lifted: Callable[..., Gaussians] = lift,
    textured: bool = False,
    on_view: Callable[[int, Gaussians, Cameras, Tensor], bool] | None = None,
) -> Growth:
    """Generate views for the cameras, group by group, and fold each group into the scene.

    Args:
        gaussians: the scene so far; it must show the photo from its camera.
        photo: with its depth, 0 where it is unknown; it always wins.
        cameras: where to generate, in this order.
        generator: makes the pictures.
        seed: for the generator; group i gets ``seed + i``.
        text: a description, for generators that take one.
        depth_of: z depth of what cameras see, where somebody knows it; default completed from what surrounds a hole.
        around: what a wider lens would show, see ``grow_frame``: its planes go on, and nothing may hide it. Default the
            photo.
        others: further photos with their depth, of which nothing may be hidden either.
        overlap: pixels by which what is generated goes on under the rim of what the scene shows; leaves no crack.
        lifted: makes splats of what is generated, as ``lift`` does.
        textured: whether what is generated gets the look of what the scene shows; see ``with_patches``.
        on_view: called with views done, the scene so far, and the camera and picture of the newest view; if it returns
            True, growing stops there.
    """
    size = (cameras.height, cameras.width)
    images, support, pieces = [torch.zeros(0, *size, 3)], [torch.zeros(0, *size)], []
    shown_from_home = around or photo
    planes = PhotoPlanes.of(shown_from_home.depth, shown_from_home.camera)
    photos = [photo, *(other for other in others if other.image.shape == photo.image.shape)]
    stop = False
    for start in range(0, len(cameras), generator.group_size):
        group = cameras[start : start + generator.group_size]
        (memory, alpha), before = show(gaussians, group, overlap=overlap), len(pieces)
        request = ViewRequest(
            group, memory, torch.stack([p.image for p in photos]), cat_cameras([p.camera for p in photos]),
            seed + start, text, photo_depths=torch.stack([p.depth for p in photos]),
        )  # fmt: skip
        pictures = generator(request)
        generated = pictures.clone()
        # a single picture agrees with itself
        trust = trust_in(~memory.known) if len(group) > 1 else memory.coverage
        for index, camera in enumerate(group):
            shown = (memory, alpha) if index == 0 else show(gaussians, camera, overlap=overlap)
            if index and depth_of is None:
                pictures[index] = agreeing(shown[0], pictures[index])
            picture = pictures[index]
            if depth_of is None:
                asked = request if index == 0 else replace(request, cameras=camera, memory=shown[0])
                piece = missing_piece(asked, shown[1], picture, planes, others)
                piece = in_consensus(piece, piece.mask & ~shown[0].known[0], generated, trust, group, index)
                if textured:
                    piece = replace(piece, image=with_patches(asked, piece.image))
                picture = pictures[index] = piece.image
            else:
                piece = known_piece(*shown, picture, depth_of(camera)[0], camera)
            gaussians = cat_gaussians([gaussians, lifted(picture, piece.depth, camera, mask=piece.mask)])
            pieces.append(piece)
            stop = on_view is not None and on_view(len(pieces), gaussians, camera, picture)
            if stop:
                break
        images.append(pictures[: len(pieces) - before])
        support.append(memory.coverage[: len(pieces) - before])
        if stop:
            break
    return Growth(gaussians, cameras[: len(pieces)], torch.cat(images), torch.cat(support), pieces)
