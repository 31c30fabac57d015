"""A first picture from a sentence, for scenes that start without a photo."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from ..reconstruct.cameras import Cameras, focal_px_from_fov, pinhole_intrinsics
from .depth import DepthEstimator
from .generators import Memory, ViewGenerator, ViewRequest
from .growth.surround import KnownPlace
from .photo import DEFAULT_FOV_DEG, Photo, check_focal

if TYPE_CHECKING:
    from .generators.world import WorldGenerator

ASPECT = 4 / 3


@dataclass(frozen=True)
class Imagined:
    """A picture to start from, and who knows more of the place that it shows."""

    photo: Photo
    generator: ViewGenerator
    depth_estimator: DepthEstimator | None = None
    """None: to be estimated from the picture."""
    place: KnownPlace | None = None
    """Who knows what every camera sees."""
    remark: str = ""
    """What was made of the sentence, for people."""


def imagine_place(text: str, *, long_side: int, focal_px: float | None = None, seed: int = 0) -> Imagined:
    """A place of the synthetic world with what the sentence asks for, see ``generators.world``.

    Args:
        text: English.
        long_side: width in pixels.
        focal_px: in pixels of the picture; default from ``DEFAULT_FOV_DEG``.
        seed: of the place.

    Raises:
        InputError: furniture or OpenGL are not to be had here.
    """
    from .generators.world import WorldDepth, build_place

    camera, source = _camera(long_side, focal_px)
    place = build_place(text, camera, seed=seed)
    pictures, depths = place.photograph(camera)
    photo = Photo(pictures[0], float(camera.intrinsics[0, 0, 0]), source, (camera.width, camera.height))
    return Imagined(photo, place, WorldDepth(depths[0]), place, _remark(place))


def _remark(place: WorldGenerator) -> str:
    brief = place.brief
    unseen = Counter(wish.label for wish in place.unseen)
    seen = Counter(wish.label for wish in brief.wishes) - unseen
    parts = [f"a {brief.kind} of the synthetic world with: {_listed(seen) or 'what belongs there'}"]
    if brief.around:
        parts.append(f"around it: {', '.join(brief.around)}")
    if unseen:
        parts.append(f"not in the picture: {_listed(unseen)}")
    if brief.unknown:
        parts.append(f"not understood: {', '.join(brief.unknown)}")
    return "; ".join(parts)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{label} ({count})" if count > 1 else label for label, count in counts.items())


def imagine_photo(
    text: str, generator: ViewGenerator, *, long_side: int, focal_px: float | None = None, seed: int = 0
) -> Imagined:
    """What the generator thinks the sentence describes, as if it were a photo.

    Args:
        text: in the domain that the generator was trained on; see its card.
        generator: must be able to work from text alone.
        long_side: width in pixels.
        focal_px: in pixels of the picture; default from ``DEFAULT_FOV_DEG``.
        seed: of the generator.

    Raises:
        InputError: the generator needs something to start from.
    """
    camera, source = _camera(long_side, focal_px)
    nothing = torch.zeros(1, camera.height, camera.width)
    memory = Memory(nothing[..., None].expand(*nothing.shape, 3), nothing, nothing)
    request = ViewRequest(camera, memory, memory.color[:0], camera[[]], seed, text)
    focal, size = float(camera.intrinsics[0, 0, 0]), (camera.width, camera.height)
    return Imagined(Photo(generator(request)[0], focal, source, size), generator)


def _camera(long_side: int, focal_px: float | None) -> tuple[Cameras, Literal["given", "default"]]:
    """At the origin, and where its focal length comes from."""
    width, height = long_side, round(long_side / ASPECT / 2) * 2
    if focal_px is not None:
        check_focal(focal_px, width)
    focal = focal_px or float(focal_px_from_fov(DEFAULT_FOV_DEG, width))
    camera = Cameras(torch.eye(4)[None], pinhole_intrinsics(focal, width, height)[None], width, height)
    return camera, "given" if focal_px else "default"
