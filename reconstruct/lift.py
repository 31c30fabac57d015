"""Lift the pixels of a picture with known depth into splats: flat discs that lie on the surface they show."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from .cameras import Cameras
from .depth_edges import depth_edges
from .gaussians import Gaussians, wxyz_from_rotation
from .spherical_harmonics import sh_from_rgb
from .windows import window_max

SIGMA_PX = 0.55
"""Standard deviation of a splat in pixels of the picture: neighbours overlap, texture stays sharp."""
MAX_STRETCH = 4.0
"""Where depth is estimated, more would be rubber."""
THICKNESS = 0.15
"""Standard deviation along the normal, relative to that across the disc."""


def lift(
    image: Float[Tensor, "h w 3"],
    depth: Float[Tensor, "h w"],
    camera: Cameras,
    *,
    mask: Bool[Tensor, "h w"] | None = None,
    opacity: float = 0.96,
    sigma_px: float = SIGMA_PX,
    max_stretch: float = MAX_STRETCH,
) -> Gaussians:
    """One splat per pixel.

    At depth edges discs face the camera and are not stretched, so nothing spans from foreground to background.

    Args:
        image: colours.
        depth: z depth, > 0.
        camera: a batch of one, of the picture's size.
        mask: pixels to lift; default all.
        opacity: of every splat.
        sigma_px: standard deviation of a splat in pixels; wider ones are softer, and closed when seen from near.
        max_stretch: length of a disc seen at a grazing angle, relative to its width, at most.
    """
    mask = torch.ones_like(depth, dtype=torch.bool) if mask is None else mask
    points = camera.unproject(depth[None])[0]
    toward_camera = F.normalize(camera.positions[0] - points, dim=-1)
    normals = surface_normals(points, toward_camera, depth_edges(depth))
    points, normals, toward = points[mask], normals[mask], toward_camera[mask]
    footprint = (depth[mask] / camera.intrinsics[0, 0, 0])[:, None]
    cosine = (normals * toward).sum(-1, keepdim=True)
    tilt = F.normalize(toward - cosine * normals + 1e-9 * _any_tangent(normals), dim=-1)
    across = torch.linalg.cross(normals, tilt)
    stretch = 1.0 / cosine.clamp_min(1.0 / max_stretch)
    rotation = torch.stack([tilt, across, normals], dim=-1)
    ones = torch.ones_like(stretch)
    scales = sigma_px * footprint * torch.cat([stretch, ones, THICKNESS * ones], dim=-1)
    logits = torch.logit(points.new_full((len(points),), opacity))
    return Gaussians(
        points, wxyz_from_rotation(rotation), scales.log(), logits, sh_from_rgb(image[mask])[:, None]
    )


def surface_normals(
    points: Float[Tensor, "h w 3"], toward_camera: Float[Tensor, "h w 3"], edges: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w 3"]:
    """Unit normals towards the camera from central differences; at edges they point at the camera."""
    padded = _channels_last(F.pad(points.permute(2, 0, 1)[None], (1, 1, 1, 1), mode="replicate"))
    across, down = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    normals = F.normalize(torch.linalg.cross(down, across), dim=-1)
    smooth = _channels_last(F.avg_pool2d(normals.permute(2, 0, 1)[None], 3, 1, 1, count_include_pad=False))
    normals = F.normalize(smooth, dim=-1)
    normals = torch.where((normals * toward_camera).sum(-1, keepdim=True) < 0, -normals, normals)
    near_edge = window_max(edges.float(), 1) > 0
    return torch.where(near_edge[..., None], toward_camera, normals)


def _channels_last(maps: Float[Tensor, "1 c h w"]) -> Float[Tensor, "h w c"]:
    """In memory, too: norms along an axis of three that is not the last there take forty times as long."""
    return maps[0].permute(1, 2, 0).contiguous()


def _any_tangent(normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Some direction across each normal, for discs that face the camera exactly."""
    axis = F.one_hot(normals.abs().argmin(-1), 3).to(normals)
    return torch.linalg.cross(normals, axis)
