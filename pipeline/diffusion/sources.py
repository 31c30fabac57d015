"""Where training samples come from: photos with estimated depth, and scenes with known cameras and depth."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras
from ..depth import FAR_DEPTH_M
from ..latents.codec import CELL, Codec
from ..latents.photos import is_held_out
from ..photo import load_photo
from ..training.loop import step_generator
from ..world.shards import scene_name
from .filling import Filling
from .groups import PosedViews
from .prepare import Sample, prepare_photo, prepare_scene
from .repa import dino_targets
from .shards import ShardWriter
from .text import encode_text, no_text

if TYPE_CHECKING:
    from ..world import WorldDataset, WorldFrame

DepthFunction = Callable[[Tensor, float], Tensor]
"""(image [h w 3], focal in pixels) -> z depth [h w], > 0."""
NamedSample = tuple[str, Sample]
"""What it was made of, by name, and the sample."""
TRAIN, HELD_OUT = "train", "held_out"
"""Folders of the two splits under a data folder."""


def world_scenes(
    world: WorldDataset,
    *,
    views: int = 8,
    width: int = 128,
    height: int = 128,
    part: tuple[int, int] = (0, 1),
) -> Iterator[PosedViews]:
    """Groups of views from the synthetic world: the frames of one shot, evenly spaced, sky at ``FAR_DEPTH_M``.

    Only frames of one shot share a lens and an exposure. Shots of fewer than ``views`` frames are passed over.

    Args:
        world: from ``train world``.
        views: per group.
        width: of the pictures, cut from the middle and shrunk.
        height: of the pictures.
        part: (i, n) takes every n-th scene from the i-th on, for n processes that share the work.
    """
    for number, scene in sorted(world.scenes.items())[part[0] :: part[1]]:
        shots = [entry["shot"] for entry in scene["frames"]]
        for shot in sorted(set(shots)):
            frames = [i for i, s in enumerate(shots) if s == shot]
            if len(frames) < views:
                continue
            chosen = [frames[round(k * (len(frames) - 1) / max(1, views - 1))] for k in range(views)]
            yield _posed([world[number, i] for i in chosen], scene_name(number)).fitted(width, height)


def _posed(frames: Sequence[WorldFrame], name: str) -> PosedViews:
    depth = torch.stack([torch.from_numpy(f.depth_m) for f in frames])
    rows, columns = depth.shape[1:]
    cameras = Cameras(
        torch.stack([torch.from_numpy(f.world_from_cam).float() for f in frames]),
        torch.stack([torch.from_numpy(f.intrinsics).float() for f in frames]),
        columns,
        rows,
    )
    images = torch.stack([torch.from_numpy(f.rgb).float() / 255 for f in frames])
    times = torch.tensor([f.time for f in frames])
    return PosedViews(images, depth.clamp(max=FAR_DEPTH_M), cameras, name, times, frames[0].caption or None)


def scene_samples(
    scenes: Iterable[PosedViews],
    codec: Codec,
    *,
    variants: int = 3,
    looks: int = 1,
    filling: Filling | None = None,
    features: bool = False,
    device: str = "cpu",
    seed: int = 0,
) -> Iterator[NamedSample]:
    """Encode scenes.

    Args:
        scenes: all of one number of views and one picture size.
        codec: encodes pictures and memories.
        variants: choices of given views per look.
        looks: samples per scene that is learnt from: as it is, then in other colours and half the time mirrored.
        filling: fills the memories' holes; smoothly without it.
        features: also store DINOv2's features, for REPA.
        device: where; samples are random numbers of the same generators on any.
        seed: of the choices; each scene's also depend on its name.
    """
    codec, filling = codec.to(device), filling and filling.to(device)
    for scene in scenes:
        for look in range(1 if is_held_out(scene.name) else looks):
            generator = _generator(seed, scene.name, look)
            views = (_in_another_way(scene, generator) if look else scene).to(device)
            sample = prepare_scene(views, codec, generator=generator, variants=variants, filling=filling)
            text = encode_text(views.text) if views.text else no_text()
            yield scene.name, _with(sample, text, views.images if features else None)


def photo_samples(
    paths: Iterable[Path],
    depth_function: DepthFunction,
    codec: Codec,
    *,
    width: int = 128,
    height: int = 128,
    variants: int = 4,
    features: bool = False,
    seed: int = 0,
) -> Iterator[NamedSample]:
    """Encode photos for warp-and-fill.

    Args:
        paths: the photos.
        depth_function: estimates depth, on the whole photo.
        codec: encodes pictures and memories.
        width: of the part that is taken from the photo's centre, after shrinking.
        height: of that part.
        variants: other cameras per photo.
        features: also store DINOv2's features, for REPA.
        seed: of the other cameras.
    """
    for path in paths:
        photo = load_photo(path)
        depth = depth_function(photo.image, photo.focal_px)
        views = PosedViews(photo.image[None], depth[None], photo.camera, path.stem).fitted(width, height)
        sample = prepare_photo(
            views.images[0], views.depth[0], views.cameras, codec,
            generator=_generator(seed, path.stem), variants=variants,
        )  # fmt: skip
        yield path.stem, _with(sample, no_text(), views.images if features else None)


def write_samples(
    samples: Iterable[NamedSample],
    out: Path,
    *,
    prefix: str,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write samples into ``out/train`` and ``out/held_out``.

    Args:
        samples: all of one shape.
        out: the data folder.
        prefix: of the shards' names; samples of another shape need another prefix.
        on_progress: called with the number of samples done.

    Returns:
        How many were written.
    """
    writers = {split: ShardWriter(out / split, prefix) for split in (TRAIN, HELD_OUT)}
    done = 0
    for done, (name, sample) in enumerate(samples, start=1):
        writers[HELD_OUT if is_held_out(name) else TRAIN].add(name, sample)
        if on_progress:
            on_progress(done)
    for writer in writers.values():
        writer.flush()
    return done


def _with(sample: Sample, text: Float[Tensor, "t c"], images: Float[Tensor, "v h w 3"] | None) -> Sample:
    """A sample with its text and, of images that are given, their features, on the CPU."""
    extra = {"text": text.half()} | ({} if images is None else {"features": _features(images)})
    return {name: value.cpu() for name, value in (sample | extra).items()}


def _features(images: Float[Tensor, "v h w 3"]) -> Float[Tensor, "v hp wp 384"]:
    """DINOv2's features for tokens of 2x2 latent cells."""
    rows, columns = (-(-side // (2 * CELL)) for side in images.shape[1:3])
    return dino_targets(images, rows=rows, columns=columns).half()


def _in_another_way(scene: PosedViews, generator: torch.Generator) -> PosedViews:
    scene = scene.repainted(generator)
    return scene.mirrored() if torch.rand((), generator=generator) < 0.5 else scene


def _generator(seed: int, name: str, look: int = 0) -> torch.Generator:
    key = zlib.crc32(name.encode())
    return step_generator(seed, key, look) if look else step_generator(seed, key)
