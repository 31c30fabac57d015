"""Splats as pieces of surface: each is a disc across its shortest axis, and a pixel sees the discs' common plane.

Blending the discs' normals and distances from the camera, and intersecting the pixel's ray with the blended plane,
gives depth without the steps of splats' centres. Source: Chen et al., PGSR: Planar-based Gaussian Splatting (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .cameras import Cameras
from .gaussians import Gaussians, rotation_from_wxyz

CHANNELS = 5
"""Of ``surface_features``."""
GRAZING = 0.1
"""Cosine between ray and normal below which a plane's depth says nothing."""


@dataclass(frozen=True)
class SurfaceMaps:
    """What the pixels of one camera see of the discs."""

    normals: Float[Tensor, "h w 3"]
    """Unit vectors in the world, towards the camera; 0 where nothing is seen."""
    depth: Float[Tensor, "h w"]
    """z of the blended plane; 0 where there is none or it is seen at a grazing angle."""
    variance: Float[Tensor, "h w"]
    """Of the depths of the splats that make the pixel, relative to the squared depth, times alpha squared."""


def disc_normals(gaussians: Gaussians) -> Float[Tensor, "n 3"]:
    """The direction of each splat's shortest axis; its sign means nothing."""
    shortest = gaussians.log_scales.detach().argmin(-1)
    rotation = rotation_from_wxyz(gaussians.quats)
    return rotation.gather(-1, shortest[:, None, None].expand(-1, 3, 1))[..., 0]


def surface_features(gaussians: Gaussians, camera: Cameras) -> Float[Tensor, "n 5"]:
    """What to blend: normals towards the camera, the planes' distances from it, and squared z.

    Args:
        gaussians: splats.
        camera: a batch of one.
    """
    offset = gaussians.means - camera.positions[0]
    normals = disc_normals(gaussians)
    distance = (normals * offset).sum(-1, keepdim=True)
    sign = torch.where(distance.detach() > 0, -1.0, 1.0)
    z = (offset * camera.forward[0]).sum(-1, keepdim=True)
    return torch.cat([normals * sign, distance * sign, z.square()], dim=-1)


def surface_maps(
    features: Float[Tensor, "h w 5"],
    alpha: Float[Tensor, "h w"],
    depth: Float[Tensor, "h w"],
    camera: Cameras,
) -> SurfaceMaps:
    """Normals and plane depth from blended features; differentiable.

    Args:
        features: rendered ``surface_features``.
        alpha: rendered.
        depth: the rendered mean depth.
        camera: a batch of one.
    """
    directions = camera.rays()[1][0]
    normal_sum, distance = features[..., :3], features[..., 3]
    length = normal_sum.norm(dim=-1)
    along = (normal_sum * directions).sum(-1)
    usable = (alpha > 0.1) & (-along > GRAZING * length * directions.norm(dim=-1)) & (distance < 0)
    plane = torch.where(usable, distance / torch.where(usable, along, -1.0), 0.0)
    variance = alpha * features[..., 4] - (alpha * depth).square()
    relative = torch.where(alpha > 0.1, variance / depth.detach().clamp_min(1e-6).square(), 0.0)
    return SurfaceMaps(normal_sum / length.clamp_min(1e-6)[..., None], plane, relative.clamp_min(0))


def normals_from_depth(
    depth: Float[Tensor, "h w"], camera: Cameras, *, jump: float = 0.05
) -> Float[Tensor, "h w 3"]:
    """Unit normals towards the camera by central differences; 0 at borders, gaps and steps in depth.

    Args:
        depth: z; 0 where it is not known.
        camera: a batch of one.
        jump: neighbours whose depths differ by more than this fraction lie on different surfaces.
    """
    points = depth[..., None] * camera.rays()[1][0]
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    cross = torch.linalg.cross(down, across)
    with torch.no_grad():
        ring = torch.stack([depth[1:-1, 2:], depth[1:-1, :-2], depth[2:, 1:-1], depth[:-2, 1:-1]])
        smooth = (ring.amin(0) > 0) & (ring.amax(0) - ring.amin(0) < jump * depth[1:-1, 1:-1])
    normals = cross / cross.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    inner = torch.where(smooth[..., None], normals, 0.0)
    return torch.nn.functional.pad(inner.permute(2, 0, 1), (1, 1, 1, 1)).permute(1, 2, 0)
