"""Drawing a camera path by key frames, and filming along it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras, cat_cameras, focal_px_from_fov, moved, pinhole_intrinsics
from ...reconstruct.errors import InputError
from ...reconstruct.gaussians import wxyz_from_rotation
from ..film import MAX_FRAMES, render_film
from ..frustums import LINES
from ..paths import camera_path
from .live import about

if TYPE_CHECKING:
    from ..session import Session

_SIZES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
_FPS = 30
_MAKE, _PREVIEW = "Film it", "Preview"
_NO_KEYS = "No key frames yet: walk somewhere and add one."
_one_film_at_a_time = threading.Semaphore(1)


class _Path:
    """One visitor's key frames and the line through them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.keys: list[Cameras] = []
        self.nodes: list[Any] = []

    def add(self) -> None:
        self.keys.append(self.session.painter.camera())
        self.draw()

    def clear(self) -> None:
        self.keys.clear()
        self.draw()

    def drop_last(self) -> None:
        if self.keys:
            self.keys.pop()
        self.draw()

    def move(self, way: Float[Tensor, "3"]) -> None:
        """The scene has moved by ``way``."""
        self.keys[:] = [moved(key, way) for key in self.keys]
        self.draw()

    def cameras(self, seconds: float, size: tuple[int, int], loop: bool) -> Cameras:
        """The film's cameras: the keys' vertical field of view in pictures of another size."""
        width, height = size
        keys = []
        for key in self.keys:
            fov = 2 * float(np.rad2deg(np.arctan(key.height / (2 * float(key.intrinsics[0, 1, 1])))))
            intrinsics = pinhole_intrinsics(focal_px_from_fov(fov, height), width, height)[None]
            keys.append(Cameras(key.world_from_cam, intrinsics, width, height))
        return camera_path(cat_cameras(keys), max(1, round(seconds * _FPS)), loop=loop)

    def set_visible(self, visible: bool) -> None:
        for node in list(self.nodes):
            node.visible = visible

    def draw(self) -> None:
        """Key frames as small frustums, and the way between them."""
        for node in self.nodes:
            node.remove()
        self.nodes.clear()
        stage, scene = self.session.stage, self.session.client.scene
        for index, key in enumerate(self.keys):
            fov = 2 * float(np.arctan(key.height / (2 * float(key.intrinsics[0, 1, 1]))))
            self.nodes.append(
                scene.add_camera_frustum(
                    f"/film/{index}", fov=fov, aspect=key.width / key.height,
                    scale=0.03 * stage.pivot_distance * stage.scale, color=(255, 90, 90),
                    wxyz=wxyz_from_rotation(key.world_from_cam[0, :3, :3]).numpy(),
                    position=key.positions[0].numpy() * stage.scale, **LINES,
                )
            )  # fmt: skip
        if len(self.keys) > 1:
            points = self.cameras(len(self.keys), (16, 9), False).positions.numpy() * stage.scale
            segments = np.stack([points[:-1], points[1:]], axis=1)
            self.nodes.append(scene.add_line_segments("/film/way", segments, colors=(255, 90, 90), **LINES))


def build(session: Session) -> None:
    """Key frames, preview and the film itself."""
    gui, path = session.client.gui, _Path(session)
    count = gui.add_markdown(_NO_KEYS)
    gui.add_button("Add key frame (K)").on_click(lambda _: change(path.add))
    gui.add_button("Remove the last").on_click(lambda _: change(path.drop_last))
    gui.add_button("Remove all").on_click(lambda _: change(path.clear))
    seconds = gui.add_slider("Seconds", min=1, max=60, step=1, initial_value=6)
    loop = gui.add_checkbox("Return to the start", False)
    size = gui.add_dropdown("Size", tuple(_SIZES), initial_value="720p")
    preview = gui.add_button(_PREVIEW)
    make = gui.add_button(_MAKE)
    stop = gui.add_button("Stop filming", color="red", visible=False)
    bar = gui.add_progress_bar(0.0, visible=False)
    cancel, playing = threading.Event(), threading.Event()
    gone = threading.Event()
    session.on_close.append(gone.set)
    session.on_move.append(path.move)

    def change(call) -> None:
        call()
        n = len(path.keys)
        count.content = f"{n} key frame{'s' if n != 1 else ''}" if n else _NO_KEYS

    def ready() -> bool:
        if len(path.keys) < 2:
            session.client.add_notification("Film", "A path needs two key frames", auto_close_seconds=4)
        return len(path.keys) >= 2

    def play() -> None:
        if playing.is_set() or not ready():
            playing.clear()
            return
        cameras = path.cameras(float(seconds.value), _SIZES[size.value], loop.value)
        playing.set()
        preview.label, preview.color = "Stop the preview", "red"
        path.set_visible(False)
        began, flight = time.monotonic(), session._flight
        try:
            while (index := int((time.monotonic() - began) * _FPS)) < len(cameras):
                if not playing.is_set() or flight != session._flight:  # somebody flies elsewhere, or has left
                    break
                session.fly_to(cameras[index], seconds=0)
                flight += 1
                time.sleep(1 / _FPS)
        finally:
            playing.clear()
            preview.label, preview.color = _PREVIEW, None
            path.set_visible(True)

    def film() -> None:
        if not ready():
            return
        if not _one_film_at_a_time.acquire(blocking=False):
            session.client.add_notification("Film", "Another film is being made", auto_close_seconds=4)
            return
        cancel.clear()
        make.disabled, stop.visible, bar.visible = True, True, True
        began = time.monotonic()

        def tell(done: int, total: int) -> None:
            left = (time.monotonic() - began) * (total - done) / done
            make.label, bar.value = f"Filming {done} of {total}, {about(left)} left", 100 * done / total

        try:
            cameras = path.cameras(float(seconds.value), _SIZES[size.value], loop.value)
            _film(session, cameras, cancel, gone, tell)
        except InputError as error:
            session.client.add_notification("Film", str(error), auto_close_seconds=8)
        except RuntimeError:  # a program that ends starts no threads, and a frame needs some
            if not gone.is_set():
                raise
        finally:
            _one_film_at_a_time.release()
            make.label, make.disabled, stop.visible, bar.visible = _MAKE, False, False, False

    preview.on_click(lambda _: play())
    make.on_click(lambda _: film())
    stop.on_click(lambda _: cancel.set())
    gui.add_command("Add key frame", hotkey="K").on_trigger(lambda _: change(path.add))


def _film(
    session: Session,
    cameras: Cameras,
    cancel: threading.Event,
    gone: threading.Event,
    on_progress: Callable[[int, int], None],
) -> None:
    with tempfile.TemporaryDirectory(prefix="cosmorama-") as folder:
        file = Path(folder) / "film.mp4"
        render_film(
            file,
            session.scene,
            cameras[:MAX_FRAMES],
            fps=_FPS,
            cancelled=lambda: cancel.is_set() or gone.is_set(),
            on_progress=on_progress,
        )
        if not gone.is_set():
            session.client.send_file_download("film.mp4", file.read_bytes(), save_immediately=True)
