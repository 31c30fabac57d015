"""A place from a sentence, built and rendered by the synthetic world: exact views and depth, no network.

The sentence is read for kinds of places, things, colours, materials and sides (``world.sentence``); a place with them
is furnished and lit, and its renderer answers for every camera. What the world does not have does not appear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras
from ...reconstruct.errors import InputError
from ..depth import FAR_DEPTH_M, DepthMap
from ..world.catalogue import find_furniture, load_catalogue
from ..world.generate import load_lit
from ..world.layout import Layout
from ..world.light import LightField
from ..world.outdoors import make_outdoors
from ..world.paths import FreeSpace
from ..world.render import Look, Renderer, View
from ..world.rooms import make_room
from ..world.scene import Scene
from ..world.sentence import Brief, Wish, read_sentence
from ..world.viewpoint import Viewpoint, best_view, standing_places
from ..world.wishes import finish_of, grant, grant_outdoors
from . import ViewRequest

ATTEMPTS = 5
"""Places that are built at most; the one that shows most of what was asked for is taken."""
CLEARANCE = 0.2
"""Metres that cameras keep off things."""
GOOD = 0.97
"""Score of ``best_view`` that ends the search."""


@dataclass
class WorldGenerator:
    """A view generator, and a depth estimator, that know the place."""

    renderer: Renderer
    world_from_home: np.ndarray
    """float64 [4, 4]: the photo's camera, which makes the scene's world."""
    look: Look
    scene: Scene
    field: LightField
    brief: Brief
    unseen: tuple[Wish, ...]
    """What was asked for and is not in the photo."""
    licences: tuple[str, ...]
    """Of the models in the place, with their authors."""

    name = "cosmorama world (procedural places with catalogue furniture, rendered; no network)"
    group_size = 8
    soft = False

    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """See ``ViewGenerator``: pictures of the place itself; the memory is not looked at."""
        return self.photograph(request.cameras)[0]

    def photograph(self, cameras: Cameras) -> tuple[Float[Tensor, "v h w 3"], Float[Tensor, "v h w"]]:
        """Pictures and z depth in metres, ``FAR_DEPTH_M`` for the sky, from cameras in the photo's world."""
        pictures, depths = [], []
        for pose, intrinsics in zip(cameras.world_from_cam, cameras.intrinsics, strict=True):
            view = View(
                self.world_from_home @ pose.double().numpy(), intrinsics.double().numpy(),
                cameras.width, cameras.height, look=self.look,
            )  # fmt: skip
            picture = self.renderer.render(view)
            depth = torch.from_numpy(picture.depth.copy())
            pictures.append(torch.from_numpy(picture.rgb.copy()).float() / 255)
            depths.append(
                torch.where((depth > 0) & depth.isfinite(), depth, FAR_DEPTH_M).clamp(max=FAR_DEPTH_M)
            )
        return torch.stack(pictures), torch.stack(depths)

    @cached_property
    def _space(self) -> FreeSpace:
        return FreeSpace.of(self.field)

    def is_free(self, cameras: Cameras) -> bool:
        """Whether all cameras of the photo's world keep off what is in the place."""
        positions = np.c_[cameras.positions.double().numpy(), np.ones(len(cameras))] @ self.world_from_home.T
        return bool(self._space.at(positions[:, :3]).min() > CLEARANCE)

    @property
    def up(self) -> Float[Tensor, "3"]:
        """See ``KnownPlace``."""
        return torch.from_numpy(self.world_from_home[2, :3]).float()

    def standpoints(self, most: int) -> Float[Tensor, "n 3"]:
        """See ``KnownPlace``."""
        eyes = standing_places(self.scene, self.field, self.world_from_home[:3, 3], most)
        rotation, home = self.world_from_home[:3, :3], self.world_from_home[:3, 3]
        return torch.from_numpy((eyes - home) @ rotation).float()

    def outlooks(self, most: int) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """See ``KnownPlace``; beside the middle, where many windows have a bar."""
        windows = self.scene.windows[:most]
        places = np.array([np.add(w.centre, np.multiply(w.along, 0.4)) for w in windows]).reshape(-1, 3)
        inwards = np.array([w.inward for w in windows]).reshape(-1, 3)
        rotation, home = self.world_from_home[:3, :3], self.world_from_home[:3, 3]
        seen = [(places - home) @ rotation, -inwards @ rotation]
        return torch.from_numpy(seen[0]).float(), torch.from_numpy(seen[1]).float()

    def depth_of(self, cameras: Cameras) -> Float[Tensor, "v h w"]:
        """See ``KnownPlace``."""
        return self.photograph(cameras)[1]


@dataclass
class WorldDepth:
    """A depth estimator for the one photo whose depth is known."""

    depth: Float[Tensor, "h w"]
    licences: tuple[str, ...] = ()

    name = "cosmorama world (the rendered place's own depth)"

    def __call__(self, image: Float[Tensor, "h w 3"], focal_px: float) -> DepthMap:
        """See ``DepthEstimator``."""
        return DepthMap(self.depth, torch.ones_like(self.depth), self.depth >= FAR_DEPTH_M)


@dataclass(frozen=True)
class _Candidate:
    """A place that might be taken."""

    scene: Scene
    field: LightField
    granted: dict[int, Wish]
    """Wishes that found room, by index of the placement."""
    viewpoint: Viewpoint
    score: float


def build_place(text: str, camera: Cameras, *, seed: int = 0) -> WorldGenerator:
    """A place that has what a sentence asks for, and where the photo of it is taken.

    Args:
        text: English; see ``read_sentence``.
        camera: of the photo, a batch of one with identity pose; it gives lens and size.
        seed: decides everything else.

    Raises:
        InputError: the furniture or an OpenGL context cannot be had, or all that is asked for leaves no room to stand.
    """
    find_furniture()
    renderer, brief = Renderer(), read_sentence(text)
    best: _Candidate | None = None
    candidate: _Candidate | None = None
    for attempt in range(ATTEMPTS):
        candidate = _candidate(renderer, brief, camera, (seed, attempt))
        if candidate and (best is None or candidate.score > best.score):
            best = candidate
        if best and best.score > GOOD:
            break
    if best is None:
        raise InputError(f"no place for {text!r} has room to stand in; ask for less")
    if best is not candidate:
        load_lit(renderer, best.scene)
    unseen = list(brief.wishes)
    for index in best.viewpoint.seen:
        unseen.remove(best.granted[index])
    view = best.viewpoint.view
    return WorldGenerator(
        renderer,
        view.world_from_cam,
        view.look,
        best.scene,
        best.field,
        brief,
        tuple(unseen),
        _licences(best.scene),
    )


def _candidate(renderer: Renderer, brief: Brief, camera: Cameras, seed: tuple[int, int]) -> _Candidate | None:
    """A furnished place and the best view of it; None where there is no room to stand. The renderer holds it then."""
    scene, granted = _build(brief, np.random.default_rng(seed))
    scene, field = load_lit(renderer, scene)
    viewpoint = best_view(
        renderer, scene, field, granted, np.random.default_rng((*seed, 1)),
        intrinsics=camera.intrinsics[0].double().numpy(), width=camera.width, height=camera.height,
    )  # fmt: skip
    if viewpoint is None:
        return None
    left_out = 1 - len(granted) / max(len(brief.wishes), 1)
    return _Candidate(scene, field, granted, viewpoint, viewpoint.score - left_out)


def _licences(scene: Scene) -> tuple[str, ...]:
    used = {p.catalogue_key for p in scene.placements}
    credits = {(item.licence, item.creator) for item in load_catalogue() if item.key in used}
    return tuple(f"{licence}: models by {creator}" for licence, creator in sorted(credits))


def _build(brief: Brief, rng: np.random.Generator) -> tuple[Scene, dict[int, Wish]]:
    if not brief.indoor:
        return grant_outdoors(make_outdoors(rng, kind=brief.kind, around=brief.around), brief.wishes, rng)
    granted: dict[int, Wish] = {}

    def furnish(layout: Layout) -> bool:
        granted.update(grant(layout, brief.wishes))
        return bool(brief.wishes)

    finishes = {
        part: finish_of(color, material, rng) for part, color, material in brief.shell if color or material
    }
    return make_room(rng, kind=brief.kind, furnish=furnish, finishes=finishes), granted
