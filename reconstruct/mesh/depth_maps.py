"""What the scene shows from a camera: colour, and how far away the surface is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras
from ..gaussians import Gaussians
from ..rasterize import rasterize
from ..surfels import surface_features, surface_maps

FLAT = 0.3
"""Splats whose shortest axis is this much shorter than the next are discs, on the whole."""
AGREES = 0.05
"""The discs' common plane is believed where it lies within this fraction of the median depth."""
OPAQUE = 0.6
"""Pixels that are less opaque show no surface."""


WHOLE = 0.9
"""Splats are fitted to be right over black: only pixels that are less opaque, at borders, are made brighter."""
WITNESSES = 12
"""Views that are asked about each view's depths."""
SAME = 0.02
"""Depths are the same surface's if they differ by less than this fraction."""


@dataclass(frozen=True)
class DepthMap:
    """One picture of a scene."""

    camera: Cameras
    """A batch of one."""
    color: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"]
    """z; 0 where there is no surface."""


def render_depth_maps(
    gaussians: Gaussians,
    cameras: Sequence[Cameras],
    *,
    on_progress: Callable[[int, int], object] | None = None,
) -> list[DepthMap]:
    """Colour and depth from every camera.

    The median is the depth at which half of the light is gone; unlike the mean it never lies between foreground and
    background. But it is the depth of a splat's centre, so surfaces come in steps: where the splats are discs, the
    plane that they have in common is taken instead, unless it is far from the median.
    """
    axes = gaussians.log_scales.sort(dim=-1).values
    discs = len(gaussians) > 0 and float((axes[:, 0] - axes[:, 1]).exp().median()) < FLAT
    maps = []
    for index, camera in enumerate(cameras):
        with torch.no_grad():
            features = surface_features(gaussians, camera) if discs else None
            seen = rasterize(gaussians, camera, features=features)
        alpha, median = seen.alpha[0], seen.median_depth[0]
        if seen.features is not None:
            plane = surface_maps(seen.features[0], alpha, seen.depth[0], camera).depth
            median = torch.where((plane - median).abs() < AGREES * median, plane, median)
        depth = torch.where(alpha > OPAQUE, median, 0.0)
        color = (seen.color[0] / (alpha / WHOLE).clamp(OPAQUE / WHOLE, 1.0)[..., None]).clamp(0, 1)
        maps.append(DepthMap(camera, color, depth))
        if on_progress:
            on_progress(index + 1, len(cameras))
    return maps


def without_contradictions(maps: Sequence[DepthMap], *, witnesses: int = WITNESSES) -> list[DepthMap]:
    """Take out depths that more views see through than see.

    A pixel's point is looked for in the nearest other views: those that have a surface there confirm it, those that
    see one farther away speak against it, and those from which it is hidden say nothing.

    Args:
        maps: of one scene.
        witnesses: how many other views are asked about each.
    """
    positions = torch.cat([m.camera.positions for m in maps])
    forward = torch.cat([m.camera.forward for m in maps])
    apart = torch.cdist(positions, positions) / torch.cdist(positions, positions).median().clamp_min(1e-9)
    unlike = apart + 2 * (1 - forward @ forward.T)
    unlike.fill_diagonal_(math.inf)
    chosen = unlike.topk(min(witnesses, len(maps) - 1), dim=1, largest=False).indices
    kept = []
    for i, m in enumerate(maps):
        shown = m.depth > 0
        points = m.camera.unproject(m.depth[None])[0][shown]
        balance = torch.ones(len(points), dtype=torch.int32)
        for j in chosen[i].tolist():
            place, z, inside = maps[j].camera.locate(points)
            there = maps[j].depth[place]
            off = (z - there) / there.clamp_min(1e-9)
            seen = inside & (there > 0)
            balance += (seen & (off.abs() < SAME)).int() - (seen & (off < -SAME)).int()
        depth = m.depth.clone()
        depth[shown] = torch.where(balance > 0, m.depth[shown], 0.0)
        kept.append(DepthMap(m.camera, m.color, depth))
    return kept
