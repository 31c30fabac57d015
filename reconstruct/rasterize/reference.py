"""The reference renderer: plain torch, differentiable by autograd, the meaning of every option.

Every splat is evaluated at every pixel, so memory grows as pixels x splats: meant for small images and for tests.
Works in the precision of its input (tests use float64).

Source: Kerbl et al., 3D Gaussian Splatting (2023); Zwicker et al., EWA Splatting (2002) for the projection; Yu et
al., Mip-Splatting (2024) for the opacity compensation. Constants and conventions are those of gsplat 1.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..cameras import Cameras
from ..gaussians import Gaussians
from ..spherical_harmonics import eval_sh
from .constants import BLUR, MAX_ALPHA, MAX_EXTENT, MIN_ALPHA, MIN_TRANSMITTANCE, VIEW_MARGIN


@dataclass(frozen=True)
class Projected:
    """Splats on the image planes of C cameras."""

    means2d: Float[Tensor, "c n 2"]
    """Centres in pixels."""
    conics: Float[Tensor, "c n 3"]
    """Inverse covariances: xx, xy, yy."""
    opacities: Float[Tensor, "c n"]
    """After compensation, if anti-aliased."""
    depths: Float[Tensor, "c n"]
    """z in the camera."""
    radii: Int[Tensor, "c n 2"]
    """Half sizes of the bounding boxes in pixels; 0 for splats that cannot be seen."""

    @property
    def visible(self) -> Bool[Tensor, "c n"]:
        """Which splats can be seen at all."""
        return (self.radii > 0).all(-1)


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    features: Float[Tensor, "n f"],
    sh_degree: int | None,
    antialiased: bool,
    near: float,
    far: float,
) -> tuple[
    Float[Tensor, "c h w 3"],
    Float[Tensor, "c h w"],
    Float[Tensor, "c h w"],
    Float[Tensor, "c h w"],
    Float[Tensor, "c h w f"],
    Projected,
]:
    """Colour, alpha, sum of weight times depth, median depth, features; all over black, and the projection."""
    projected = project(gaussians, cameras, antialiased=antialiased, near=near, far=far)
    directions = gaussians.means - cameras.positions[:, None, :]
    colors = eval_sh(gaussians.sh.expand(len(cameras), -1, -1, -1), directions, sh_degree)
    images = []
    for c in range(len(cameras)):
        weights, transmittance, order = blend_weights(projected, c, cameras.width, cameras.height)
        depths = projected.depths[c, order]
        channels = torch.cat([colors[c, order], depths[:, None], features[order]], dim=-1)
        crossing = transmittance <= 0.5
        median = depths.new_zeros(len(weights))
        if len(order):
            first = crossing.int().argmax(-1)
            median = torch.where(crossing.any(-1), depths.detach()[first], median)
        blended = weights @ channels
        blended = torch.cat([blended, weights.sum(-1, keepdim=True), median[:, None]], dim=-1)
        images.append(blended.unflatten(0, (cameras.height, cameras.width)))
    stacked = torch.stack(images)
    return (
        stacked[..., :3], stacked[..., -2], stacked[..., 3], stacked[..., -1].detach(), stacked[..., 4:-2], projected,
    )  # fmt: skip


def project(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    antialiased: bool = False,
    near: float = 0.01,
    far: float = 1e10,
) -> Projected:
    """EWA projection of every splat into every camera."""
    width, height = cameras.width, cameras.height
    fx, fy, cx, cy = (cameras.intrinsics[:, i, j, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    cam_from_world = cameras.cam_from_world
    rotation = cam_from_world[:, None, :3, :3]
    in_cam = (rotation @ (gaussians.means - cameras.positions[:, None, :])[..., None])[..., 0]
    x, y, depths = in_cam.unbind(-1)
    in_front = (depths > near) & (depths < far)
    z = torch.where(in_front, depths, torch.ones_like(depths))
    means2d = torch.stack([fx * x / z + cx, fy * y / z + cy], dim=-1)

    margin_x, margin_y = VIEW_MARGIN * width / fx, VIEW_MARGIN * height / fy
    slope_x = torch.maximum(torch.minimum(x / z, (width - cx) / fx + margin_x), -cx / fx - margin_x)
    slope_y = torch.maximum(torch.minimum(y / z, (height - cy) / fy + margin_y), -cy / fy - margin_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * slope_x / z, zero, fy / z, -fy * slope_y / z], dim=-1)
    to_image = jacobian.unflatten(-1, (2, 3)) @ rotation
    covariance = to_image @ gaussians.covariances @ to_image.transpose(-1, -2)
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    determinant = xx * yy - xy * xy
    xx, yy = xx + BLUR, yy + BLUR
    blurred_determinant = xx * yy - xy * xy
    conics = torch.stack([yy, -xy, xx], dim=-1) / blurred_determinant[..., None]
    opacities = gaussians.opacities.expand(depths.shape)
    if antialiased:
        opacities = opacities * (determinant / blurred_determinant).clamp_min(1e-12).sqrt()

    extent = (2 * torch.log((opacities / MIN_ALPHA).clamp_min(1))).sqrt().clamp_max(MAX_EXTENT)
    radii = torch.ceil(extent[..., None] * torch.stack([xx, yy], dim=-1).sqrt()).detach()
    size = radii.new_tensor([width, height])
    inside = ((means2d + radii > 0) & (means2d - radii < size)).all(-1)
    seen = in_front & inside & (opacities >= MIN_ALPHA)
    return Projected(means2d, conics, opacities, depths, (radii * seen[..., None]).int())


def blend_weights(
    projected: Projected, camera: int, width: int, height: int
) -> tuple[Float[Tensor, "p m"], Float[Tensor, "p m"], Int[Tensor, " m"]]:
    """How much each visible splat, front to back, shows in each pixel of one camera.

    Returns:
        weights; transmittance behind each splat; indices of the splats in order of depth (ties by index).
    """
    seen = projected.visible[camera].nonzero()[:, 0]
    order = seen[torch.argsort(projected.depths[camera, seen], stable=True)]
    means = projected.means2d[camera, order]
    like = {"dtype": means.dtype, "device": means.device}
    y, x = torch.meshgrid(torch.arange(height, **like), torch.arange(width, **like), indexing="ij")
    pixels = torch.stack([x, y], dim=-1).flatten(0, 1) + 0.5
    dx, dy = (pixels[:, None, :] - means).unbind(-1)
    xx, xy, yy = projected.conics[camera, order].unbind(-1)
    exponent = 0.5 * (xx * dx * dx + yy * dy * dy) + xy * dx * dy
    alpha = (projected.opacities[camera, order] * torch.exp(-exponent)).clamp_max(MAX_ALPHA)
    alpha = torch.where(alpha >= MIN_ALPHA, alpha, torch.zeros_like(alpha))
    behind = torch.cumprod(1 - alpha, dim=-1)
    drawn = behind > MIN_TRANSMITTANCE
    before = torch.cat([torch.ones_like(behind[:, :1]), behind[:, :-1]], dim=-1)
    return alpha * before * drawn, behind, order
