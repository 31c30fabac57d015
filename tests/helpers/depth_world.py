"""A tiny world with exact depth: a room of axis-aligned boxes, ray-cast with numpy."""

from __future__ import annotations

import numpy as np
import torch

from cosmorama.pipeline.depth.frames import DepthFrame


class TinyWorld:
    """Frames of random rooms; frame i is always the same."""

    def __init__(self, count: int, *, height: int = 60, width: int = 80, seed: int = 0) -> None:
        self.count, self.height, self.width, self.seed = count, height, width, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> DepthFrame:
        rng = np.random.default_rng([self.seed, index])
        focal = self.width * rng.uniform(0.6, 1.2)
        y, x = np.mgrid[: self.height, : self.width] + 0.5
        rays = np.stack([(x - self.width / 2) / focal, (y - self.height / 2) / focal, np.ones_like(x)], -1)
        depth = np.full(x.shape, np.inf)
        colour = np.ones((*x.shape, 3)) * [0.6, 0.75, 1.0]
        ground = np.where(rays[..., 1] > 0.02, 1.4 / np.maximum(rays[..., 1], 0.02), 1e6)
        checker = ((np.floor(ground * rays[..., 0]) + np.floor(ground)) % 2)[..., None]
        colour[ground < 60] = (0.3 + 0.2 * checker * np.ones(3))[ground < 60]
        depth[ground < 60] = ground[ground < 60]
        instances = np.where(ground < 60, 1, 0)
        for thing in range(5):
            low = np.array([rng.uniform(-3, 3), rng.uniform(-0.5, 1.0), rng.uniform(2, 10)])
            high = np.array([low[0] + rng.uniform(0.4, 2), 1.4, low[2] + rng.uniform(0.4, 2)])
            with np.errstate(divide="ignore", invalid="ignore"):
                t = np.stack([low / rays, high / rays])
            enter, leave = t.min(0).max(-1), t.max(0).min(-1)
            hit = (enter < leave) & (enter > 0) & (enter < depth)
            depth[hit], colour[hit], instances[hit] = enter[hit], rng.uniform(0, 1, 3), 2 + thing
        far = torch.from_numpy(np.isinf(depth))
        known = np.where(np.isinf(depth), 0, depth).astype(np.float32)
        return DepthFrame(
            torch.from_numpy(colour).float(),
            torch.from_numpy(known),
            far,
            float(focal),
            str(index),
            torch.from_numpy(instances),
        )


def fake_features(images: torch.Tensor, *, layers: tuple[int, ...] = (3, 6, 9, 12)) -> list[torch.Tensor]:
    """Stands in for DINOv2: random projections of each patch's pixels, the same ones every time."""
    b, h, w, _ = images.shape
    patches = images.reshape(b, h // 14, 14, w // 14, 14, 3).permute(0, 1, 3, 2, 4, 5).flatten(3)
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(len(layers), patches.shape[-1], 384, generator=generator) / 14
    return [torch.tanh((patches - 0.5) @ matrix) for matrix in basis]
