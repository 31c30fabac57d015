"""From posed views and photos to encoded training samples, once, so that training itself is cheap.

Camera-scale normalisation: all lengths (the rays' moments, inverse depth) are in units of the median known depth of
the reference camera, the first given view. Depth from one photo has no certain scale, so nothing may depend on it.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...reconstruct.cameras import Cameras, look_at
from ...reconstruct.lift import lift
from ...reconstruct.rasterize import rasterize
from ..generators import Memory
from ..growth.pieces import show
from ..latents.codec import CELL, Codec
from .conditions import plucker_maps
from .filling import Filling, fill
from .groups import PosedViews
from .guesses import Source
from .memory import encode_memory, remember, spoil_depth

Sample = dict[str, Tensor]
"""Tensors of one scene by name, see ``prepare_scene``."""
SceneKind = Literal["scene", "photo"]


def median_depth(depth: Float[Tensor, "h w"]) -> float:
    """The scene's length unit: the median of the known depths; 1 where none is known."""
    known = depth[depth > 0]
    return float(known.median()) if len(known) else 1.0


@torch.no_grad()
def prepare_scene(
    views: PosedViews,
    codec: Codec,
    *,
    generator: torch.Generator,
    variants: int = 3,
    filling: Filling | None = None,
) -> Sample:
    """Encode one scene, with several choices of given views and of errors in their depth.

    Args:
        views: height and width must be multiples of 8.
        codec: encodes pictures and memories.
        generator: of all choices.
        variants: choices of given views: the first view alone, then one to three at random. The errors of their depth
            are of a random size too, from none to an estimator's.
        filling: fills the memories' holes, with guesses from the first of the given views; smoothly without it.

    Returns:
        float16 ``latents`` [v c h w]; per variant (leading axis k) ``given`` (bool [k v]), ``rays`` [k v 6 h w],
        ``memory_latents`` [k v c h w], ``memory_depth`` and ``memory_coverage`` [k v 4 h w], ``reference`` (int64 [k]);
        ``times`` [v].
    """
    parts = []
    for k in range(variants):
        count = 1 + int(torch.randint(3, (), generator=generator))
        chosen = torch.randperm(len(views), generator=generator)[:count].tolist() if k else [0]
        strength = float(torch.rand((), generator=generator))
        depths = [spoil_depth(views.depth[i], generator=generator, strength=strength) for i in chosen]
        depths = torch.stack(depths)
        memory = remember(views.images[chosen], depths, views.cameras[chosen], views.cameras)
        given = torch.zeros(len(views), dtype=torch.bool)
        given[chosen] = True
        scale = median_depth(depths[0])
        filled = None
        if filling is not None:
            source = Source.of(views.images[chosen[0]], depths[0], views.cameras[[chosen[0]]])
            filled = fill(memory, views.cameras, source, filling)
        parts.append(
            _variant(memory, views.cameras, chosen[0], scale, codec, filled=filled) | {"given": given}
        )
    times = views.depth.new_zeros(len(views)) if views.times is None else views.times
    return {"latents": codec.encode(views.images).half(), "times": times.half()} | _stack(parts)


@torch.no_grad()
def prepare_photo(
    image: Float[Tensor, "h w 3"],
    depth: Float[Tensor, "h w"],
    camera: Cameras,
    codec: Codec,
    *,
    generator: torch.Generator,
    variants: int = 3,
) -> Sample:
    """Warp and fill: a photo with holes where a random other camera cannot see, to be completed to the photo itself.

    This is self-supervision from any single photo with estimated depth (Han et al. 2022): the holes have the shapes
    that moving away and coming back would leave, the truth is the photo.

    Args:
        image: the photo; height and width must be multiples of 8.
        depth: its estimated depth, > 0.
        camera: a batch of one.
        codec: encodes photo and memories.
        generator: of the other cameras.
        variants: number of other cameras.

    Returns:
        As ``prepare_scene``, for one view and no given one.
    """
    parts = []
    for _ in range(variants):
        other = random_camera_near(camera, depth, generator=generator)
        visible = visible_from(depth, camera, other)
        memory = Memory(image.new_zeros(1, *image.shape), *(image.new_zeros(2, 1, *depth.shape)))
        if visible.any():
            memory = show(lift(image, depth, camera, mask=visible), camera)[0]
        given = torch.zeros(1, dtype=torch.bool)
        parts.append(_variant(memory, camera, 0, median_depth(depth), codec) | {"given": given})
    return {"latents": codec.encode(image[None]).half(), "times": torch.zeros(1).half()} | _stack(parts)


def random_camera_near(
    camera: Cameras, depth: Float[Tensor, "h w"], *, generator: torch.Generator
) -> Cameras:
    """A camera as a visitor might reach it: moved by up to half the depth of what is near, and turned."""
    near = float(torch.quantile(depth.flatten()[:: max(1, depth.numel() // 10_000)], 0.1))
    focus = median_depth(depth)
    u = 2 * torch.rand(5, generator=generator) - 1
    position = 0.6 * min(near, focus) * u[:3] * u.new_tensor([1.0, 0.4, 0.8])
    target = u.new_tensor([0.0, 0.0, focus]) + focus * u.new_tensor([0.5, 0.2, 0.0]) * u.new_tensor(
        [u[3], u[4], 0.0]
    )
    local = look_at(position, target)
    return Cameras(camera.world_from_cam @ local, camera.intrinsics, camera.width, camera.height)


def visible_from(
    depth: Float[Tensor, "h w"], camera: Cameras, other: Cameras, *, tolerance: float = 1.04
) -> Bool[Tensor, "h w"]:
    """Which pixels of a picture with depth another camera sees too.

    Args:
        depth: z depth, > 0.
        camera: of the picture, a batch of one.
        other: a batch of one.
        tolerance: a point is hidden if something is nearer by more than this ratio.
    """
    surface = lift(depth.new_zeros(*depth.shape, 3), depth, camera)
    nearest = rasterize(surface, other).median_depth[0]
    place, z, inside = other.locate(camera.unproject(depth[None]).reshape(-1, 3))
    return (inside & (z <= tolerance * nearest[place])).view_as(depth)


def _variant(
    memory: Memory,
    cameras: Cameras,
    reference: int,
    scale: float,
    codec: Codec,
    *,
    filled: Float[Tensor, "v h w 3"] | None = None,
) -> Sample:
    latents, depth, coverage = encode_memory(memory, codec, scale=scale, filled=filled)
    rays = plucker_maps(
        cameras,
        height=cameras.height // CELL,
        width=cameras.width // CELL,
        world_from_reference=cameras.world_from_cam[reference],
        scale=scale,
    )
    return {
        "memory_latents": latents.half(),
        "memory_depth": depth.half(),
        "memory_coverage": coverage.half(),
        "rays": rays.half(),
        "reference": torch.tensor(reference),
    }


def _stack(parts: list[Sample]) -> Sample:
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
