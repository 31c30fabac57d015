"""Judging generated views against true ones, apart for what the input saw and what it did not see."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from kornia.metrics import ssim
from torch import Tensor

from ...reconstruct.cameras import Cameras
from ...reconstruct.errors import InputError
from ...reconstruct.lift import lift
from ...reconstruct.mesh.grid import DepthPicture
from ...reconstruct.rasterize import rasterize
from ..depth.frames import INTRINSICS, frame_folder, read_frame
from ..dinov2 import PATCH, dinov2_features
from ..generators import COVERED, ViewGenerator
from ..growth.grow import grow
from ..growth.pieces import show
from .groups import PosedViews, resize_images

DINO_LAYER = 6
"""Middle features see texture as well as things; the last layer mostly sees things."""


@dataclass
class Tally:
    """Sums of errors over views, and what they come to."""

    squared: dict[str, float] = field(default_factory=lambda: {"seen": 0.0, "unseen": 0.0})
    values: dict[str, int] = field(default_factory=lambda: {"seen": 0, "unseen": 0})
    distance: dict[str, float] = field(default_factory=lambda: {"seen": 0.0, "unseen": 0.0})
    patches: dict[str, int] = field(default_factory=lambda: {"seen": 0, "unseen": 0})
    ssim: list[float] = field(default_factory=list)
    consistency: list[float] = field(default_factory=list)
    """Mean squared difference between generated views and the final scene, per scene."""

    def add(
        self, views: Float[Tensor, "v h w 3"], truth: Float[Tensor, "v h w 3"], seen: Bool[Tensor, "v h w"]
    ) -> None:
        """Count some views in."""
        error = (views - truth).square()
        distance, seen_patches = perceptual_distance(views, truth), patch_share(seen) > 0.5
        for name, mask, patches in (("seen", seen, seen_patches), ("unseen", ~seen, ~seen_patches)):
            self.squared[name] += float(error[mask].sum())
            self.values[name] += 3 * int(mask.sum())
            self.distance[name] += float(distance[patches].sum())
            self.patches[name] += int(patches.sum())
        maps = ssim(views.permute(0, 3, 1, 2), truth.permute(0, 3, 1, 2), window_size=7)
        self.ssim += maps.mean((1, 2, 3)).tolist()

    def scores(self) -> dict[str, float | None]:
        """Mean scores by the names that ``eval views`` prints; None where there was nothing to judge."""
        out: dict[str, float | None] = {}
        for name in ("seen", "unseen"):
            out[f"psnr_{name}"] = _db(self.squared[name], self.values[name])
            count = self.patches[name]
            out[f"perceptual_{name}"] = round(self.distance[name] / count, 4) if count else None
        out["ssim"] = round(float(np.mean(self.ssim)), 4) if self.ssim else None
        out["consistency_psnr"] = _db(sum(self.consistency), len(self.consistency))
        return out


def evaluate_generator(
    generator: ViewGenerator,
    scenes: Iterable[PosedViews],
    *,
    seed: int = 0,
    textured: bool = False,
    on_sheet: Callable[[int, Tensor, Tensor, Tensor], None] | None = None,
) -> dict[str, float | None]:
    """Grow each scene from its first view to the cameras of the others, and compare with the true pictures.

    Args:
        generator: makes the views.
        scenes: the first view is given; its depth makes the first splats.
        seed: of the generator.
        textured: whether its answers get the look of what surrounds them, see ``grow``.
        on_sheet: called with (scene number, truth, generated, coverage), for pictures.

    Returns:
        ``psnr_seen``, ``psnr_unseen``, ``ssim``, ``perceptual_seen``, ``perceptual_unseen``, ``consistency_psnr``: the
        last between the generated views and the final scene rendered there. Seen is what the given view covers,
        for every generator the same pixels.
    """
    tally = Tally()
    for number, scene in enumerate(scenes):
        photo, depth, camera = scene.images[0], scene.depth[0], scene.cameras[0]
        known = depth > 0
        surface = lift(photo, torch.where(known, depth, depth.max()), camera, mask=known)
        given = DepthPicture(photo, depth, camera, known)
        rest = scene.cameras[list(range(1, len(scene)))]
        coverage = show(surface, rest)[0].coverage
        grown = grow(surface, given, rest, generator, seed=seed, text=scene.text, textured=textured)
        tally.add(grown.images, scene.images[1:], coverage > COVERED)
        with torch.no_grad():
            shown = rasterize(grown.gaussians, rest).color.clamp(0, 1)
        tally.consistency.append(float((shown - grown.images).square().mean()))
        if on_sheet:
            on_sheet(number, scene.images, grown.images, coverage)
    return tally.scores()


def perceptual_distance(
    views: Float[Tensor, "v h w 3"], truth: Float[Tensor, "v h w 3"]
) -> Float[Tensor, "v hp wp"]:
    """1 minus the cosine of DINOv2's features, per patch of 14 pixels after enlarging to whole patches."""
    rows, columns = _patch_grid(views.shape[1], views.shape[2])
    size = (columns * PATCH, rows * PATCH)
    mine, true = (dinov2_features(resize_images(x, *size), layers=(DINO_LAYER,))[0] for x in (views, truth))
    return 1 - F.cosine_similarity(mine, true, dim=-1)


def patch_share(mask: Bool[Tensor, "v h w"]) -> Float[Tensor, "v hp wp"]:
    """Share of each of those patches that the mask covers."""
    return F.interpolate(mask.float()[:, None], _patch_grid(*mask.shape[1:]), mode="area")[:, 0]


def rgbd_pairs(folder: Path, *, width: int, height: int, every: int = 1) -> Iterable[PosedViews]:
    """Pairs of neighbouring frames of a folder of RGB-D frames with poses: one is given, the other is the truth.

    Args:
        folder: frame-*.color, frame-*.depth.png and camera-intrinsics.txt, see ``depth.frames``; and
            frame-*.pose.txt, camera to world, OpenCV axes.
        width: of the pictures.
        height: of the pictures.
        every: distance between the two frames of a pair.

    Raises:
        InputError: files are missing or cannot be read.
    """
    paths = frame_folder(folder)
    intrinsics = torch.from_numpy(np.loadtxt(folder / INTRINSICS)).float()
    for first, second in zip(paths, paths[every:]):
        frames = [read_frame(path) for path in (first, second)]
        rows, columns = frames[0].depth_m.shape
        poses = torch.stack([_pose(path) for path in (first, second)])
        yield PosedViews(
            torch.stack([f.image for f in frames]),
            torch.stack([f.depth_m for f in frames]),
            Cameras(poses, intrinsics.expand(2, 3, 3), columns, rows),
            first.stem,
        ).fitted(width, height)


def _pose(colour: Path) -> Float[Tensor, "4 4"]:
    path = colour.with_name(colour.name.split(".color.")[0] + ".pose.txt")
    try:
        return torch.from_numpy(np.loadtxt(path)).float()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error


def _patch_grid(height: int, width: int) -> tuple[int, int]:
    return math.ceil(height / PATCH), math.ceil(width / PATCH)


def _db(squared: float, count: int) -> float | None:
    return round(-10 * math.log10(max(squared / count, 1e-10)), 2) if count else None
