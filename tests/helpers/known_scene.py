"""A textured room with a ball and a crate in it, whose surfaces are known exactly: what meshes are measured on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cosmorama.reconstruct.cameras import Cameras, focal_px_from_fov, look_at, pinhole_intrinsics
from cosmorama.reconstruct.gaussians import Gaussians, wxyz_from_rotation
from cosmorama.reconstruct.spherical_harmonics import sh_from_rgb

ROOM = torch.tensor([2.0, 1.25, 2.0])
"""Half sizes of the room; y points down, its floor is y = 1.25."""
BALL, RADIUS = torch.tensor([-0.55, 0.7, 0.25]), 0.55
CRATE, CRATE_HALF = torch.tensor([0.6, 0.85, -0.2]), torch.tensor([0.35, 0.4, 0.3])
DIAMETER = float(2 * ROOM.norm())


def distance(points: Tensor) -> Tensor:
    """Distance [n] to the nearest surface."""
    room = (
        (ROOM - points.abs())
        .abs()
        .amin(-1)
        .where((points.abs() <= ROOM).all(-1), (points.abs() - ROOM).clamp_min(0).norm(dim=-1))
    )
    ball = ((points - BALL).norm(dim=-1) - RADIUS).abs()
    q = (points - CRATE).abs() - CRATE_HALF
    crate = (q.clamp_min(0).norm(dim=-1) + q.amax(-1).clamp_max(0)).abs()
    return torch.stack([room, ball, crate]).amin(0)


_generator = torch.Generator().manual_seed(5)
_WAVES = torch.randn(48, 3, generator=_generator) * torch.logspace(math.log10(3), math.log10(22), 48)[:, None]
_PHASES = 2 * math.pi * torch.rand(48, generator=_generator)


def color(points: Tensor) -> Tensor:
    """Texture [n, 3] at surface points: soft blotches that do not repeat, in colours that change slowly."""
    slow = 0.5 + 0.3 * torch.sin(points * torch.tensor([1.7, 2.3, 1.3]) + torch.tensor([0.0, 1.0, 2.0]))
    blotches = torch.tanh(1.5 * torch.sin(points @ _WAVES.T + _PHASES).sum(-1, keepdim=True) / math.sqrt(24))
    return (slow.roll(1, -1) * (0.72 + 0.28 * blotches)).clamp(0, 1)


def intersect(origins: Tensor, directions: Tensor) -> Tensor:
    """The ray parameter [n] of the first surface that a ray from inside the room meets."""
    walls = ((ROOM * directions.sign() - origins) / directions).amin(-1)
    to_ball = origins - BALL
    a, b = directions.square().sum(-1), (to_ball * directions).sum(-1)
    root = b * b - a * (to_ball.square().sum(-1) - RADIUS**2)
    ball = (-b - root.clamp_min(0).sqrt()) / a
    ball = torch.where((root > 0) & (ball > 0), ball, math.inf)
    near = (CRATE - origins - CRATE_HALF * directions.sign()) / directions
    far = (CRATE - origins + CRATE_HALF * directions.sign()) / directions
    enters, leaves = near.amax(-1), far.amin(-1)
    crate = torch.where((enters < leaves) & (enters > 0), enters, math.inf)
    return torch.stack([walls, ball, crate]).amin(0)


def cameras(count: int = 24, width: int = 160, height: int = 120) -> Cameras:
    """Inside the room: two rings, low and high, that look at what stands in the middle, and a third that looks across
    the room at walls and ceiling."""
    poses = []
    for i in range(count):
        ring = i * 3 // count
        angle = 2 * math.pi * i / count * 3 + 0.26 * ring
        way = torch.tensor([math.sin(angle), 0.0, math.cos(angle)])
        down = torch.tensor([0.0, 1.0, 0.0])
        if ring < 2:
            poses.append(look_at(1.75 * way + (0.3, -0.8)[ring] * down, (0.9, 0.5)[ring] * down))
        else:
            poses.append(look_at(-1.5 * way, 2 * way - 0.4 * down))
    k = pinhole_intrinsics(focal_px_from_fov(90.0, width), width, height)
    return Cameras(torch.stack(poses), k.expand(count, 3, 3).contiguous(), width, height)


def photos(views: Cameras, *, samples: int = 2) -> tuple[Tensor, Tensor]:
    """Images [c, h, w, 3], averaged over samples x samples rays a pixel, and exact depth [c, h, w]."""
    fine = views.resized(views.width * samples, views.height * samples)
    images = []
    for camera in fine:
        origins, directions = (rays[0].reshape(-1, 3) for rays in camera.rays())
        hit = origins + intersect(origins, directions)[:, None] * directions
        images.append(color(hit).view(views.height, samples, views.width, samples, 3).mean((1, 3)))
    depths = [intersect(*(r.reshape(-1, 3) for r in camera.rays())) for camera in views]
    return torch.stack(images), torch.stack(depths).view(len(views), views.height, views.width)


def surface_points(count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Points spread evenly over all surfaces that can be seen, and their normals towards the free space."""
    u = torch.rand(4 * count, 3, generator=generator) * 2 - 1
    axis = torch.arange(4 * count) % 3
    parts, normals = [], []
    for half, centre, sign in ((ROOM, torch.zeros(3), -1.0), (CRATE_HALF, CRATE, 1.0)):
        area = torch.stack([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
        keep = torch.rand(len(u), generator=generator) < (area / (ROOM[0] * ROOM[2]))[axis]
        side = torch.zeros_like(u).scatter(1, axis[:, None], u.gather(1, axis[:, None]).sign())
        on = torch.where(side != 0, side, u) * half + centre
        parts.append(on[keep])
        normals.append(sign * side[keep])
    n_ball = round(len(u) / 3 * math.pi * RADIUS**2 / 2 / float(ROOM[0] * ROOM[2]))
    way = torch.nn.functional.normalize(torch.randn(n_ball, 3, generator=generator), dim=-1)
    parts.append(BALL + RADIUS * way)
    normals.append(way)
    points, normal = torch.cat(parts), torch.cat(normals)
    touches = (points[:, 1] > ROOM[1] - 1e-4) & ((points - CRATE).abs() < CRATE_HALF + 1e-3)[:, [0, 2]].all(
        -1
    )
    points, normal = points[~touches], normal[~touches]
    chosen = torch.randperm(len(points), generator=generator)[:count]
    return points[chosen], normal[chosen]


def exact_splats(count: int = 20_000) -> Gaussians:
    """Flat discs that lie on the surfaces."""
    generator = torch.Generator().manual_seed(0)
    points, normals = surface_points(count, generator)
    helper = torch.nn.functional.one_hot(normals.abs().argmin(-1), 3).to(normals)
    tangent = torch.nn.functional.normalize(torch.linalg.cross(normals, helper), dim=-1)
    rotation = torch.stack([tangent, torch.linalg.cross(normals, tangent), normals], dim=-1)
    spacing = math.sqrt(8 * float(ROOM[0] * ROOM[1] + ROOM[1] * ROOM[2] + ROOM[0] * ROOM[2]) / len(points))
    scales = spacing * torch.tensor([0.7, 0.7, 0.05]).expand(len(points), 3)
    logits = torch.full((len(points),), 3.0)
    return Gaussians(
        points, wxyz_from_rotation(rotation), scales.log(), logits, sh_from_rgb(color(points))[:, None]
    )
