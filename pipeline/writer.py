"""The scene folder of a finished job: splats, description, views, preview picture and clip, mesh."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..reconstruct.cameras import Cameras
from ..reconstruct.mesh.grid import DepthPicture, write_grid_mesh
from ..reconstruct.rasterize import rasterize
from ..reconstruct.scene import Scene, save_scene
from ..reconstruct.transforms_json import images_from_cameras
from .pictures import save_mp4, save_png
from .progress import Advance

CLIP_FPS = 24


@dataclass(frozen=True)
class Picture:
    """A picture with a known camera, given or generated."""

    image: Float[Tensor, "h w 3"]
    camera: Cameras
    generated: bool


def write_scene_folder(
    folder: Path,
    scene: Scene,
    pictures: list[Picture],
    surfaces: list[DepthPicture],
    clip_cameras: Cameras,
    advance: Advance,
) -> None:
    """Write everything that a scene folder holds.

    Args:
        folder: exists, empty.
        scene: its ``views`` are made here from ``pictures``.
        pictures: the scene's own view first.
        surfaces: what the mesh is made of.
        clip_cameras: the path of preview.mp4; preview.png is a frame on the way.
        advance: told of clip frames written.
    """
    (folder / "views").mkdir()
    views = []
    for index, picture in enumerate(pictures):
        path = folder / "views" / f"{index:04d}.png"
        save_png(path, picture.image)
        views += images_from_cameras(picture.camera, image=path, generated=picture.generated)
    save_scene(folder, replace(scene, views=views))
    write_grid_mesh(folder / "mesh.glb", surfaces, scene.up)

    count = len(clip_cameras)
    still = max(1, count // 10) if count > 1 else 0

    def frames():
        for index, camera in enumerate(clip_cameras):
            with torch.no_grad():
                frame = rasterize(scene.gaussians, camera).color[0]
            if index == still:
                save_png(folder / "preview.png", frame)
            advance(index + 1, count)
            yield frame

    save_mp4(folder / "preview.mp4", frames(), fps=CLIP_FPS)


def versions() -> dict[str, str]:
    """Of Python and the packages that decide the result."""
    found = {"python": platform.python_version()}
    for name in ("cosmorama", "torch", "numba", "numpy", "transformers", "opencv-contrib-python-headless"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe(
    source: dict[str, Any], camera: Cameras, models: dict[str, Any], seed: int, stages: dict[str, float]
) -> dict[str, Any]:
    """The part of scene.json that tells how the scene came about."""
    k = camera.intrinsics[0]
    return {
        "source": source,
        "camera": {
            "width": camera.width, "height": camera.height,
            "fl_x": float(k[0, 0]), "fl_y": float(k[1, 1]), "cx": float(k[0, 2]), "cy": float(k[1, 2]),
            "world_from_cam": camera.world_from_cam[0].tolist(),
        },
        "units": "metres",
        "models": models,
        "seed": seed,
        "stages": {name: round(seconds, 3) for name, seconds in stages.items()},
        "versions": versions(),
    }  # fmt: skip
