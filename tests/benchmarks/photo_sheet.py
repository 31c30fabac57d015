"""A sheet of scenes made of photos, to look at, failures included: a row each, upright photos two in a row.

    python tests/benchmarks/photo_sheet.py GENERATOR SHEET.jpg SCENES PHOTO...

Scenes (drafts, of ``--generator GENERATOR``) are made into the folder SCENES; those that are there are not made again.
From left to right: the photo's own view, the path's ends to both sides, twice as far out to both sides, and a shorter
lens at the photo's place.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image

from cosmorama.pipeline.depth import SKY_DEPTH_M
from cosmorama.pipeline.make import make_scene
from cosmorama.pipeline.make_options import MakeOptions
from cosmorama.pipeline.trajectories import plan_trajectory, reach_of
from cosmorama.reconstruct.cameras import Cameras, cat_cameras
from cosmorama.reconstruct.gaussians import Gaussians
from cosmorama.reconstruct.rasterize import rasterize
from cosmorama.reconstruct.scene import Scene, load_scene

WIDTH, ROW = 300, 200
"""Pixels of a picture at most; it is made to fit."""
LENS = 0.75
"""Of the last picture, beside the photo's."""
QUARTERS = [1, 3]
"""Of a path of four cameras: its ends."""


def main() -> None:
    generator, sheet, folder, *photos = sys.argv[1], *(Path(name) for name in sys.argv[2:])
    rows: list[Image.Image] = []
    for photo in photos:
        out = folder / photo.stem
        if not out.exists():
            report = make_scene([photo], out, MakeOptions(preset="draft", generator=generator))
            print(f"{photo.stem}: {report.seconds:.0f} s, {report.psnr_input_view:.1f} dB", flush=True)
        rows.append(row_of(load_scene(out)))
    packed(rows).save(sheet, quality=80, optimize=True)


def packed(rows: list[Image.Image]) -> Image.Image:
    """Rows below each other, two narrow ones that follow each other side by side."""
    width = max(row.width for row in rows)
    places: list[tuple[int, int]] = []
    left = top = height = 0
    for row in rows:
        if left + row.width > width:
            left, top, height = 0, top + height, 0
        places.append((left, top))
        left, height = left + row.width, max(height, row.height)
    together = Image.new("RGB", (width, top + height), "white")
    for row, place in zip(rows, places, strict=True):
        together.paste(row, place)
    return together


@torch.no_grad()
def row_of(scene: Scene) -> Image.Image:
    """The pictures of one scene side by side."""
    home = scene.home
    scale = min(WIDTH / home.width, ROW / home.height)
    home = home.resized(round(scale * home.width), round(scale * home.height))
    pictures = rasterize(scene.gaussians, cameras_of(scene.gaussians, home)).color
    strip = torch.cat(list(pictures), dim=1)
    return Image.fromarray((strip.clamp(0, 1) * 255).round().byte().numpy())


def cameras_of(gaussians: Gaussians, home: Cameras) -> Cameras:
    """Where the pictures are taken."""
    depth = rasterize(gaussians, home).median_depth[0]
    reach = reach_of(depth, far=depth > SKY_DEPTH_M)
    ends = [plan_trajectory("orbit", home, reach, 4, extent=extent)[QUARTERS] for extent in (1.0, 2.0)]
    return cat_cameras([home, *ends, home.zoomed(LENS)])


if __name__ == "__main__":
    main()
