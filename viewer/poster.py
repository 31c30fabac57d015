"""The first picture of a scene: the page shows it while everything else is still on its way."""

from __future__ import annotations

import io
import math
import threading
from typing import TYPE_CHECKING

from PIL import Image

from ..reconstruct.cameras import Cameras, focal_px_from_fov, pinhole_intrinsics
from .render import render_rgb8
from .stage import Stage, fov_y_to_show

if TYPE_CHECKING:
    from ..reconstruct.scene import Scene

POSTER_PATH = "/cosmorama/poster.jpg"
WIDTH, HEIGHT = 1600, 640
"""Wider than most windows: the page cuts off the sides."""
WINDOW_ASPECT = 16 / 10
"""Of the window that a new visitor's lens is first made for."""


class Poster:
    """What a new visitor will see first, as a JPEG; may be asked for by any thread."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._lock = threading.Lock()
        self._of: Scene | None = None
        self._jpeg = b""

    def jpeg(self, scene: Scene, stage: Stage) -> bytes:
        """The picture of a scene from its home camera; empty if it has no splats."""
        with self._lock:
            if self._of is not scene:
                self._jpeg = _jpeg(scene, stage)
                self._of = scene
            return self._jpeg


def _jpeg(scene: Scene, stage: Stage) -> bytes:
    gaussians = scene.at(0.0)
    if not len(gaussians):
        return b""
    focal = focal_px_from_fov(math.degrees(fov_y_to_show(stage.home, WINDOW_ASPECT)), HEIGHT)
    camera = Cameras(stage.home.world_from_cam, pinhole_intrinsics(focal, WIDTH, HEIGHT)[None], WIDTH, HEIGHT)
    buffer = io.BytesIO()
    Image.fromarray(render_rgb8(gaussians, camera, stage.near)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
