"""A sheet of a scene from several photos: ``several_sheet.py SCENE SHEET.jpg``.

Above the photos that it was made of; below what is seen halfway between the first of them and the others.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cosmorama.reconstruct.cameras import Cameras
from cosmorama.reconstruct.rasterize import rasterize
from cosmorama.reconstruct.scene import load_scene

WIDTH = 1400


def halfway(first: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The pose [4, 4] between two."""
    pose = (first + other) / 2
    left, _, right = torch.linalg.svd(pose[:3, :3])
    pose[:3, :3] = left @ right
    return pose


def row(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one shape side by side, ``WIDTH`` wide."""
    width = WIDTH // len(pictures)
    height = round(width * pictures[0].height / pictures[0].width)
    joined = Image.new("RGB", (width * len(pictures), height))
    for index, picture in enumerate(pictures):
        joined.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (index * width, 0))
    return joined


def main(scene_folder: str, sheet: str) -> None:
    scene = load_scene(scene_folder)
    photos = [view for view in scene.views if not view.generated]
    first = photos[0]
    seen = []
    for other in photos[1:]:
        pose = halfway(first.world_from_cam, other.world_from_cam)
        camera = Cameras(pose[None], first.intrinsics[None], first.width, first.height)
        color = rasterize(scene.gaussians, camera).color[0].clamp(0, 1)
        seen.append(Image.fromarray((color * 255).round().byte().numpy()))
    given = [Image.open(photo.image).convert("RGB") for photo in photos if photo.image]
    rows = [row(given), row(seen)]
    joined = np.concatenate([np.asarray(r.crop((0, 0, WIDTH // 8 * 8, r.height))) for r in rows])
    Image.fromarray(joined).save(Path(sheet), quality=82)


if __name__ == "__main__":
    main(*sys.argv[1:3])
