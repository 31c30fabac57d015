"""What one visitor sees: a thread per browser colours splats for its camera, or streams rendered frames."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..reconstruct.cameras import Cameras
from ..reconstruct.gaussians import Gaussians
from .home import BLACK, Color
from .modes import FRAMES, SPLATS
from .packing import pack_splats
from .stage import Stage, camera_from_viser

if TYPE_CHECKING:
    from viser import ClientHandle, GaussianSplatHandle

log = logging.getLogger(__name__)

STILL_SECONDS = 0.25
"""A camera that has not moved for so long is still."""
SHARP_PX, MOVING_PX = 1920, 640
"""Longest side of a streamed frame when the camera is still, and while it moves."""


@dataclass(frozen=True)
class _Shown:
    """What the browser shows now."""

    gaussians: Gaussians
    mode: str
    camera: Cameras
    sharp: bool
    backdrop: Color


class Painter:
    """Keeps the picture of one browser up to date; every method may be called from any thread.

    Only the newest request counts: a browser that turns faster than we paint skips pictures in between.
    """

    def __init__(
        self,
        client: ClientHandle,
        stage: Stage,
        render: Callable[[Gaussians, Cameras, float, Color], np.ndarray],
        on_painted: Callable[[str, float, int, float], None] | None = None,
    ) -> None:
        """Start painting for a client.

        Args:
            client: whose browser.
            stage: of the scene.
            render: the picture of splats beyond a near plane and before a colour, uint8 [h, w, 3].
            on_painted: called with mode, seconds, number of splats and width / height after each picture.
        """
        self.client = client
        self.stage = stage
        self.mode = SPLATS
        self._render = render
        self._on_painted = on_painted
        self._gaussians: Gaussians | None = None
        self.backdrop = BLACK
        self._node: GaussianSplatHandle | None = None
        self._shown: _Shown | None = None
        self._placeholder: np.ndarray | None = None
        self._moved_at = 0.0
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name=f"painter-{client.client_id}", daemon=True)
        self._thread.start()

    @property
    def has_painted(self) -> bool:
        """Whether the browser has been sent a picture of splats."""
        return self._shown is not None and len(self._shown.gaussians) > 0

    def show(self, gaussians: Gaussians, stage: Stage | None = None, backdrop: Color | None = None) -> None:
        """Show these splats from now on, before this colour."""
        self.backdrop = self.backdrop if backdrop is None else backdrop
        self._gaussians = gaussians
        self.stage = stage or self.stage
        self._wake.set()

    def set_mode(self, mode: str) -> None:
        """Switch between ``SPLATS`` and ``FRAMES``."""
        self.mode = mode
        self._wake.set()

    def set_placeholder(self, pixels: np.ndarray | None) -> None:
        """A picture to show as long as there are no splats, uint8 RGB."""
        self._placeholder = pixels
        self._shown = None
        self._wake.set()

    def camera_moved(self) -> None:
        """The browser's camera has changed."""
        self._moved_at = time.monotonic()
        self._wake.set()

    def stop(self) -> None:
        """End the thread; does not wait for the picture in work."""
        self._stopped = True
        self._wake.set()

    def camera(self) -> Cameras:
        """The browser's camera in scene units, a batch of one at the window's size."""
        c = self.client.camera
        width, height = max(c.image_width, 1), max(c.image_height, 1)
        return camera_from_viser(c.wxyz, c.position, c.fov, width, height, self.stage.scale)

    def _loop(self) -> None:
        while not self._stopped:
            still = time.monotonic() - self._moved_at > STILL_SECONDS
            self._wake.wait(None if still else STILL_SECONDS)
            self._wake.clear()
            if self._stopped:
                return
            try:
                self._paint()
            except Exception:
                if self._stopped:
                    return
                log.exception("the picture of viewer %d could not be painted", self.client.client_id)

    def _paint(self) -> None:
        gaussians = self._gaussians
        if gaussians is None:
            return
        camera, mode = self.camera(), self.mode
        sharp = time.monotonic() - self._moved_at > STILL_SECONDS
        if not self._worth_painting(gaussians, mode, camera, sharp):
            return
        start = time.perf_counter()
        if not len(gaussians):
            self._paint_placeholder(camera)
        elif mode == SPLATS:
            self._paint_splats(gaussians, camera)
        else:
            self._paint_frame(gaussians, camera, sharp)
        self._shown = _Shown(gaussians, mode, camera, sharp, self.backdrop)
        if self._on_painted is not None:
            seconds, aspect = time.perf_counter() - start, camera.width / camera.height
            self._on_painted(mode, seconds, len(gaussians), aspect)

    def _worth_painting(self, gaussians: Gaussians, mode: str, camera: Cameras, sharp: bool) -> bool:
        shown = self._shown
        if shown is None or shown.gaussians is not gaussians or shown.mode != mode:
            return True
        if shown.backdrop != self.backdrop:
            return True
        if (camera.width, camera.height) != (shown.camera.width, shown.camera.height):
            return True
        if mode == FRAMES:
            same = torch.equal(camera.world_from_cam, shown.camera.world_from_cam)
            return not (same and torch.equal(camera.intrinsics, shown.camera.intrinsics)) or (
                sharp and not shown.sharp
            )
        moved = float((camera.positions - shown.camera.positions).norm()) / self.stage.pivot_distance
        zoomed = abs(float(camera.intrinsics[0, 0, 0] / shown.camera.intrinsics[0, 0, 0]) - 1)
        return moved > (1e-4 if sharp else 0.02) or zoomed > 0.02

    def _paint_splats(self, gaussians: Gaussians, camera: Cameras) -> None:
        buffer = pack_splats(
            gaussians, camera.positions[0], float(camera.intrinsics[0, 1, 1]), scale=self.stage.scale
        )
        shown = self._shown
        before = shown.backdrop if shown and shown.mode == SPLATS and len(shown.gaussians) else None
        if before != self.backdrop:
            plain = np.broadcast_to(np.array(self.backdrop) * 255 + 0.5, (2, 2, 3)).astype(np.uint8)
            self.client.scene.set_background_image(plain, format="png")
        if self._node is None:
            none = np.zeros((0, 3), np.float32)
            self._node = self.client.scene.add_gaussian_splats(
                "/splats", none, np.zeros((0, 3, 3), np.float32), none, none[:, :1]
            )
        self._node.buffer = buffer
        self._node.visible = True

    def _paint_placeholder(self, camera: Cameras) -> None:
        if self._placeholder is None:
            picture = np.zeros((2, 2, 3), np.uint8)
        else:
            picture = letterboxed(self._placeholder, camera.width / camera.height)
        self.client.scene.set_background_image(picture, format="jpeg", jpeg_quality=85)

    def _paint_frame(self, gaussians: Gaussians, camera: Cameras, sharp: bool) -> None:
        longest = SHARP_PX if sharp else MOVING_PX
        ratio = min(1.0, longest / max(camera.width, camera.height))
        small = camera.resized(max(1, round(camera.width * ratio)), max(1, round(camera.height * ratio)))
        picture = self._render(gaussians, small, self.stage.near, self.backdrop)
        if self._node is not None:
            self._node.visible = False
        self.client.scene.set_background_image(picture, format="jpeg", jpeg_quality=90 if sharp else 75)


def letterboxed(pixels: np.ndarray, aspect: float) -> np.ndarray:
    """A picture with black borders, so that width / height becomes ``aspect``."""
    height, width = pixels.shape[:2]
    full_width, full_height = max(width, round(height * aspect)), max(height, round(width / aspect))
    left, top = (full_width - width) // 2, (full_height - height) // 2
    picture = np.zeros((full_height, full_width, 3), np.uint8)
    picture[top : top + height, left : left + width] = pixels
    return picture
