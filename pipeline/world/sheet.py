"""Contact sheets: what a synthetic world looks like at a glance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .shards import WorldDataset


def depth_colors(depth_m: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: near warm, far cold, sky black."""
    near = np.clip(np.log(np.clip(depth_m, 0.3, 60) / 0.3) / np.log(200), 0, 1)
    ramp = np.stack([1 - near, 1 - np.abs(2 * near - 1), near], axis=-1)
    return np.where(np.isfinite(depth_m)[..., None], np.round(60 + 195 * ramp), 0).astype(np.uint8)


def write_sheet(
    folder: Path,
    path: Path,
    *,
    columns: int = 8,
    rows: int = 8,
    cell: int = 240,
    depth: bool = False,
    per_scene: int = 1,
) -> None:
    """Some frames of as many scenes as fit, as one picture.

    Args:
        folder: shards.
        path: picture to write.
        columns, rows: of the sheet.
        cell: pixels of a cell's side.
        depth: show depth beside every picture.
        per_scene: pictures from each scene.
    """
    dataset = WorldDataset(folder)
    sheet = Image.new("RGB", (columns * cell, rows * cell))
    at = 0
    for scene in sorted(dataset.scenes):
        count = len(dataset.scenes[scene]["frames"])
        for k in range(per_scene):
            frame = dataset[scene, (k * count // per_scene) % count]
            pictures = [frame.rgb] + ([depth_colors(frame.depth_m)] if depth else [])
            for picture in pictures:
                if at >= columns * rows:
                    break
                image = Image.fromarray(picture)
                image.thumbnail((cell, cell))
                sheet.paste(image, (at % columns * cell, at // columns * cell))
                at += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
