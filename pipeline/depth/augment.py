"""Making rendered frames look as if a real camera had taken them badly.

Renderings are too clean: exposure, white balance, tone, blur, noise and compression of real photos are added so that
the head does not learn to rely on their absence. Everything is drawn from one generator.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..dinov2 import PATCH
from .frames import DepthFrame
from .head import OUTPUT_PER_TOKEN, normalised_focal

OUT_OF_FOCUS = (0.005, 0.05)
"""Standard deviation of the blur at infinity, in lengths of the long side, by a lens focused on something near."""
SOFTEST = 0.04
"""The largest, likewise."""
SMALLEST_CROP = 0.5
"""Share of a frame's width; small crops teach that what is low in a picture need not be near."""


@dataclass(frozen=True)
class Sample:
    """What training sees of one frame; h, w = 8 per token for the truth, 14 per token for the photo."""

    photo: Float[Tensor, "h14 w14 3"]
    log_depth: Float[Tensor, "h w"]
    """Canonical; 0 where unknown."""
    valid: Bool[Tensor, "h w"]
    far: Bool[Tensor, "h w"]
    instances: Int[Tensor, "h w"]
    """Which thing it shows, from 1; 0 where unknown."""


def make_sample(
    frame: DepthFrame, grid: tuple[int, int], generator: torch.Generator, *, augment: bool = True
) -> Sample:
    """Crop a frame to the aspect of ``grid`` = (hp, wp) tokens, flip, degrade, and resample the truth.

    Without ``augment`` the largest centred crop is taken as it is.
    """
    height, width = frame.depth_m.shape
    aspect = grid[1] / grid[0]
    full_w = min(width, height * aspect)
    scale = _uniform(generator, SMALLEST_CROP, 1.0) if augment else 1.0
    crop_w, crop_h = full_w * scale, full_w * scale / aspect
    x0 = (width - crop_w) * (_uniform(generator, 0.2, 0.8) if augment else 0.5)
    y0 = (height - crop_h) * (_uniform(generator, 0.2, 0.8) if augment else 0.5)
    photo = _resize_crop(frame.image, (x0, y0, crop_w, crop_h), (grid[0] * PATCH, grid[1] * PATCH))
    rows = _centres(y0, crop_h, grid[0] * OUTPUT_PER_TOKEN, height)
    columns = _centres(x0, crop_w, grid[1] * OUTPUT_PER_TOKEN, width)
    depth, far = frame.depth_m[rows][:, columns], frame.far[rows][:, columns]
    known = frame.instances
    instances = torch.zeros_like(far, dtype=torch.long) if known is None else known[rows][:, columns]
    if augment and _uniform(generator, 0, 1) < 0.5:
        photo, depth, far, instances = (value.flip(1) for value in (photo, depth, far, instances))
    if augment:
        photo = defocus(photo, torch.where(far, torch.inf, depth), generator)
        photo = degrade(photo, generator)
    valid = (depth > 0) & ~far
    canonical = depth / normalised_focal(frame.focal_px, round(crop_w), round(crop_h))
    log_depth = torch.where(valid, canonical.clamp_min(1e-3).log(), 0.0)
    return Sample(photo, log_depth, valid, far, instances)


def defocus(
    photo: Float[Tensor, "h w 3"], depth: Float[Tensor, "hd wd"], generator: torch.Generator
) -> Float[Tensor, "h w 3"]:
    """Now and then, close up most often, a lens focused on something in the middle blurs what is nearer or farther.

    Blur is proportional to the difference of inverse depths. What is sharp does not run into what is blurred.

    Args:
        photo: RGB.
        depth: z depth in metres; 0 where unknown, infinite for the sky.
        generator: decides.
    """
    rows, columns = (round(_uniform(generator, 0.3, 0.7) * (side - 1)) for side in depth.shape)
    focus, draw = float(depth[rows, columns]), _uniform(generator, 0, 1)
    strength = math.exp(_uniform(generator, *(math.log(share) for share in OUT_OF_FOCUS)))
    if not 0 < focus < math.inf or draw > min(0.05 + 0.3 / focus, 0.6):
        return photo
    apart = torch.where(depth > 0, (focus / depth.clamp_min(1e-3) - 1).abs(), 0.0)
    apart = F.interpolate(apart[None, None], photo.shape[:2], mode="nearest-exact")[0, 0]
    sigma = (strength * apart).clamp_max(SOFTEST) * max(photo.shape)
    weight, out = (sigma > 0.5).float()[..., None], photo
    for level in (1.0, 2.0, 4.0, 8.0, 16.0):
        if level / 2 > float(sigma.max()):
            break
        soft = _blur(torch.cat([photo * weight, weight], dim=-1), level)
        soft = soft[..., :3] / soft[..., 3:].clamp_min(1e-3)
        out = torch.lerp(out, soft, ((sigma - level / 2) / (level / 2)).clamp(0, 1)[..., None])
    return out


def degrade(photo: Float[Tensor, "h w 3"], generator: torch.Generator) -> Float[Tensor, "h w 3"]:
    """Tone, colour, blur, noise and compression, each at random."""
    photo = _tone_and_colour(photo, generator)
    if _chance(generator, 0.25):
        photo = _blur(photo, _uniform(generator, 0.4, 1.6))
    if _chance(generator, 0.1):
        photo = _motion_blur(photo, generator)
    if _chance(generator, 0.2):
        photo = _smaller_and_back(photo, _uniform(generator, 0.4, 0.9))
    if _chance(generator, 0.15):
        photo = photo + _uniform(generator, 0.3, 1.2) * (photo - _blur(photo, 1.0))
    if _chance(generator, 0.5):
        shot, read = _uniform(generator, 0, 0.05), _uniform(generator, 0, 0.03)
        noise = torch.randn(photo.shape, generator=generator)
        photo = photo + noise * (shot**2 * photo.clamp_min(0) + read**2).sqrt()
    photo = photo.clamp(0, 1)
    if _chance(generator, 0.5):
        photo = _jpeg(photo, int(_uniform(generator, 25, 92)))
    return photo


def _tone_and_colour(photo: Tensor, generator: torch.Generator) -> Tensor:
    photo = photo.clamp(0, 1) ** math.exp(_uniform(generator, -0.45, 0.45))
    gain = torch.tensor([_uniform(generator, -0.18, 0.18) for _ in range(3)]).exp()
    photo = photo * gain * math.exp(_uniform(generator, -0.35, 0.35))
    grey = photo.mean(-1, keepdim=True)
    saturation = 0.0 if _chance(generator, 0.05) else math.exp(_uniform(generator, -0.6, 0.5))
    photo = grey + (photo - grey) * saturation
    middle = photo.mean()
    photo = middle + (photo - middle) * math.exp(_uniform(generator, -0.35, 0.35))
    if _chance(generator, 0.3):
        photo = photo * _vignette(photo, _uniform(generator, 0.1, 0.5))
    if _chance(generator, 0.1):
        photo = photo + _uniform(generator, 0.0, 0.15)  # haze, flare
    return photo.clamp(0, 1)


def _vignette(photo: Tensor, strength: float) -> Tensor:
    y = torch.linspace(-1, 1, photo.shape[0])[:, None, None]
    x = torch.linspace(-1, 1, photo.shape[1])[None, :, None]
    return 1 - strength * (x.square() + y.square()) / 2


def _blur(photo: Tensor, sigma: float) -> Tensor:
    radius = math.ceil(2.5 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    channels = photo.shape[-1]
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    x = F.pad(photo.permute(2, 0, 1)[None], (radius,) * 4, mode="reflect")
    x = F.conv2d(F.conv2d(x, kernel, groups=channels), kernel.transpose(2, 3), groups=channels)
    return x[0].permute(1, 2, 0)


def _motion_blur(photo: Tensor, generator: torch.Generator) -> Tensor:
    length, angle = _uniform(generator, 2, 7), _uniform(generator, 0, math.pi)
    size = 2 * math.ceil(length / 2) + 1
    offset = torch.arange(size) - size // 2
    along = offset[None, :] * math.cos(angle) + offset[:, None] * math.sin(angle)
    across = -offset[None, :] * math.sin(angle) + offset[:, None] * math.cos(angle)
    kernel = ((along.abs() <= length / 2) * (1 - across.abs()).clamp_min(0)).float()
    kernel = (kernel / kernel.sum()).expand(3, 1, size, size)
    x = F.pad(photo.permute(2, 0, 1)[None], (size // 2,) * 4, mode="reflect")
    return F.conv2d(x, kernel, groups=3)[0].permute(1, 2, 0)


def _smaller_and_back(photo: Tensor, scale: float) -> Tensor:
    x = photo.permute(2, 0, 1)[None]
    small = F.interpolate(x, scale_factor=scale, mode="bilinear", antialias=True)
    return F.interpolate(small, photo.shape[:2], mode="bilinear")[0].permute(1, 2, 0)


def _jpeg(photo: Tensor, quality: int) -> Tensor:
    buffer = io.BytesIO()
    Image.fromarray((photo * 255).round().byte().numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).float() / 255


def resize_photo(image: Float[Tensor, "h w 3"], grid: tuple[int, int]) -> Float[Tensor, "h14 w14 3"]:
    """The whole image as the backbone takes it, 14 pixels per token of ``grid`` = (rows, columns)."""
    height, width = image.shape[:2]
    return _resize_crop(image, (0, 0, width, height), (grid[0] * PATCH, grid[1] * PATCH))


def _resize_crop(image: Tensor, box: tuple[float, float, float, float], size: tuple[int, int]) -> Tensor:
    """Area-true resampling of a rectangle (left, top, width, height) that lies within the image."""
    x0, y0, w, h = box
    left, top = math.floor(x0), math.floor(y0)
    right, bottom = min(image.shape[1], math.ceil(x0 + w)), min(image.shape[0], math.ceil(y0 + h))
    part = image[top:bottom, left:right].permute(2, 0, 1)[None]
    resized = F.interpolate(part, size, mode="bilinear", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0).clamp(0, 1)


def _centres(start: float, length: float, count: int, size: int) -> Tensor:
    """Indices of the source pixels under the centres of ``count`` output pixels."""
    return (start + (torch.arange(count) + 0.5) * (length / count)).floor().long().clamp(0, size - 1)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()


def _chance(generator: torch.Generator, probability: float) -> bool:
    return _uniform(generator, 0, 1) < probability
