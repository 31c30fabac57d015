"""The scene folder of a finished job: splats, description, views, preview picture and clip, mesh."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..reconstruct.cameras import Cameras
from ..reconstruct.gaussians import Gaussians
from ..reconstruct.mesh.grid import DepthPicture, write_grid_mesh
from ..reconstruct.rasterize import rasterize
from ..reconstruct.scene import Scene, save_scene
from ..reconstruct.transforms_json import PosedImage, images_from_cameras
from .photo import Photo
from .pictures import save_mp4, save_png
from .progress import Advance
from .watch import Watcher

CLIP_FPS = 24


class ViewWriter:
    """Writes views/NNNN.png as views come to be: the photo first, then what is generated."""

    def __init__(self, folder: Path, photo: Photo, watcher: Watcher, advance: Advance, total: int) -> None:
        self.views: list[PosedImage] = []
        self._folder, self._watcher, self._advance, self._total = folder / "views", watcher, advance, total
        self._folder.mkdir()
        self._write(photo.camera, photo.image, generated=False)

    def add_photo(self, photo: DepthPicture) -> None:
        """A further photo."""
        self._write(photo.camera, photo.image, generated=False)
        self._watcher.add_view(self.views[-1])

    def add(self, done: int, gaussians: Gaussians, camera: Cameras, picture: Float[Tensor, "h w 3"]) -> bool:
        """A generated view; the answer is whether to stop here."""
        self._write(camera, picture, generated=True)
        self._watcher.add_view(self.views[-1])
        self._advance(done, self._total)
        self._watcher.update(gaussians)
        return self._watcher.cancelled

    def _write(self, camera: Cameras, picture: Float[Tensor, "h w 3"], *, generated: bool) -> None:
        path = self._folder / f"{len(self.views):04d}.png"
        save_png(path, picture)
        self.views += images_from_cameras(camera, image=path, generated=generated)


def write_scene_folder(
    folder: Path, scene: Scene, surfaces: list[DepthPicture], clip_cameras: Cameras, advance: Advance
) -> None:
    """Write everything that a scene folder holds besides the pictures of its views.

    Args:
        folder: exists; its views are there already.
        scene: its first view is the photo.
        surfaces: what the mesh is made of.
        clip_cameras: the path of preview.mp4; preview.png is a frame on the way.
        advance: told of clip frames written.
    """
    scene = replace(
        scene, info={**scene.info, "camera": _camera_record(scene.views[0]), "versions": versions()}
    )
    save_scene(folder, scene)
    write_grid_mesh(folder / "mesh.glb", surfaces, scene.up)

    count = len(clip_cameras)
    still = max(1, count // 10) if count > 1 else 0

    def frames() -> Iterator[Tensor]:
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
    for name in ("cosmorama", "torch", "numba", "numpy", "transformers", "opencv-python-headless"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _camera_record(view: PosedImage) -> dict[str, Any]:
    k = view.intrinsics
    return {
        "width": view.width, "height": view.height,
        "fl_x": float(k[0, 0]), "fl_y": float(k[1, 1]), "cx": float(k[0, 2]), "cy": float(k[1, 2]),
        "world_from_cam": view.world_from_cam.tolist(),
    }  # fmt: skip
