"""Contact sheets: what a synthetic world looks like at a glance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .shards import WorldDataset


def depth_colors(depth_m: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: near warm, far cold, sky black."""
    near = np.clip(np.log(np.clip(depth_m, 0.3, 60) / 0.3) / np.log(200), 0, 1)
    ramp = np.stack([1 - near, 1 - np.abs(2 * near - 1), near], axis=-1)
    return np.where(np.isfinite(depth_m)[..., None], np.round(60 + 195 * ramp), 0).astype(np.uint8)


def write_sheet(
    folder: Path, path: Path, *, columns: int = 8, rows: int = 8, cell: int = 240, depth: bool = False
) -> None:
    """One frame of as many scenes as fit, several where there are few scenes, as one picture without gaps.

    Args:
        folder: shards.
        path: picture to write.
        columns, rows: of the sheet, at most.
        cell: pixels of a cell's longer side; pictures of another shape are cropped to the first one's.
        depth: show depth beside every picture.
    """
    dataset = WorldDataset(folder)
    places = columns * rows // (2 if depth else 1)
    numbers = sorted(dataset.scenes)[:places]
    per_scene = min(places // len(numbers), min(len(dataset.scenes[s]["frames"]) for s in numbers))
    pictures: list[np.ndarray] = []
    for scene in numbers:
        count = len(dataset.scenes[scene]["frames"])
        for k in range(per_scene):
            frame = dataset[scene, k * count // per_scene]
            pictures += [frame.rgb, depth_colors(frame.depth_m)] if depth else [frame.rgb]
    path.parent.mkdir(parents=True, exist_ok=True)
    _tiled(pictures, columns, cell).save(path)


def _tiled(pictures: list[np.ndarray], columns: int, cell: int) -> Image.Image:
    """The pictures in full rows; what would leave a gap in the last one is left out."""
    columns = min(columns, len(pictures))
    count = len(pictures) // columns * columns
    height, width = pictures[0].shape[:2]
    scale = cell / max(width, height)
    size = (round(width * scale), round(height * scale))
    sheet = Image.new("RGB", (columns * size[0], count // columns * size[1]))
    for at, picture in enumerate(pictures[:count]):
        image = ImageOps.fit(Image.fromarray(picture), size)
        sheet.paste(image, (at % columns * size[0], at // columns * size[1]))
    return sheet
