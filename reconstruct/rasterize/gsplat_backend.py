"""CUDA through gsplat 1.5, behind the same signature."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..cameras import Cameras
from ..errors import InputError
from ..gaussians import Gaussians
from .finite import check_finite


def render(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    features: Float[Tensor, "n f"],
    sh_degree: int,
    antialiased: bool,
    near: float,
    far: float,
    absgrad: bool,
) -> tuple[Any, ...]:
    """Colour, alpha, sum of weight times depth, median depth, features; all over black, and the info."""
    if not gaussians.means.is_cuda:
        raise InputError(f"gsplat rasterizes on CUDA only; the splats are on {gaussians.means.device}")
    if cameras.intrinsics.requires_grad:
        raise InputError("gsplat has no gradient for intrinsics: detach them, or use the reference")
    try:
        import gsplat
    except ImportError as error:
        raise InputError("splats on CUDA need gsplat: pip install 'cosmorama[gpu]'") from error
    check_finite(gaussians, features)
    c, n, width, height = len(cameras), len(gaussians), cameras.width, cameras.height
    if n == 0:
        empty = [
            gaussians.means.new_zeros(c, height, width, *last)
            for last in ((3,), (), (), (), (features.shape[1],))
        ]
        means2d = gaussians.means.new_zeros(c, 0, 2)
        return *empty, {"means2d": means2d, "radii": means2d.int()}
    directions = gaussians.means - cameras.positions[:, None, :]
    colors = gsplat.spherical_harmonics(sh_degree, directions, gaussians.sh.expand(c, -1, -1, -1))
    colors = (colors + 0.5).clamp_min(0)
    blended, alpha, meta = gsplat.rasterization(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        torch.cat([colors, features.expand(c, -1, -1)], dim=-1),
        cameras.cam_from_world,
        cameras.intrinsics,
        width,
        height,
        near_plane=near,
        far_plane=far,
        packed=False,
        render_mode="RGB+D",
        absgrad=absgrad,
        rasterize_mode="antialiased" if antialiased else "classic",
    )
    with torch.no_grad():
        median = _median_depth(gsplat, meta, width, height)
    info = {"means2d": meta["means2d"], "radii": meta["radii"]}
    return blended[..., :3], alpha[..., 0], blended[..., -1], median, blended[..., 3:-1], info


def _median_depth(gsplat: Any, meta: dict[str, Any], width: int, height: int) -> Float[Tensor, "c h w"]:
    """What gsplat does not return: list every drawn splat of every pixel, and find the one at which half is gone."""
    means2d, conics, opacities = meta["means2d"].detach(), meta["conics"].detach(), meta["opacities"].detach()
    c = len(means2d)
    splats, pixels, images = gsplat.rasterize_to_indices_in_range(
        0, 2**31 - 1, means2d.new_ones(c, height, width), means2d, conics, opacities.contiguous(), width, height,
        meta["tile_size"], meta["isect_offsets"], meta["flatten_ids"],
    )  # fmt: skip
    centers = torch.stack([pixels % width, pixels // width], dim=-1) + 0.5
    dx, dy = (centers - means2d[images, splats]).unbind(-1)
    xx, xy, yy = conics[images, splats].unbind(-1)
    exponent = 0.5 * (xx * dx * dx + yy * dy * dy) + xy * dx * dy
    alpha = (opacities[images, splats] * torch.exp(-exponent)).clamp_max(0.999)
    depth = meta["depths"].detach()[images, splats]
    median = median_of_hits(alpha, depth, images * (width * height) + pixels, c * height * width)
    return median.view(c, height, width)


def median_of_hits(
    alpha: Float[Tensor, "m"], depth: Float[Tensor, "m"], pixel: Int[Tensor, "m"], n_pixels: int
) -> Float[Tensor, "p"]:
    """Depth of the hit at which a pixel's transmittance falls to one half; 0 where it never does.

    Args:
        alpha, depth, pixel: one entry per hit, grouped by pixel, front to back within each.
        n_pixels: pixels are numbered from 0 to this.
    """
    median = depth.new_zeros(n_pixels)
    if len(pixel) == 0:
        return median
    log_passed = torch.log1p(-alpha.double())
    log_behind = log_passed.cumsum(0)
    starts = torch.ones_like(pixel, dtype=torch.bool)
    starts[1:] = pixel[1:] != pixel[:-1]
    log_start = (log_behind - log_passed)[starts][starts.cumsum(0) - 1]
    behind = (log_behind - log_start).exp()
    before = (log_behind - log_passed - log_start).exp()
    crossing = (behind <= 0.5) & (before > 0.5)
    median[pixel[crossing]] = depth[crossing]
    return median
