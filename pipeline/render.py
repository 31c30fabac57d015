"""Render a scene into a folder of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..reconstruct.files.atomic import atomic_folder
from ..reconstruct.files.replacing import PICTURES, check_replaceable
from ..reconstruct.rasterize import rasterize
from ..reconstruct.scene import Scene
from ..reconstruct.transforms_json import PosedImage, cameras_from_images, write_transforms
from .pictures import save_png


def render_to_folder(
    scene: Scene,
    images: Sequence[PosedImage],
    folder: Path,
    *,
    depth: bool = False,
    overwrite: bool = False,
    made_from: Sequence[Path] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """One PNG (and .depth.npy) per camera, and cameras.json, laid out as a transforms.json; the folder appears whole or
    not at all.

    Pictures are named after ``image.image`` where cameras have one, else by index. Cameras with a time see the scene
    as it is then.

    Args:
        scene: what is seen.
        images: the cameras.
        folder: where the pictures go.
        depth: also write expected z depth, float32, in scene units.
        overwrite: replace a folder of such pictures.
        made_from: files and folders that must not be replaced.
        on_progress: called as (done, total).

    Returns:
        The names of the pictures, in the order of the cameras.
    """
    if overwrite:
        check_replaceable(folder, PICTURES, made_from)
    stems = [image.image.stem if image.image else f"{i:04d}" for i, image in enumerate(images)]
    if len(set(stems)) != len(stems):
        stems = [f"{i:04d}" for i in range(len(images))]
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        for index, (stem, image) in enumerate(zip(stems, images)):
            with torch.no_grad():
                seen = rasterize(scene.at(image.time or 0.0), cameras_from_images([image]))
            save_png(temporary / f"{stem}.png", seen.color[0])
            if depth:
                np.save(temporary / f"{stem}.depth.npy", seen.depth[0].numpy())
            if on_progress:
                on_progress(index + 1, len(images))
        taken = [
            replace(image, image=temporary / f"{stem}.png", mask=None, depth=None)
            for stem, image in zip(stems, images)
        ]
        write_transforms(temporary / "cameras.json", taken)
    return [f"{stem}.png" for stem in stems]
