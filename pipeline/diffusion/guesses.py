"""Guesses of what lies where the scene shows nothing: colours seen elsewhere, and the geometry that speaks for each.

Unseen pixels mostly show more of what the photo shows: floors, walls and ceilings go on, and what lies beyond the frame
resembles what lies at the same height within it. Each *guess* continues the known colours by one fixed rule; the
*geometry* maps say how far away, how steep and how well supported things are there. Nothing here is learned; which
guess to believe where is, see ``filling.py``. Maps have one cell per latent (8 x 8 pixels).

Angles are in the photo's camera's frame (x right, y down, z forward) and lengths in units of the photo's median depth,
so that turning, moving or rescaling the world changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras
from ...reconstruct.depth_completion import background_support
from ...reconstruct.planes import Surface
from ..generators import Memory
from ..latents.codec import CELL
from .memory import pull_push
from .plane_guesses import PLANE_WIDTHS, plane_votes

FINE = 4
"""Pixels along the side of what is averaged first: half a cell."""
DIRECTION_KERNELS = ((0.04, 0.1), (0.04, 0.6), (0.1, 0.2), (0.1, 1.0), (0.25, 0.25), (0.25, 1.0))
"""Widths in radians (up and down, sideways) over which the photo's colours are averaged."""
PARALLAX_WIDTHS = (0.05, 0.15)
COLORS = (
    *("smooth", "plain", "photo", "view", "above", "below", "left", "right", "near", "wide"),
    *(f"direction{i}" for i in range(len(DIRECTION_KERNELS))),
    *(f"parallax{i}" for i in range(len(PARALLAX_WIDTHS))),
    *(f"plane{i}" for i in range(len(PLANE_WIDTHS))),
    *("upright", "level", "nearest"),
)
"""Names of the guesses. The first is the memory itself, with its holes filled by ``fill_memory``'s rule."""


@dataclass(frozen=True)
class Source:
    """A photo in space, from which unseen places are guessed."""

    image: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"]
    """z depth, > 0."""
    camera: Cameras
    """A batch of one."""

    @classmethod
    def of(cls, image: Float[Tensor, "h w 3"], depth: Float[Tensor, "h w"], camera: Cameras) -> Source:
        """With unknown depth, 0, taken for the largest that is known."""
        known = depth > 0
        farthest = depth.max() if known.any() else depth.new_ones(())
        return cls(image, torch.where(known, depth, farthest), camera)


@dataclass(frozen=True)
class Guesses:
    """For V views of H x W cells."""

    colors: Float[Tensor, "v k 3 h w"]
    """In the order of ``COLORS``."""
    geometry: Float[Tensor, "v g h w"]
    names: tuple[str, ...]
    """Of the geometry maps; those that end in ``_x`` change their sign in a mirror."""

    def mirrored(self) -> Guesses:
        """What would have been guessed in a mirrored world."""
        swap = {"left": "right", "right": "left"}
        colors = [COLORS.index(swap.get(name, name)) for name in COLORS]
        maps = [self.names.index(swap.get(name, name)) for name in self.names]
        signs = self.geometry.new_tensor([-1.0 if name.endswith("_x") else 1.0 for name in self.names])
        geometry = self.geometry[:, maps] * signs[:, None, None]
        return Guesses(self.colors[:, colors].flip(-1), geometry.flip(-1), self.names)


@dataclass
class _Maps:
    """Collects what becomes ``Guesses``."""

    colors: dict[str, Tensor] = field(default_factory=dict)
    geometry: dict[str, Tensor] = field(default_factory=dict)

    def add_geometry(self, names: str, maps: Tensor) -> None:
        for name, value in zip(names.split(), maps.unbind(1), strict=True):
            self.geometry[name] = value


@torch.no_grad()
def guess(memory: Memory, cameras: Cameras, source: Source) -> Guesses:
    """Guesses for some views.

    Args:
        memory: what the scene shows from them; height and width are multiples of 8.
        cameras: of the views.
        source: of the same size as the views.
    """
    maps = _Maps()
    seen = _averages(memory)
    fine = _Photo.of(source, FINE)
    scale = fine.surface.unit
    coarse = _Photo.of(source, CELL).in_units(scale)
    photo_from_world = torch.linalg.inv(source.camera.world_from_cam[0])
    turn = photo_from_world[:3, :3]
    small = cameras.resized(cameras.width // CELL, cameras.height // CELL)
    _, directions = small.rays()
    directions = (directions @ turn.T).flatten(1, 2)
    origins = (cameras.positions @ turn.T + photo_from_world[:3, 3]) / scale
    inverse = _guess_within(maps, seen, coarse.colors.mean(0)) * scale
    _guess_by_direction(maps, directions, origins, coarse, source.camera)
    _guess_by_planes(maps, directions, origins, fine, coarse, source.camera)
    _describe(maps, seen, inverse, directions, origins, source.camera)
    return Guesses(
        torch.stack([maps.colors[name] for name in COLORS], dim=1),
        torch.stack(list(maps.geometry.values()), dim=1),
        tuple(maps.geometry),
    )


@dataclass(frozen=True)
class _Averages:
    """Of the memory, over half cells, times how much of each is known."""

    known: Float[Tensor, "v 1 h w"]
    values: Float[Tensor, "v 4 h w"]
    """Colour and inverse depth."""
    background: Float[Tensor, "v 1 h w"]
    background_values: Float[Tensor, "v 4 h w"]


def _averages(memory: Memory) -> _Averages:
    known = memory.known
    support = [
        background_support(depth, mask) if mask.any() and not mask.all() else mask
        for depth, mask in zip(memory.depth, known, strict=True)
    ]
    inverse = torch.where(known, 1 / memory.depth.clamp(min=1e-6), 0.0)
    values = torch.cat([memory.color, inverse[..., None]], dim=-1).permute(0, 3, 1, 2)
    weights = torch.stack([known, torch.stack(support)], dim=1).float()
    pooled = F.avg_pool2d(torch.cat([weights, values * weights[:, :1], values * weights[:, 1:]], dim=1), FINE)
    return _Averages(pooled[:, :1], pooled[:, 2:6], pooled[:, 1:2], pooled[:, 6:])


@dataclass(frozen=True)
class _Photo:
    """The photo in cells of one size."""

    colors: Float[Tensor, "n 3"]
    surface: Surface

    @classmethod
    def of(cls, source: Source, cell: int) -> _Photo:
        rows, columns = source.depth.shape[0] // cell, source.depth.shape[1] // cell
        colors = F.adaptive_avg_pool2d(source.image.permute(2, 0, 1), (rows, columns))
        return cls(colors.flatten(1).T, Surface.of(source.depth, source.camera, rows, columns))

    def in_units(self, unit: float) -> _Photo:
        return _Photo(self.colors, self.surface.in_units(unit))


def _guess_within(maps: _Maps, seen: _Averages, photo: Float[Tensor, "3"]) -> Float[Tensor, "v 1 h w"]:
    """Continue what the view itself knows; returns the inverse depth, filled likewise."""
    cell = CELL // FINE
    hidden = 1 - seen.known
    background = seen.background_values / seen.background.clamp(min=1e-3) * (seen.background > 0)
    smooth = seen.values + hidden * pull_push(background, seen.background)
    everything = seen.values / seen.known.clamp(min=1e-3) * (seen.known > 0)
    plain = seen.values + hidden * pull_push(everything, seen.known)
    smooth, plain = F.avg_pool2d(smooth, cell), F.avg_pool2d(plain, cell)
    maps.colors["smooth"], maps.colors["plain"] = smooth[:, :3], plain[:, :3]
    maps.colors["photo"] = photo[:, None, None].expand_as(smooth[:, :3])
    count = seen.known.sum((2, 3), keepdim=True)
    mean = seen.values[:, :3].sum((2, 3), keepdim=True) / count.clamp(min=1)
    maps.colors["view"] = torch.where(count > 8, mean, maps.colors["photo"])
    colors, weight = F.avg_pool2d(seen.background_values[:, :3], cell), F.avg_pool2d(seen.background, cell)
    for name, dim, reverse in (("above", 2, 0), ("below", 2, 1), ("left", 3, 0), ("right", 3, 1)):
        found, distance = _march(colors, weight, dim, reverse=bool(reverse))
        maps.colors[name] = torch.where(distance < colors.shape[dim], found, smooth[:, :3])
        maps.add_geometry(name, distance / 16)
    for name, radius in (("near", 3), ("wide", 7)):
        total = F.avg_pool2d(colors, 2 * radius + 1, 1, radius)
        share = F.avg_pool2d(weight, 2 * radius + 1, 1, radius)
        maps.colors[name] = torch.where(share > 3e-3, total / share.clamp(min=1e-3), smooth[:, :3])
        maps.add_geometry(f"{name}_share", share)
    return smooth[:, 3:]


def _march(
    colors: Float[Tensor, "v 3 h w"], weight: Float[Tensor, "v 1 h w"], dim: int, *, reverse: bool
) -> tuple[Float[Tensor, "v 3 h w"], Float[Tensor, "v 1 h w"]]:
    """Colour of the known cells last passed on the way along a dimension (the last counts most), and their distance."""
    if reverse:
        colors, weight = colors.flip(dim), weight.flip(dim)
    length = colors.shape[dim]
    carried = torch.zeros_like(colors.select(dim, 0))
    distance = torch.full_like(weight.select(dim, 0), length)
    found, distances = [], []
    for color, share in zip(colors.unbind(dim), weight.unbind(dim), strict=True):
        here = color / share.clamp(min=1e-3)
        mixed = 0.6 * here + 0.4 * torch.where(distance < length, carried, here)
        carried = torch.where(share > 0.3, mixed, carried)
        distance = torch.where(share > 0.3, 0.0, (distance + 1).clamp(max=length))
        found.append(carried)
        distances.append(distance)
    out = torch.stack(found, dim), torch.stack(distances, dim)
    return (out[0].flip(dim), out[1].flip(dim)) if reverse else out


def _guess_by_direction(
    maps: _Maps, directions: Tensor, origins: Tensor, photo: _Photo, camera: Cameras
) -> None:
    """What the photo shows in about the same direction: from its own place, and from each view's."""
    rows, columns = maps.colors["smooth"].shape[-2:]
    azimuth, elevation = _angles(directions)
    pose = torch.eye(4, device=directions.device)[None]
    identity = Cameras(pose, camera.intrinsics, camera.width, camera.height)
    own_azimuth, own_elevation = _angles(identity.resized(columns, rows).rays()[1][0].flatten(0, 1))
    sideways, up = azimuth[..., None] - own_azimuth, elevation[..., None] - own_elevation
    for i, (height, width) in enumerate(DIRECTION_KERNELS):
        weights = torch.softmax(-(up / height).square() - (sideways / width).abs(), dim=-1)
        maps.colors[f"direction{i}"] = _as_maps(weights @ photo.colors, rows)
    seen_azimuth, seen_elevation = _angles(photo.surface.points - origins[:, None])
    sideways, up = azimuth[..., None] - seen_azimuth[:, None], elevation[..., None] - seen_elevation[:, None]
    angle = (sideways.square() + up.square()).sqrt()
    for i, width in enumerate(PARALLAX_WIDTHS):
        maps.colors[f"parallax{i}"] = _as_maps(torch.softmax(-angle / width, dim=-1) @ photo.colors, rows)
    maps.add_geometry("angle", _as_maps(angle.amin(-1, keepdim=True), rows))


def _guess_by_planes(
    maps: _Maps, directions: Tensor, origins: Tensor, photo: _Photo, coarse: _Photo, camera: Cameras
) -> None:
    """Each cell of the photo goes on as a plane; the colours of those that a ray meets not far from their cells."""
    rows = maps.colors["smooth"].shape[-2]
    shown = coarse.surface.points[:, 2].view(rows, -1)
    colors, geometry = plane_votes(directions, origins, photo.surface, photo.colors, shown, camera)
    for name, values in colors.items():
        maps.colors[name] = _as_maps(values, rows)
    for name, values in geometry.items():
        maps.add_geometry(name, _as_maps(values, rows))


def _describe(
    maps: _Maps, seen: _Averages, inverse: Tensor, directions: Tensor, origins: Tensor, camera: Cameras
) -> None:
    """Where in the picture, where in the photo, in which direction and how far away each cell is."""
    rows, columns = inverse.shape[-2:]
    azimuth, elevation = _angles(directions)
    maps.add_geometry("hidden", F.avg_pool2d(1 - seen.known, CELL // FINE) * 2 - 1)
    maps.add_geometry("inverse", inverse.clamp(0, 10))
    maps.add_geometry("elevation azimuth_x", _as_maps(torch.stack([elevation, azimuth], dim=-1), rows))
    maps.add_geometry("ray_x ray_y ray_z", _as_maps(F.normalize(directions, dim=-1), rows))
    maps.add_geometry("eye_x eye_y eye_z", origins[:, :, None, None].expand(-1, 3, rows, columns))
    depth = 1 / inverse.clamp(min=0.02).flatten(1)[..., None]
    points = origins[:, None] + depth * directions
    half = points.new_tensor([camera.width / 2, camera.height / 2])
    focal = camera.intrinsics[0].diagonal()[:2]
    place = (points[..., :2] / points[..., 2:].clamp(min=1e-2) * focal / half).clamp(-3, 3)
    maps.add_geometry("photo_x photo_y", _as_maps(place, rows))
    y = torch.linspace(-1, 1, rows, device=points.device)[:, None].expand(rows, columns)
    x = torch.linspace(-1, 1, columns, device=points.device).expand(rows, columns)
    maps.add_geometry("row column_x", torch.stack([y, x]).expand(len(origins), 2, rows, columns))


def _angles(directions: Float[Tensor, "*n 3"]) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """Azimuth to the right and elevation downwards, in radians."""
    unit = F.normalize(directions, dim=-1)
    return torch.atan2(unit[..., 0], unit[..., 2]), torch.asin(unit[..., 1].clamp(-1, 1))


def _as_maps(values: Float[Tensor, "v n c"], rows: int) -> Float[Tensor, "v c h w"]:
    return values.transpose(1, 2).unflatten(2, (rows, -1))
