"""Holes that are filled softly get the look of what surrounds them: patches of the picture, laid along the filling.

Wood has its grain, meadows have their grass and edges go on beyond a photo's frame, where a soft filling is fog. From
coarse to fine each patch of a hole looks for the piece of what is known that is most like it; all the pieces that cover
a pixel vote for its colour, and the search goes on. The soft filling has its say throughout: sky comes where it is
blue, and things that stand out from what surrounds a hole are seldom repeated in it.

Source: Wexler et al., Space-Time Completion of Video (PAMI 2007), with the search of Barnes et al., PatchMatch (2009);
that no patch is chosen much more often than others is from Kaspar et al., Self Tuning Texture Optimization (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, uniform_filter
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.rasterize.cpu.parallel import run_parallel
from ...reconstruct.windows import window_max
from ..blur import blur, blur_by
from ..generators import ViewRequest
from .patch_match import CHANNELS, RADIUS, improve, vote

COARSEST = 200
"""Pixels along the long side of the coarsest picture at most: what one patch there covers is laid out as a whole. With
half of it floors go on as fog."""
ROUNDS = (8, 5, 3, 2)
"""Of search and vote, from coarse to fine; the last for all that follow."""
FIRST_SEARCH = 6
"""Searches before the first vote, far and near, when nothing is known yet; half as many in the other rounds there."""
AROUND = 0.02
"""Standard deviation of the blur that tells what surrounds a pixel at large, in lengths of the long side."""
LIKENESS = 0.03
"""Weight of what surrounds a patch at large against the patch itself."""
CHROMA, ROUGHNESS, HEIGHT = 1.5, 4.0, 1.0
"""Weights of hue, of how rough the texture is, and of the place from top to bottom, against brightness."""
INWARDS = 1.3
"""Pixels of a hole count so many times less with each pixel from its rim: the rim is right."""
SHARP = 40.0
"""Of the last vote: how much more good matches count than in those before, so that nothing is blurred."""
CROWD = 0.1
"""Added to the distance from what is chosen twice as often as if all were chosen alike, in usual distances: without it
one smooth place fills all that is uncertain."""
FIRST_HAND = 0.3
"""Share of what is known that photos must show, for patches to be taken from there alone."""
OTHER_HUE = 0.06
"""By how much the means of red, green and blue may differ from the soft filling's, beside all three alike."""
SEAM = 0.02
"""How far into a hole a difference of colour at its rim is evened out, in lengths of the long side."""


def with_patches(request: ViewRequest, picture: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """A request's first picture, generated softly, with the look of what its memory knows: of what photos show there,
    unless that is little. Copies of copies get softer from view to view."""
    known = request.background(0)
    source = known & request.first_hand(0)
    enough = int(source.sum()) > FIRST_HAND * int(known.sum())
    return lay_patches(picture, known, ~request.memory.known[0], source=source if enough else None)


def lay_patches(
    picture: Float[Tensor, "h w 3"],
    known: Bool[Tensor, "h w"],
    holes: Bool[Tensor, "h w"],
    *,
    source: Bool[Tensor, "h w"] | None = None,
) -> Float[Tensor, "h w 3"]:
    """A picture whose holes are made of patches of the rest.

    Args:
        picture: with its holes filled softly.
        known: what patches are to fit, outside the holes.
        holes: what is replaced; elsewhere the picture is returned as it is.
        source: where patches may be taken from, a part of what is known; default all of it.
    """
    if not holes.any():
        return picture
    known = known & ~holes
    search = None
    for level in reversed(_levels(picture, known, known if source is None else known & source, holes)):
        if level.holes.any() and level.usable.any():
            search = _Search(level, search)
            search.run()
    if search is None or search.level.holes.shape != holes.shape:
        return picture
    return torch.where(holes[..., None], _of_like_hue(search.result(), picture, holes), picture)


def _of_like_hue(
    laid: Float[Tensor, "h w 3"], soft: Float[Tensor, "h w 3"], holes: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w 3"]:
    """Patches whose hue differs from the soft filling's by more than ``OTHER_HUE`` are brought near it: where nothing
    else is left to take, sky would be laid on the ground."""
    apart = _mean_around(soft - laid, holes, max(1.0, AROUND * max(holes.shape)))
    hue = (apart - apart.mean(-1, keepdim=True)).norm(dim=-1, keepdim=True)
    return (laid + apart * (1 - OTHER_HUE / hue.clamp_min(OTHER_HUE))).clamp(0, 1)


@dataclass(frozen=True)
class _Level:
    """A picture of the pyramid."""

    number: int
    """From coarse to fine."""
    picture: Float[Tensor, "h w 3"]
    traits: Float[Tensor, "h w 5"]
    known: Bool[Tensor, "h w"]
    holes: Bool[Tensor, "h w"]
    usable: Bool[Tensor, "h w"]
    """Centres of patches that lie in the source."""


def _levels(
    picture: Float[Tensor, "h w 3"],
    known: Bool[Tensor, "h w"],
    source: Bool[Tensor, "h w"],
    holes: Bool[Tensor, "h w"],
) -> list[_Level]:
    """From fine to coarse, each half as large as the one before."""
    masks = torch.stack([known, holes, source], dim=-1).to(picture)
    pyramid = [torch.cat([picture, masks], dim=-1).permute(2, 0, 1)[None]]
    while len(pyramid) < 2 or max(pyramid[-1].shape[-2:]) > COARSEST:
        pyramid.append(_halved(pyramid[-1]))
    traits = [_traits(*_split(pyramid[1])[:3])]  # they are smooth: half the size is enough
    for _ in pyramid[2:]:
        traits.append(_halved(traits[-1]))
    finest = F.interpolate(traits[0], scale_factor=2, mode="bilinear", align_corners=False)
    traits.insert(0, finest[..., : picture.shape[0], : picture.shape[1]])
    levels = []
    for finer, (maps, surroundings) in enumerate(zip(pyramid, traits, strict=True)):
        image, inside, hole, copied = _split(maps)
        outside = F.pad((~copied).float(), (1, 1, 1, 1), value=1.0)
        usable = window_max(outside, RADIUS)[1:-1, 1:-1] == 0
        coarser = len(pyramid) - 1 - finer
        levels.append(_Level(coarser, image, surroundings[0].permute(1, 2, 0), inside, hole, usable))
    return levels


def _halved(maps: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h2 w2"]:
    odd = (0, maps.shape[-1] % 2, 0, maps.shape[-2] % 2)
    return F.avg_pool2d(F.pad(maps, odd, mode="replicate"), 2)


def _split(
    maps: Float[Tensor, "1 6 h w"],
) -> tuple[Float[Tensor, "h w 3"], Bool[Tensor, "h w"], Bool[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Picture, what is known in all its pixels, what is hole in any, and what is source in all."""
    return maps[0, :3].permute(1, 2, 0), maps[0, 3] > 0.99, maps[0, 4] > 0.01, maps[0, 5] > 0.99


def _traits(
    picture: Float[Tensor, "h w 3"], known: Bool[Tensor, "h w"], holes: Bool[Tensor, "h w"]
) -> Float[Tensor, "1 5 h w"]:
    """What surrounds each pixel at large: brightness, two of hue, roughness, height in the picture.

    In holes brightness and hue are the soft filling's, and roughness is that of the nearest known pixel.
    """
    if not known.any():
        return picture.new_zeros(1, 5, *known.shape)
    sigma = max(1.0, AROUND * max(known.shape))
    smooth = _mean_around(picture, known | holes, sigma)
    bright = smooth.mean(-1, keepdim=True)
    rough = _mean_around((picture - smooth).abs().mean(-1, keepdim=True), known, sigma)
    away, nearest = distance_transform_edt(~known.numpy(), return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    rough = blur_by(rough[nearest[0], nearest[1]], 0.35 * torch.from_numpy(away).float())
    rows = torch.arange(len(known)) / max(known.shape)
    hues = [CHROMA * (smooth[..., :1] - bright), CHROMA * (smooth[..., 2:] - bright)]
    height = HEIGHT * rows[:, None, None].expand_as(bright)
    return torch.cat([bright, *hues, ROUGHNESS * rough, height], dim=-1).permute(2, 0, 1)[None]


def _mean_around(
    values: Float[Tensor, "h w c"], where: Bool[Tensor, "h w"], sigma: float
) -> Float[Tensor, "h w c"]:
    """Blurred, of some pixels alone."""
    weight = where[..., None].to(values)
    maps = blur(torch.cat([values * weight, weight], dim=-1).permute(2, 0, 1)[None], sigma)[0].permute(
        1, 2, 0
    )
    return maps[..., :-1] / maps[..., -1:].clamp_min(1e-4)


class _Search:
    """Matches of all patches that reach into a level's holes, and the picture that they make."""

    def __init__(self, level: _Level, coarser: _Search | None) -> None:
        self.level, self.is_first = level, coarser is None
        height, width = level.holes.shape
        rim = window_max(level.holes.float(), RADIUS) > 0
        self.at, self.hole_at = _pixels(rim), _pixels(level.holes)
        self.index = np.full((height, width), -1, np.int32)
        self.index[self.at[:, 0], self.at[:, 1]] = np.arange(len(self.at))
        self.usable = level.usable.numpy()
        self.traits = ((2 * RADIUS + 1) * LIKENESS**0.5 * level.traits).contiguous().numpy()
        self.picture = np.zeros((height + 2 * RADIUS, width + 2 * RADIUS, CHANNELS), np.float32)
        around = F.pad(level.picture.permute(2, 0, 1)[None], (RADIUS,) * 4, mode="replicate")
        self.picture[..., :3] = around[0].permute(1, 2, 0).numpy()
        away = torch.from_numpy(distance_transform_edt(level.holes.numpy())).float()  # pyright: ignore[reportArgumentType]
        weights = torch.where(level.holes, (INWARDS**-away).clamp_min(0.02), level.known.float())
        self.weights = F.pad(weights, (RADIUS,) * 4).numpy()
        self.trust = weights.numpy()[self.at[:, 0], self.at[:, 1]] + np.float32(0.02)
        self.costs = np.zeros(len(self.at), np.float32)
        self.matches = self._from_coarser(coarser) if coarser else self._by_chance(len(self.at))
        if coarser:
            self._vote(self.trust)

    def _by_chance(self, count: int) -> np.ndarray:
        sources = _pixels(self.level.usable)
        return sources[np.random.default_rng(0).integers(len(sources), size=count)]

    def _from_coarser(self, coarser: _Search) -> np.ndarray:
        """Its matches at twice the size; chance where they are not usable."""
        above = np.minimum(self.at // 2, np.array(coarser.index.shape) - 1)
        number = coarser.index[above[:, 0], above[:, 1]]
        wanted = np.where(number[:, None] >= 0, 2 * coarser.matches[number] + self.at % 2, self.at)
        wanted = np.minimum(wanted, np.array(self.index.shape) - 1)
        lost = ~self.usable[wanted[:, 0], wanted[:, 1]]
        wanted[lost] = self._by_chance(int(lost.sum()))
        return wanted.astype(np.int32)

    def run(self) -> None:
        """Search and vote in turn."""
        rounds = ROUNDS[min(self.level.number, len(ROUNDS) - 1)]
        reach = max(self.index.shape) // (2 if self.is_first else 16)
        for turn in range(rounds):
            start = self.is_first and turn == 0
            searches = (
                FIRST_SEARCH if start else FIRST_SEARCH // 2 if self.is_first else 2 if turn == 0 else 1
            )
            for search in range(searches):
                jump = 2 ** (searches - 1 - search) if self.is_first else 1
                self._improve(jump, max(4, reach), 16 * turn + search, blind=start)
            self._vote(self._shares(1.0))

    def _improve(self, jump: int, reach: int, seed: int, *, blind: bool) -> None:
        """One search; a blind one looks at what is known and not into the holes, where there is fog."""
        weights = self.weights
        if blind:
            weights = np.pad(self.level.known.numpy(), RADIUS).astype(np.float32)
        found = np.empty_like(self.matches)
        run_parallel(
            improve, self.picture, weights, self.traits, self._crowd(), self.usable, self.at, self.index,
            self.matches, found, self.costs, jump, reach, 1000 * self.level.number + seed,
        )  # fmt: skip
        self.matches = found

    def _crowd(self) -> np.ndarray:
        """What is added to the distance from patches that have been chosen more often than others."""
        chosen = np.zeros(self.usable.shape, np.float32)
        np.add.at(chosen, tuple(self.matches.T), np.float32(1))
        chosen = uniform_filter(chosen, 2 * RADIUS + 1, mode="constant")
        alike = max(1.0, len(self.matches) / max(1, self.usable.sum()))
        return np.float32(CROWD * np.median(self.costs)) * np.maximum(chosen / np.float32(alike) - 1, 0)

    def _shares(self, sharp: float) -> np.ndarray:
        """How much each patch counts: patches that fit count more, and those near the rim."""
        usual = max(float(np.quantile(self.costs, 0.75)), 1e-6)
        return self.trust * np.exp(-self.costs * np.float32(sharp / (2 * usual))) + np.float32(1e-12)

    def _vote(self, shares: np.ndarray) -> None:
        rows, columns = (self.hole_at + RADIUS).T
        self.picture[rows, columns, :3] = self._colors(self.hole_at, shares)

    def _colors(self, at: np.ndarray, shares: np.ndarray) -> np.ndarray:
        colors = np.empty((len(at), 3), np.float32)
        run_parallel(vote, self.picture, at, self.index, self.matches, shares.astype(np.float32), colors)
        return colors

    def result(self) -> Float[Tensor, "h w 3"]:
        """The last vote, with what it differs by at the rim of a hole evened out."""
        level = self.level
        voted = level.picture.clone().numpy()
        rows, columns = self.at.T
        voted[rows, columns] = self._colors(self.at, self._shares(SHARP))
        filled, rim = torch.from_numpy(voted), torch.zeros_like(level.known)
        rim[rows, columns] = True
        weight = (rim & level.known)[..., None].float()
        apart = torch.cat([weight * (level.picture - filled), weight], dim=-1).permute(2, 0, 1)[None]
        apart = blur(apart, SEAM * max(level.holes.shape))[0].permute(1, 2, 0)
        return (filled + apart[..., :3] / (apart[..., 3:] + 0.02)).clamp(0, 1)


def _pixels(where: Bool[Tensor, "h w"]) -> np.ndarray:
    """Rows and columns, int32 [n, 2]."""
    return torch.nonzero(where).to(torch.int32).numpy()
