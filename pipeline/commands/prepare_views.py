"""``cosmorama train views-data``: encode photos and synthetic scenes into samples for ``train views``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class PrepareViews:
    """Encode photos and synthetic scenes, once, into samples for `cosmorama train views`."""

    out: Path
    """Folder for the samples; new shards are added to what is there."""
    world: Path | None = None
    """Folder of `cosmorama train world`."""
    photos: Path | None = None
    """Folder of photos, for warp-and-fill."""
    codec: Path | None = None
    """codec.safetensors; default the shipped one."""
    filling: Path | None = None
    """filling.safetensors of `train filling`, which fills what scenes do not show; default the shipped one."""
    depth_model: str = "cosmorama"
    """Estimates the photos' depth."""
    prefix: str = "a"
    """Of the new shards' names; shards of the same name are replaced."""
    views: int = 6
    """Per scene; shots with fewer frames are passed over."""
    size: tuple[int, int] = (128, 128)
    """Width and height of the pictures, multiples of 8."""
    variants: int = 3
    """Choices of given views per scene, of other cameras per photo."""
    looks: int = 1
    """Samples per scene that is learnt from: as it is, then in other colours and half the time mirrored."""
    features: bool = False
    """Also store DINOv2's features, for `train views --repa`."""
    part: tuple[int, int] = (0, 1)
    """I N: take every N-th scene or photo from the I-th on, so that N processes share the work."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where scenes are encoded; a GPU needs the gpu extra. Photos always are on the CPU."""
    threads: int | None = None
    """CPU threads; default all."""
    seed: int = 0

    def run(self) -> None:
        """Encode."""
        import torch

        from ...reconstruct.errors import InputError
        from ..device import pick_device
        from ..diffusion.filling import filling_from_file, load_filling
        from ..diffusion.sources import photo_samples, scene_samples, world_scenes, write_samples
        from ..latents.codec import codec_from_file, load_codec
        from ..latents.photos import SUFFIXES

        if self.world is None and self.photos is None:
            raise InputError("nothing to prepare: give --world, --photos or both")
        if self.threads:
            torch.set_num_threads(self.threads)
        codec = codec_from_file(self.codec) if self.codec else load_codec()
        width, height = self.size
        prefix = f"{self.prefix}-{self.part[0]}" if self.part[1] > 1 else self.prefix
        if self.world is not None:
            from ..world import WorldDataset

            world = WorldDataset(self.world)
            scenes = world_scenes(world, views=self.views, width=width, height=height, part=self.part)
            filling = filling_from_file(self.filling) if self.filling else load_filling()
            samples = scene_samples(
                scenes, codec, variants=self.variants, looks=self.looks, filling=filling, features=self.features,
                device=pick_device(self.device), seed=self.seed,
            )  # fmt: skip
            write_samples(samples, self.out, prefix=f"scenes-{prefix}", on_progress=_print)
        if self.photos is not None:
            from ..depth import load_depth_estimator

            estimator = load_depth_estimator(self.depth_model)
            paths = sorted(p for p in self.photos.rglob("*") if p.suffix.lower() in SUFFIXES)
            samples = photo_samples(
                paths[self.part[0] :: self.part[1]], lambda image, focal_px: estimator(image, focal_px).depth_m,
                codec, width=width, height=height, variants=self.variants, features=self.features, seed=self.seed,
            )  # fmt: skip
            write_samples(samples, self.out, prefix=f"photos-{prefix}", on_progress=_print)


def _print(done: int) -> None:
    if done % 20 == 0:
        print(json.dumps({"done": done}), file=sys.stderr, flush=True)
