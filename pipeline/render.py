"""Render a scene into a folder of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ..reconstruct.files.atomic import atomic_folder
from ..reconstruct.rasterize import rasterize
from ..reconstruct.scene import Scene
from ..reconstruct.transforms_json import PosedImage, cameras_from_images
from .pictures import save_png


def render_to_folder(
    scene: Scene,
    images: Sequence[PosedImage],
    folder: Path,
    *,
    depth: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """One PNG (and .depth.npy) per camera; the folder appears whole or not at all.

    Pictures are named after ``image.image`` where cameras have one, else by index. Cameras with a time see the scene
    as it is then.

    Returns:
        The names of the pictures, in the order of the cameras.
    """
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
    return [f"{stem}.png" for stem in stems]
