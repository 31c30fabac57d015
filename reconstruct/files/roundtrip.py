"""What a format costs: the error that writing splats and reading them back leaves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, focal_px_from_fov, look_at, pinhole_intrinsics
from ..gaussians import Gaussians
from ..spherical_harmonics import eval_sh, rgb_from_sh, sh_from_rgb
from .axes import fit_to_format, from_y_up
from .convert import CODECS, read_splats, splat_suffix, write_splats
from .splat_file import PHOTO_UP, SplatFile

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class RoundTrip:
    """Errors between splats and what came back, and what it took."""

    suffix: str
    bytes_per_splat: float
    write_s: float
    read_s: float
    position_median: float
    """Distance between centres, in thousandths of the scene's diameter (1st to 99th percentile)."""
    position_max: float
    rotation_max_deg: float
    scale_max: float
    """Relative."""
    opacity_max: float
    color_max: float
    """Of the constant colour, clamped to 0..1."""
    sh_degree: int
    """That came back."""
    sh_mean: float
    """Absolute, of the harmonics above the constant that came back."""
    view_color_mean: float
    """Of the colour seen from random directions, harmonics that were left out included."""
    psnr_db: float | None
    """Of renders before and after, clamped to 0..1, mean over views; 99 for equal pictures."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def round_trip(
    gaussians: Gaussians, suffix: str, folder: Path, *, cameras: Cameras | None = None, repeats: int = 1
) -> RoundTrip:
    """Write splats whose up is -y, read them back and compare splat by splat.

    Args:
        gaussians: splats on the CPU.
        suffix: of the format.
        folder: for the file, which is left there.
        cameras: render from these and tell the PSNR.
        repeats: write and read so often; the least times are told.
    """
    path, up = folder / f"roundtrip{suffix}", torch.tensor(PHOTO_UP)
    expected = in_file_order(gaussians, suffix)
    _, write_s = _timed(
        lambda: write_splats(path, gaussians, up=up, metres_per_unit=1.0, overwrite=True), repeats
    )
    file, read_s = _timed(lambda: read_splats(path), repeats)
    found = file.gaussians
    before, after = _unit(expected.quats.double()), _unit(found.quats.double())
    chord = torch.minimum((before - after).norm(dim=1), (before + after).norm(dim=1)).max()
    distance = (expected.means - found.means).norm(dim=1) / _diameter(expected.means) * 1000
    kept = found.sh.shape[1]
    directions = torch.randn(len(found), 3, generator=torch.Generator().manual_seed(0))
    seen = [eval_sh(splats.sh, directions).clamp_max(1) for splats in (expected, found)]
    constant = [rgb_from_sh(splats.sh[:, 0]).clamp(0, 1) for splats in (expected, found)]
    return RoundTrip(
        suffix=suffix,
        bytes_per_splat=path.stat().st_size / len(gaussians),
        write_s=write_s,
        read_s=read_s,
        position_median=float(distance.median()),
        position_max=float(distance.max()),
        rotation_max_deg=math.degrees(4 * math.asin(float(chord) / 2)),
        scale_max=float(torch.expm1((expected.log_scales - found.log_scales).abs()).max()),
        opacity_max=float((expected.opacities - found.opacities).abs().max()),
        color_max=float((constant[0] - constant[1]).abs().max()),
        sh_degree=found.sh_degree,
        sh_mean=float((expected.sh[:, 1:kept] - found.sh[:, 1:]).abs().mean()) if kept > 1 else 0.0,
        view_color_mean=float((seen[0] - seen[1]).abs().mean()),
        psnr_db=None if cameras is None else _psnr(expected, found, cameras),
    )


def in_file_order(gaussians: Gaussians, suffix: str) -> Gaussians:
    """The splats, in their own axes, in the order in which the format stores them."""
    module = import_module(f".{CODECS[splat_suffix(f'x{suffix}') or suffix]}", __package__)
    if not hasattr(module, "file_order"):
        return gaussians
    turned = fit_to_format(SplatFile(gaussians), suffix, module.TRAITS)
    turned = replace(turned, gaussians=turned.gaussians[module.file_order(turned.gaussians)])
    return (from_y_up(turned) if module.TRAITS.axes == "y up" else turned).gaussians


def orbit_cameras(gaussians: Gaussians, *, views: int = 4, side_px: int = 256) -> Cameras:
    """Cameras around the splats, a little above them, that see most of them."""
    middle, diameter = gaussians.means.median(dim=0).values, _diameter(gaussians.means)
    angles = torch.arange(views) * (2 * math.pi / views)
    around = torch.stack([angles.sin(), torch.full_like(angles, -0.3), -angles.cos()], dim=1)
    focal_px = focal_px_from_fov(50.0, side_px)
    world_from_cam = look_at(middle + around * diameter * 1.1, middle.expand(views, 3))
    intrinsics = pinhole_intrinsics(focal_px, side_px, side_px).expand(views, 3, 3)
    return Cameras(world_from_cam, intrinsics, side_px, side_px)


def sample_splats(count: int = 20_000, *, seed: int = 0) -> Gaussians:
    """A striped ball on a checked floor under coloured light, with harmonics of degree 3; up is -y."""
    generator = torch.Generator().manual_seed(seed)
    half = count // 2
    normals = _unit(torch.randn(half, 3, generator=generator))
    floor = (torch.rand(count - half, 3, generator=generator) - 0.5) * torch.tensor([6.0, 0.0, 6.0])
    means = torch.cat([normals, floor + torch.tensor([0.0, 1.0, 0.0])])
    normals = torch.cat([normals, torch.tensor([0.0, -1.0, 0.0]).expand(count - half, 3)])
    stripes = torch.sin(7 * means[:, 1] + 3 * means[:, 0])
    checks = torch.sin(4 * means[:, 0]).sign() * torch.sin(4 * means[:, 2]).sign()
    albedo = torch.stack([0.5 + 0.3 * stripes, 0.45 + 0.25 * checks, 0.5 - 0.25 * stripes], dim=1)
    light = 0.7 + 0.3 * (normals @ torch.tensor([0.5, -0.7, -0.5]))[:, None]
    sh = torch.randn(count, 16, 3, generator=generator) * 0.02
    sh[:, 0] = sh_from_rgb(albedo * light)
    sh[:, 1:4] += normals[:, [1, 2, 0], None] * torch.tensor([0.12, 0.1, 0.15])
    log_scales = torch.randn(count, 3, generator=generator) * 0.4 - 3.6
    log_scales[:, 2] -= 2.0
    quats = torch.cat(
        [1 + normals[:, 2:], torch.stack([-normals[:, 1], normals[:, 0]], 1), normals[:, :1] * 0], 1
    )
    logits = torch.randn(count, generator=generator) * 2 + 2
    return Gaussians(means, quats + 1e-4, log_scales, logits, sh)


def _timed(action: Callable[[], _Result], repeats: int) -> tuple[_Result, float]:
    """The last result, and the least seconds that one call took."""
    seconds = []
    while True:
        start = time.perf_counter()
        result = action()
        seconds.append(time.perf_counter() - start)
        if len(seconds) >= repeats:
            return result, min(seconds)


def _unit(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return torch.nn.functional.normalize(vectors, dim=1)


def _diameter(points: Float[Tensor, "n 3"]) -> float:
    """Diagonal of the box that holds all but a hundredth of the points at either end of every axis."""
    rows = points.sort(dim=0).values
    last = len(rows) - 1
    return max(float((rows[last - last // 100] - rows[last // 100]).norm()), 1e-12)


def _psnr(before: Gaussians, after: Gaussians, cameras: Cameras) -> float:
    from ..rasterize import rasterize

    with torch.no_grad():
        images = [rasterize(splats, cameras).color.clamp(0, 1) for splats in (before, after)]
    errors = (images[0] - images[1]).double().square().flatten(1).mean(dim=1).clamp_min(10**-9.9)
    return float((-10 * errors.log10()).mean())
