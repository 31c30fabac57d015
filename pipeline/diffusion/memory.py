"""The memory: what the present scene shows from a camera, as a denoiser sees it; and making it for training.

In use the scene is a set of splats. In training it is lifted from the given views with their true depth spoilt by
errors like those of an estimator, and rendered by the same functions, so that the network sees the same artefacts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras
from ...reconstruct.depth_completion import background_support
from ...reconstruct.gaussians import cat_gaussians
from ...reconstruct.lift import lift
from ..generators import Memory
from ..growth.pieces import show
from ..latents.codec import CELL, Codec
from .conditions import subcells


def remember(
    images: Float[Tensor, "g h w 3"],
    depths: Float[Tensor, "g h w"],
    cameras: Cameras,
    targets: Cameras,
) -> Memory:
    """What the splats lifted from some views show from other cameras.

    Args:
        images: the views.
        depths: their z depth; pixels with depth 0 are not lifted.
        cameras: of the views.
        targets: V cameras to render into.
    """
    parts = []
    for image, depth, camera in zip(images, depths, cameras, strict=True):
        known = depth > 0
        if known.any():
            farthest = depth[known].max()
            parts.append(lift(image, torch.where(known, depth, farthest), camera, mask=known))
    if not parts:
        black = images.new_zeros(len(targets), targets.height, targets.width, 3)
        return Memory(black, black[..., 0], black[..., 0])
    return show(cat_gaussians(parts), targets)[0]


def encode_memory(
    memory: Memory, codec: Codec, *, scale: float, filled: Float[Tensor, "v h w 3"] | None = None
) -> tuple[Float[Tensor, "v c h w"], Float[Tensor, "v 4 h w"], Float[Tensor, "v 4 h w"]]:
    """Latents, inverse depth and coverage of ``Conditions``.

    Args:
        memory: its height and width must be multiples of 8.
        codec: encodes the colours, with holes filled by ``fill_memory``.
        scale: the scene's length unit, see ``plucker_maps``.
        filled: its colours with holes filled in another way.
    """
    known = memory.known
    latents = codec.encode(fill_memory(memory) if filled is None else filled)
    inverse = torch.where(known, scale / memory.depth.clamp(min=1e-6), 0.0).clamp(max=10.0)
    coverage = torch.where(known, memory.coverage, 0.0)
    return (
        latents,
        subcells(inverse, known.float(), CELL),
        subcells(coverage, torch.ones_like(coverage), CELL),
    )


def fill_memory(memory: Memory) -> Float[Tensor, "v h w 3"]:
    """The memory's colours, its holes continued smoothly from the background around them.

    Holes mostly show what a foreground hid, so pixels of the foreground are no source for them. Without this the
    codec would be shown hard black shapes, which it was never trained on and spreads into the cells around.
    """
    filled = []
    for color, depth, known in zip(memory.color, memory.depth, memory.known, strict=True):
        source = background_support(depth, known) if known.any() and not known.all() else known
        weight = (source if source.any() else known).to(color)
        smooth = pull_push(color.permute(2, 0, 1)[None], weight[None, None])[0].permute(1, 2, 0)
        filled.append(torch.where(known[..., None], color, smooth))
    return torch.stack(filled)


def pull_push(values: Float[Tensor, "b c h w"], weight: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
    """Fill what has no weight from coarser and coarser averages of what has (Gortler et al. 1996).

    Where nothing at all is known the result is 0.5.
    """
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return torch.where(weight > 0, values, 0.5)
    pad = (0, width % 2, 0, height % 2)
    pooled = F.avg_pool2d(F.pad(torch.cat([values * weight, weight], dim=1), pad), 2)
    total = pooled[:, -1:]
    means = pooled[:, :-1] / total.clamp(min=1e-6) * (total > 0)
    coarse = pull_push(means, (4 * total).clamp(max=1))
    coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return values * weight + coarse[..., :height, :width] * (1 - weight)


def spoil_depth(
    depth: Float[Tensor, "h w"], *, generator: torch.Generator, strength: float = 1.0
) -> Float[Tensor, "h w"]:
    """True depth with errors like an estimator's; 0 (unknown) stays 0.

    A wrong overall scale (5 %), a tilt and smooth bumps (a few per cent), and silhouettes that are off by a pixel:
    what is errors of an estimator at the resolutions used here.

    Args:
        depth: z depth, 0 where unknown.
        generator: on the CPU.
        strength: multiplies the size of all errors; 0 leaves the depth as it is.
    """
    height, width = depth.shape
    errors = torch.randn(3, generator=generator).tolist()
    scale, tilt_x, tilt_y = (size * error for size, error in zip((0.05, 0.04, 0.04), errors))
    y = torch.linspace(-1, 1, height, device=depth.device)[:, None]
    x = torch.linspace(-1, 1, width, device=depth.device)
    error = scale + tilt_x * x + tilt_y * y
    for cells, size in ((3, 0.04), (8, 0.02)):
        grid = torch.randn(1, 1, cells, cells, generator=generator).to(depth) * size
        error = error + F.interpolate(grid, (height, width), mode="bicubic", align_corners=True)[0, 0]
    moved = depth
    if strength > 0:
        kind = int(torch.randint(3, (), generator=generator))
        farthest = torch.where(depth > 0, depth, torch.inf)[None, None]
        if kind == 1:  # the foreground grows by a pixel
            nearest = -F.max_pool2d(-farthest, 3, 1, 1)[0, 0]
            moved = torch.where(depth > 0, nearest, 0.0)
        elif kind == 2:  # or shrinks
            moved = torch.where(depth > 0, F.max_pool2d(depth[None, None], 3, 1, 1)[0, 0], 0.0)
    return moved * torch.exp(strength * error.to(depth))
