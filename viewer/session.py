"""One visitor: their camera, their time, their edits. Nothing here is shared with other visitors."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..reconstruct.cameras import Cameras, moved
from ..reconstruct.gaussians import Gaussians, rotation_from_wxyz, wxyz_from_rotation
from ..reconstruct.scene import Scene
from ..reconstruct.transforms_json import PosedImage
from .editing import shift_between
from .frustums import Frustums
from .history import History
from .modes import FRAMES, ModePicker, describe, is_software
from .page import PageLink, ground_settings
from .painter import Painter
from .playback import Playback
from .render import render_rgb8
from .stage import Stage, backdrop_of, fov_y_to_show, stage_scene

if TYPE_CHECKING:
    from viser import ClientHandle

log = logging.getLogger(__name__)

FLIGHT_SECONDS = 0.7
OPENING_SECONDS = 30.0
"""So long the page may still wait for a picture of its shape; later it is not told of every new shape of its window."""


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
        self.picker = ModePicker()
        self.on_change: list[Callable[[], None]] = []
        """Called after the scene or the way it is shown has changed; panels update what they say."""
        self.on_move: list[Callable[[Float[Tensor, "3"]], None]] = []
        """Called with the way by which the scene was moved; who keeps places in it moves them along."""
        self.on_close: list[Callable[[], None]] = []
        """Called when the visitor has left."""
        self.growing = False
        """While the scene is being made edits would be lost with its next state: there are none."""
        self.page = PageLink(self)
        self.painter = Painter(client, self.stage, render_rgb8, self._painted)
        self.frustums = Frustums(self)
        self.playback = Playback(self)
        self._lens = self.stage.home
        self._aspect = 0.0
        self._painted_aspect = 0.0
        self._arrived = time.monotonic()
        self._flight = 0
        self._flying = threading.Lock()
        self._editing = threading.RLock()
        """Held while the scene changes and is shown: viser runs callbacks in several threads."""

    @property
    def scene(self) -> Scene:
        """What is shown, with this visitor's edits."""
        return self.history.value

    @property
    def gaussians(self) -> Gaussians:
        """The splats at this visitor's time."""
        return self.scene.at(self.time)

    @property
    def mode_text(self) -> str:
        """How the scene is shown, for people."""
        return describe(self.painter.mode, len(self.scene.gaussians), self.scene.gaussians.sh_degree)

    def arrive(self) -> None:
        """Show everything to somebody who has just come."""
        self.go_home(seconds=0)  # viser tells where they shall stand, and still says where they stood before
        self.refresh()
        self.frustums.show(self.scene.views)

    def refresh(self) -> None:
        """Show the current scene at the current time."""
        self.painter.set_mode(self.picker.mode(len(self.scene.gaussians)))
        self.painter.show(self.gaussians, self.stage, backdrop_of(self.scene))
        self._tell_panels()

    def open(self, scene: Scene, name: str) -> None:
        """Show another scene, from its first camera."""
        self.playback.pause()
        self.time = 0.0
        self.replace_scene(scene, stage_scene(scene))
        self.client.add_notification(name, f"{len(scene.gaussians):,} splats", auto_close_seconds=5)

    def replace_scene(self, scene: Scene, stage: Stage | None = None) -> None:
        """Show a newer state of the scene; the camera stays, unless the scene has to be staged anew."""
        with self._editing:
            old = self.scene.views
            views_changed = len(scene.views) != len(old) or any(a is not b for a, b in zip(scene.views, old))
            self.history.reset(scene)
            if stage is not None:
                self.set_stage(stage)
            elif views_changed:
                self.frustums.show(scene.views)
            self.refresh()
        if stage is not None:
            self.go_home(seconds=0)

    def edit(self, change: Callable[[Scene], Scene]) -> None:
        """Change the scene; ``undo`` leads back. Edits wait for each other.

        Args:
            change: the new scene for the present one; the same object if nothing is to change.
        """
        if self.growing:
            text = "The scene is still being made. It can be edited when it is done."
            self.client.add_notification("Edit", text, auto_close_seconds=5)
            return
        with self._changing_scene():
            if (after := change(self.scene)) is not self.scene:
                self.history.push(after)

    def undo(self) -> None:
        """Take back the last edit."""
        with self._changing_scene():
            self.history.undo()

    def redo(self) -> None:
        """Take back the last undo."""
        with self._changing_scene():
            self.history.redo()

    def add_view(self, view: PosedImage) -> None:
        """One more known camera."""
        with self._editing:
            self.history.value = replace(self.scene, views=[*self.scene.views, view])
            self.frustums.add(view)

    def set_time(self, value: float) -> None:
        """Go to a time in 0..1."""
        self.time = value
        if self.scene.motion is not None:
            self.painter.show(self.gaussians)

    def set_stage(self, stage: Stage) -> None:
        """Scale, up, clipping and home for another scene."""
        self.stage = stage
        self.client.camera.near, self.client.camera.far = stage.near_display, stage.far_display
        self.client.scene.set_up_direction(tuple(stage.up.tolist()))
        self.frustums.show(self.scene.views)
        self.survey_ground()

    def survey_ground(self) -> None:
        """Tell the page where the ground is, and what the map shows."""
        self.page.tell(**ground_settings(self))

    def camera_moved(self) -> None:
        """The browser's camera has changed."""
        self._fit_window()
        self.painter.camera_moved()
        self.frustums.update()

    def browser_is(self, renderer: str) -> None:
        """The browser has said what draws its pictures."""
        self.picker.software_gl = is_software(renderer)
        self._pick_mode()

    def browser_drew(self, milliseconds: float) -> None:
        """The browser has said how long a picture takes while the camera moves."""
        if self.painter.mode != FRAMES and 0 < milliseconds < 60_000:
            self.picker.drew(milliseconds, len(self.scene.gaussians))
            self._pick_mode()

    def want_mode(self, mode: str) -> None:
        """``auto``, ``splats`` or ``frames``."""
        self.picker.wanted = mode
        self._pick_mode()

    def go_home(self, *, seconds: float = FLIGHT_SECONDS) -> None:
        """Back to the photo's view."""
        self.fly_to(self.stage.home, seconds=seconds)

    def fly_to(self, camera: Cameras, *, seconds: float = FLIGHT_SECONDS) -> None:
        """Move smoothly into a camera (a batch of one); a newer flight ends this one."""
        self._flight += 1
        flight = self._flight
        c = self.client.camera
        reach = self.stage.pivot_distance * self.stage.scale
        target = camera.positions[0].numpy() * self.stage.scale
        start, start_fov = np.array(c.position), c.fov
        ahead = rotation_from_wxyz(torch.tensor(c.wxyz))[:, 2].numpy()
        target_ahead = camera.forward[0].numpy()
        fov = fov_y_to_show(camera, c.image_width / max(c.image_height, 1))
        began = time.monotonic()
        with self._flying:
            while flight == self._flight:
                done = 1.0 if seconds <= 0 else min(1.0, (time.monotonic() - began) / seconds)
                w = done * done * (3 - 2 * done)
                direction = (1 - w) * ahead + w * target_ahead
                direction = direction / max(float(np.linalg.norm(direction)), 1e-6)
                position = start + w * (target - start)
                with self.client.atomic():
                    c.position = position
                    c.look_at = position + reach * direction
                    c.fov = start_fov + w * (fov - start_fov)
                if done >= 1:
                    self._land(camera)
                    break
                time.sleep(1 / 30)
        self.painter.camera_moved()

    def close(self) -> None:
        """The visitor has left."""
        self._flight += 1
        self.playback.pause()
        self.painter.stop()
        for call in list(self.on_close):
            call()

    def _fit_window(self) -> None:
        """Show the whole picture of the camera that was flown to last, whatever the shape of the window becomes.

        The panel docks only after the page has told its size, and windows are resized.
        """
        camera = self.client.camera
        aspect = camera.image_width / max(camera.image_height, 1)
        if abs(aspect / max(self._aspect, 1e-6) - 1) > 1e-3:
            self._aspect = aspect
            camera.fov = fov_y_to_show(self._lens, aspect)

    def _land(self, camera: Cameras) -> None:
        """Upright where the camera's horizon is level, so that walking stays natural; else exactly as it stood."""
        self._lens = camera
        level = abs(float(camera.world_from_cam[0, :3, 0] @ self.stage.up)) < 0.02
        if level:
            self.client.camera.up_direction = self.stage.up.numpy()
        else:
            self.client.camera.wxyz = wxyz_from_rotation(camera.world_from_cam[0, :3, :3]).numpy()

    @contextmanager
    def _changing_scene(self) -> Iterator[None]:
        with self._editing:
            before, camera = self.scene, self.painter.camera()
            yield
            if self.scene is before:
                return
            way = shift_between(before, self.scene)
            if not torch.equal(before.up, self.scene.up) or before.views is not self.scene.views:
                home = self.scene.home or moved(self.stage.home, way)
                self.set_stage(replace(stage_scene(self.scene), home=home, scale=self.stage.scale))
            self.refresh()
        if way.any():
            self.fly_to(moved(camera, way), seconds=0)
            for call in list(self.on_move):
                call(way)

    def _pick_mode(self) -> None:
        mode = self.picker.mode(len(self.scene.gaussians))
        if mode != self.painter.mode:
            self.painter.set_mode(mode)
            self._tell_panels()

    def _painted(self, mode: str, seconds: float, splats: int, aspect: float) -> None:
        opening = not self._painted_aspect or time.monotonic() - self._arrived < OPENING_SECONDS
        if splats and opening and aspect != self._painted_aspect:
            self._painted_aspect = aspect
            self.page.tell(painted=aspect)
        if mode == FRAMES and splats:
            self.picker.rendered(1000 * seconds)

    def _tell_panels(self) -> None:
        for call in list(self.on_change):
            call()
