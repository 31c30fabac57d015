"""The viewer: a guarded viser server, what all visitors share, and one session per visitor."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..reconstruct.scene import Scene
from ..reconstruct.transforms_json import PosedImage
from . import packing, render
from .guard import page
from .listener import Listener, refuse_viser_uploads
from .page import PAGE_PATH, PageReports
from .panels import build_panels
from .session import Session
from .stage import fov_y_to_show, stage_scene
from .uploads import UPLOAD_PATH, Uploads

if TYPE_CHECKING:
    from viser import ClientHandle


class Viewer:
    """Serves one scene to any number of browsers."""

    def __init__(
        self,
        scene: Scene,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        token: str | None = None,
        listener: Listener | None = None,
        poster: bytes = b"",
    ) -> None:
        """Start serving; returns at once.

        Args:
            scene: what visitors see first.
            host: address to bind to; anything but this machine needs a token.
            port: the next free one is taken if it is in use; 0 for any.
            token: secret in the address that visitors open; required unless ``host`` is this machine.
            listener: serve on this one, instead of the address above.
            poster: the scene's first picture, if it has been drawn already.

        Raises:
            InputError: a port that there cannot be, or a public address without a token.
        """
        self._scene = scene
        self._stage = stage_scene(scene)
        self._placeholder: np.ndarray | None = None
        self._sessions: dict[int, Session] = {}
        self._growing = False
        self._lock = threading.Lock()
        self.extra_panels: list[Callable[[Session], None]] = []
        """Called for every new visitor, after the viewer's own panels."""
        self._poster, self._poster_lock = (scene if poster else None, poster), threading.Lock()
        self._listener = listener or Listener(host=host, port=port, token=token)
        self._listener.show(self._draw_poster)
        threading.Thread(target=self._prepare, name="prepare", daemon=True).start()
        self.server = self._listener.server
        self._share_stage()
        self.server.on_client_connect(self._welcome)
        self.server.on_client_disconnect(self._farewell)
        uploads, reports = Uploads(self.session_by_key), PageReports(self.session_by_key)
        self._listener.guard.admit({UPLOAD_PATH: uploads.receive, PAGE_PATH: reports.receive})

    @property
    def url(self) -> str:
        """The address to open, with the token if there is one."""
        return self._listener.url

    @property
    def scene(self) -> Scene:
        """What new visitors see first."""
        return self._scene

    def set_scene(self, scene: Scene, *, restage: bool = False) -> None:
        """Show another scene to everybody; their edits are forgotten, their cameras stay.

        Args:
            scene: the new one.
            restage: choose scale, clipping and home again.
        """
        with self._lock:
            self._scene = scene
            if restage:
                self._stage = stage_scene(scene)
            sessions = list(self._sessions.values())
        if restage:
            self._share_stage()
        for session in sessions:
            session.replace_scene(scene, self._stage if restage else None)

    def set_growing(self, growing: bool) -> None:
        """Whether the scene is still being made: nobody edits it then."""
        with self._lock:
            self._growing = growing
            for session in self._sessions.values():
                session.growing = growing

    def survey_ground(self) -> None:
        """Find the ground and draw the map again, for everybody: the scene has grown."""
        for session in self.sessions():
            session.survey_ground()

    def add_view(self, view: PosedImage) -> None:
        """One more known camera, for everybody."""
        with self._lock:
            self._scene = replace(self._scene, views=[*self._scene.views, view])
            sessions = list(self._sessions.values())
        for session in sessions:
            session.add_view(view)

    def set_placeholder(self, pixels: np.ndarray | None) -> None:
        """A picture to show while there are no splats yet, uint8 RGB."""
        self._placeholder = pixels
        for session in self.sessions():
            session.painter.set_placeholder(pixels)

    def sessions(self) -> list[Session]:
        """Everybody who is here."""
        with self._lock:
            return list(self._sessions.values())

    def session_by_key(self, key: str) -> Session | None:
        """A visitor by the secret that their page knows."""
        return next((s for s in self.sessions() if secrets.compare_digest(s.key, key)), None)

    def stop(self) -> None:
        """End the server."""
        for session in self.sessions():
            session.close()
        self._listener.stop()

    def _prepare(self) -> None:
        """What the first visitor will need, in this order."""
        page()
        self._draw_poster()
        packing.warm_up()
        render.warm_up()

    def _draw_poster(self) -> bytes:
        with self._lock:
            scene, stage = self._scene, self._stage
        with self._poster_lock:
            if self._poster[0] is not scene:
                self._poster = scene, render.poster(scene, stage)
            return self._poster[1]

    def _share_stage(self) -> None:
        """What the server tells every page before it shows anything."""
        stage, first = self._stage, self.server.initial_camera
        self.server.scene.set_up_direction(tuple(stage.up.tolist()))
        position = stage.home.positions[0] * stage.scale
        ahead = stage.home.forward[0] * stage.pivot_distance * stage.scale
        first.position = tuple(position.tolist())
        first.look_at = tuple((position + ahead).tolist())
        first.fov = fov_y_to_show(stage.home, 16 / 10)
        first.near, first.far = stage.near_display, stage.far_display

    def _welcome(self, client: ClientHandle) -> None:
        with self._lock:
            if client.client_id in self._sessions:
                return
            session = Session(client, self._scene, self._stage)
            session.growing = self._growing
            self._sessions[client.client_id] = session
        refuse_viser_uploads(client.gui)
        client.camera.on_update(lambda _: session.camera_moved())
        session.painter.set_placeholder(self._placeholder)
        session.arrive()
        build_panels(session)
        for panel in self.extra_panels:
            panel(session)
        session.survey_ground()  # last: the first picture and the panel matter more

    def _farewell(self, client: ClientHandle) -> None:
        with self._lock:
            session = self._sessions.pop(client.client_id, None)
        if session is not None:
            session.close()
