"""One visitor: their camera, their time, their edits. Nothing here is shared with other visitors."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..reconstruct.cameras import Cameras
from ..reconstruct.gaussians import Gaussians, wxyz_from_rotation
from ..reconstruct.scene import Scene
from ..reconstruct.transforms_json import PosedImage
from .frustums import Frustums
from .history import History
from .painter import Painter
from .render import render_rgb8
from .stage import Stage, fov_y_to_show, stage_scene

if TYPE_CHECKING:
    from viser import ClientHandle

FLIGHT_SECONDS = 0.7


class Session:
    """The state of one visitor and what can be done to it; panels call these methods."""

    def __init__(self, client: ClientHandle, scene: Scene, stage: Stage | None = None) -> None:
        """Open a scene for a visitor.

        Args:
            client: their browser.
            scene: what to show first.
            stage: of the scene; default computed.
        """
        self.client = client
        self.key = secrets.token_urlsafe(16)
        """Lets the page's script say which visitor it belongs to."""
        self.history: History[Scene] = History(scene)
        self.stage = stage or stage_scene(scene)
        self.time = 0.0
        self.painter = Painter(client, self.stage, render_rgb8)
        self.frustums = Frustums(self)
        self._flight = 0
        self._flying = threading.Lock()

    @property
    def scene(self) -> Scene:
        """What is shown, with this visitor's edits."""
        return self.history.value

    @property
    def gaussians(self) -> Gaussians:
        """The splats at this visitor's time."""
        return self.scene.at(self.time)

    def arrive(self) -> None:
        """Show everything to somebody who has just come."""
        camera = self.client.camera
        camera.fov = fov_y_to_show(self.stage.home, camera.image_width / max(camera.image_height, 1))
        self.refresh()
        self.frustums.show(self.scene.views)

    def refresh(self) -> None:
        """Show the current scene at the current time."""
        self.painter.show(self.gaussians, self.stage)

    def open(self, scene: Scene, name: str) -> None:
        """Show another scene, from its first camera."""
        self.history.reset(scene)
        self.time = 0.0
        self.set_stage(stage_scene(scene))
        self.refresh()
        self.go_home(seconds=0)
        self.client.add_notification(name, f"{len(scene.gaussians):,} splats", auto_close_seconds=5)

    def replace_scene(self, scene: Scene, stage: Stage | None = None) -> None:
        """Show a newer state of the scene; the camera stays, unless the scene has to be staged anew."""
        views_changed = scene.views != self.scene.views
        self.history.reset(scene)
        if stage is not None:
            self.set_stage(stage)
        elif views_changed:
            self.frustums.show(scene.views)
        self.refresh()
        if stage is not None:
            self.go_home(seconds=0)

    def add_view(self, view: PosedImage) -> None:
        """One more known camera."""
        self.history.value = replace(self.scene, views=[*self.scene.views, view])
        self.frustums.add(view)

    def set_stage(self, stage: Stage) -> None:
        """Scale, up, clipping and home for another scene."""
        self.stage = stage
        self.client.camera.near, self.client.camera.far = stage.near_display, stage.far_display
        self.client.scene.set_up_direction(tuple(stage.up.tolist()))
        self.frustums.show(self.scene.views)

    def camera_moved(self) -> None:
        """The browser's camera has changed."""
        self.painter.camera_moved()
        self.frustums.update()

    def set_time(self, value: float) -> None:
        """Go to a time in 0..1."""
        self.time = value
        if self.scene.motion is not None:
            self.painter.show(self.gaussians)

    def go_home(self, *, seconds: float = FLIGHT_SECONDS) -> None:
        """Back to the photo's view."""
        self.fly_to(self.stage.home, seconds=seconds)

    def fly_to(self, camera: Cameras, *, seconds: float = FLIGHT_SECONDS) -> None:
        """Move smoothly into a camera (a batch of one); a newer flight ends this one."""
        self._flight += 1
        flight = self._flight
        c = self.client.camera
        target = camera.positions[0].numpy() * self.stage.scale
        ahead = camera.forward[0].numpy() * self.stage.pivot_distance * self.stage.scale
        start, start_look, start_fov = np.array(c.position), np.array(c.look_at), c.fov
        fov = fov_y_to_show(camera, c.image_width / max(c.image_height, 1))
        began = time.monotonic()
        with self._flying:
            while flight == self._flight:
                done = 1.0 if seconds <= 0 else min(1.0, (time.monotonic() - began) / seconds)
                w = done * done * (3 - 2 * done)
                with self.client.atomic():
                    c.position = start + w * (target - start)
                    c.look_at = start_look + w * (target + ahead - start_look)
                    c.fov = start_fov + w * (fov - start_fov)
                if done >= 1:
                    break
                time.sleep(1 / 30)
            if flight == self._flight:
                wxyz = wxyz_from_rotation(camera.world_from_cam[0, :3, :3]).numpy()
                c.up_direction = self.stage.up.numpy() if _is_level(camera, self.stage.up) else c.up_direction
                if not _is_level(camera, self.stage.up):
                    c.wxyz = wxyz
        self.painter.camera_moved()

    def close(self) -> None:
        """The visitor has left."""
        self._flight += 1
        self.painter.stop()


def _is_level(camera: Cameras, up: torch.Tensor) -> bool:
    """Whether a camera's horizon is level enough to keep the scene's up."""
    return abs(float(camera.world_from_cam[0, :3, 0] @ up)) < 0.02
