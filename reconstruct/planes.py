"""The planes of what a photo shows, continued: where the rays of other cameras meet them.

Floors, walls and table tops go on behind what stands before them and beyond the photo's edges. Each cell of the photo
is taken for a piece of a plane; a ray that shows nothing known meets many of these planes, and most believable are
those that it meets not far from their cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from .cameras import Cameras
from .depth_edges import depth_edges
from .lift import surface_normals
from .windows import window_max

NEAREST, FARTHEST = 0.05, 50.0
"""Depths between which rays may meet planes, in units of the photo's median depth."""
BEFORE = 0.93
"""A plane is not met where the photo shows something further away than this times its depth."""
CELLS = 32
"""Of a photo along its long side, whose planes are continued."""
KNOWN = 0.9
"""Cells of which less is known are no planes."""
RAYS = 64
"""Along the long side of a picture to complete; depth is interpolated between them."""
WIDTH = 0.1
"""Distance from the cell at which a plane is believed a third as much, in parts of the way from the eye to the cell."""


@dataclass(frozen=True)
class Surface:
    """N cells of a photo, in its own camera's frame."""

    points: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]
    """Towards the camera; 0 for cells that are no plane."""
    unit: float
    """Of the points; as made by ``of`` the photo's median depth."""

    @classmethod
    def of(cls, depth: Float[Tensor, "h w"], camera: Cameras, rows: int, columns: int) -> Surface:
        """The means of a photo's pixels in rows x columns cells.

        Args:
            depth: z depth, > 0.
            camera: a batch of one.
            rows: of cells.
            columns: of cells.
        """
        points = camera.unproject(depth[None])[0]
        position = camera.positions[0]
        normals = surface_normals(points, F.normalize(position - points, dim=-1), depth_edges(depth))
        maps = torch.cat([points - position, normals, 1 / depth[..., None]], dim=-1).permute(2, 0, 1)
        cells = F.adaptive_avg_pool2d(maps, (rows, columns))
        unit = float(1 / cells[6].median())
        turn = camera.world_from_cam[0, :3, :3]
        points, normals = (part.flatten(1).T @ turn for part in cells[:6].split(3))
        return cls(points / unit, F.normalize(normals, dim=-1), unit)

    def in_units(self, unit: float) -> Surface:
        """The same in units of another length."""
        return Surface(self.points * (self.unit / unit), self.normals, unit)


@dataclass(frozen=True)
class Hits:
    """Where Q rays meet the planes through N cells of a photo."""

    nearness: Float[Tensor, "q n"]
    """1 / depth."""
    distance: Float[Tensor, "q n"]
    """From the cell to where its plane is met, relative to the depth."""
    valid: Bool[Tensor, "q n"]
    """Met from the front, and not before what the photo shows."""


def hit_planes(
    rays: Float[Tensor, "q 3"],
    origin: Float[Tensor, "3"],
    surface: Surface,
    shown: Float[Tensor, "r c"],
    camera: Cameras,
) -> Hits:
    """All rays of one origin with all planes.

    Args:
        rays: directions; depth is counted in their length.
        origin: of all rays.
        surface: whose planes are met, in the frame of rays and origin.
        shown: the photo's z depth in cells, before which no plane is met.
        camera: of the photo.
    """
    away = origin - surface.points
    ahead = -(away * surface.normals).sum(-1)
    facing = rays @ surface.normals.T
    facing = torch.where(facing.abs() < 1e-3, 1e-3, facing)
    nearness = facing / ahead
    in_front = (nearness > 0) & (nearness < 1 / NEAREST) & (facing < 0)
    nearness = torch.where(nearness > 0, nearness, 1 / NEAREST).clamp_(1 / FARTHEST, 1 / NEAREST)
    # |origin + depth * ray - point| / depth, without a tensor of points
    distance = nearness * away.square().sum(-1) + 2 * (rays @ away.T)
    distance = (distance.mul_(nearness) + rays.square().sum(-1, keepdim=True)).clamp_(min=0).sqrt_()
    focal = camera.intrinsics[0].diagonal()[:2].tolist()
    size, center = (camera.width, camera.height), camera.intrinsics[0, :2, 2].tolist()
    rows, columns = shown.shape
    z = torch.addcmul(rays[:, 2:], nearness, origin[2])
    inside, place = z > 0, []
    for axis in (0, 1):
        across = torch.addcmul(rays[:, axis, None], nearness, origin[axis]) / z
        across = across.mul_(focal[axis] / size[axis]).add_(center[axis] / size[axis])
        inside &= (across > 0) & (across < 1)
        place.append(across.nan_to_num_(0.0).clamp_(0, 0.999))
    cells = place[1].mul_(rows).int() * columns + place[0].mul_(columns).int()
    before = shown.flatten().index_select(0, cells.flatten()).view_as(z)
    return Hits(nearness, distance, in_front & ~(inside & (z < BEFORE * before * nearness)))


@dataclass(frozen=True)
class PhotoPlanes:
    """A photo as planes to go on."""

    depth: Float[Tensor, "h w"]
    """z depth of its pixels, 0 where it is unknown."""
    surface: Surface
    shown: Float[Tensor, "r c"]
    """z depth of its cells, in the surface's units."""
    camera: Cameras
    """A batch of one."""

    @classmethod
    def of(cls, depth: Float[Tensor, "h w"], camera: Cameras) -> PhotoPlanes:
        """Those of a photo with this z depth."""
        cells, known = _grid(camera, CELLS), depth > 0
        farthest = depth.max() if known.any() else depth.new_ones(())
        surface = Surface.of(torch.where(known, depth, farthest), camera, *cells)
        trusted = F.adaptive_avg_pool2d(known[None].to(depth), cells)[0] > KNOWN
        shown = torch.where(trusted, surface.points[:, 2].view(cells), 0.0)
        normals = surface.normals * trusted.flatten()[:, None]  # without a normal a plane is met nowhere
        return cls(depth, replace(surface, normals=normals), shown, camera)


def continued_depth(holes: Bool[Tensor, "h w"], camera: Cameras, planes: PhotoPlanes) -> Float[Tensor, "h w"]:
    """Depth at which a picture's holes show the planes of a photo; 0 outside the holes and where no plane is met.

    Of all planes that a ray meets, weighted by how near to their cells, the median depth.

    Args:
        holes: what the picture knows nothing of.
        camera: of the picture, a batch of one.
        planes: of the photo.
    """
    rows, columns = _grid(camera, RAYS)
    share = F.adaptive_avg_pool2d(holes[None].float(), (rows, columns))[0]
    asked = window_max(share, 1) > 0
    if not asked.any():
        return share.new_zeros(holes.shape)
    surface = planes.surface
    photo_from_world = torch.linalg.inv(planes.camera.world_from_cam[0])
    turn = photo_from_world[:3, :3]
    rays = camera.resized(columns, rows).rays()[1][0][asked] @ turn.T
    origin = (turn @ camera.positions[0] + photo_from_world[:3, 3]) / surface.unit
    hits = hit_planes(rays, origin, surface, planes.shown, planes.camera)
    way = (surface.points - origin).norm(dim=-1)
    logits = torch.where(hits.valid, -hits.distance / (hits.nearness * way * WIDTH), -torch.inf)
    met = hits.valid.any(-1)
    maps = surface.points.new_zeros(2, rows, columns)
    maps[0, asked] = torch.where(met, _weighted_median(hits.nearness, logits.softmax(-1)), 0.0)
    maps[1, asked] = met.float()
    nearness, known = F.interpolate(maps[None], holes.shape, mode="bilinear", align_corners=False)[0]
    return torch.where(holes & (known > 0), surface.unit * known / nearness.clamp_min(1e-9), 0.0)


def _weighted_median(values: Float[Tensor, "q n"], weights: Float[Tensor, "q n"]) -> Float[Tensor, "q"]:
    ordered = values.sort(dim=-1)
    below = (weights.gather(-1, ordered.indices).cumsum(-1) < 0.5).sum(-1, keepdim=True)
    return ordered.values.gather(-1, below.clamp(max=values.shape[-1] - 1))[..., 0]


def _grid(camera: Cameras, long_side: int) -> tuple[int, int]:
    """Rows and columns of cells, ``long_side`` along the long side."""
    scale = long_side / max(camera.width, camera.height)
    return max(1, round(camera.height * scale)), max(1, round(camera.width * scale))
