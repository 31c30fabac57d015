"""A scene that is watched while it is made.

The maker calls methods from its own thread; none of them waits for a browser. Splats are copied at most once
a second.
"""

from __future__ import annotations

import threading
import time
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..reconstruct.gaussians import Gaussians
from ..reconstruct.scene import PHOTO_UP, Scene
from ..reconstruct.transforms_json import PosedImage
from .app import Viewer
from .panels.live import LivePanel

UPDATE_SECONDS = 1.0
"""Least time between two copies of the growing splats."""
_PANEL_SECONDS = 0.2
_TICK_SECONDS = 2.0


class LiveSession:
    """A viewer on a scene that grows; every method may be called from any thread."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        token: str | None = None,
        up: Float[Tensor, "3"] | None = None,
        metres_per_unit: float | None = None,
        open_browser: bool = False,
    ) -> None:
        """Open the viewer, empty.

        Args:
            host: address to bind to; anything but this machine needs a token.
            port: the next free one is taken if it is in use; 0 for any.
            token: secret in the address that visitors open.
            up: of the scene, if it is known already.
            metres_per_unit: of the scene, if it is known already.
            open_browser: open the address in the default browser, as soon as there is a photo to show.

        Raises:
            InputError: a port that there cannot be, or a public address without a token.
        """
        up = torch.tensor(PHOTO_UP) if up is None else up
        empty = Scene(_no_splats(), up=up, metres_per_unit=metres_per_unit)
        self.viewer = Viewer(empty, host=host, port=port, token=token)
        self.viewer.set_growing(True)
        self._cancel = threading.Event()
        self._panel = LivePanel(self.viewer.server, self._cancel.set)
        self._lock = threading.Lock()
        self._running = threading.RLock()
        """Held while pending calls run: they change the scene one after the other, whichever thread runs them."""
        self._pending: dict[str, Callable[[], None]] = {}
        self._updated_at = -np.inf
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="live-viewer", daemon=True)
        self._thread.start()
        self._open_browser = open_browser

    @property
    def url(self) -> str:
        """The address to open."""
        return self.viewer.url

    @property
    def cancelled(self) -> bool:
        """Whether somebody has pressed Cancel: stop at the next good moment and keep what is there."""
        return self._cancel.is_set()

    def stage(self, name: str, fraction: float, detail: str = "", seconds_left: float | None = None) -> None:
        """What is being done.

        Args:
            name: a few words, e.g. ``"Fitting splats"``.
            fraction: of this stage that is done, 0..1.
            detail: one line more.
            seconds_left: of the whole job, if that can be told.
        """
        self._later("stage", lambda: self._panel.stage(name, fraction, detail, seconds_left))

    def photo(self, image: Float[Tensor, "h w 3"] | Path, view: PosedImage | None = None) -> None:
        """The photo that the scene is made from, and its camera, from which the scene is seen first."""
        pixels = _rgb8(image)
        if pixels is not None:
            self.viewer.set_placeholder(pixels)
            self._later("photo", lambda: self._panel.picture("Photo", pixels))
        if view is not None:
            self.add_view(view)
        if self._open_browser:
            self._open_browser = False
            webbrowser.open(self.viewer.url)

    def depth(self, depth: Float[Tensor, "h w"]) -> None:
        """The depth of the photo, shown near to far from bright to dark."""
        inverse = 1 / depth.detach().float().cpu().clamp_min(1e-6)
        low, high = torch.quantile(
            inverse.flatten()[:: max(1, inverse.numel() // 10_000)], torch.tensor([0.02, 0.98])
        )
        grey = ((inverse - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
        pixels = _rgb8(grey[..., None].expand(-1, -1, 3))
        if pixels is not None:
            self._later("depth", lambda: self._panel.picture("Depth", pixels))

    def update(self, gaussians: Gaussians) -> bool:
        """Show the splats as they are now; costs nothing if the last ones were shown less than a second ago.

        Returns:
            Whether these splats were taken.
        """
        now = time.monotonic()
        with self._lock:
            if now - self._updated_at < UPDATE_SECONDS or self._closed:
                return False
            self._updated_at = now
        copy = Gaussians(**{k: v.detach().float().cpu().clone() for k, v in gaussians.tensors().items()})
        self._later("scene", lambda: self._show(replace(self.viewer.scene, gaussians=copy)))
        return True

    def add_view(self, view: PosedImage) -> None:
        """A camera of the scene and its picture, e.g. one that has just been generated."""
        with self._lock:
            count = len(self._pending)
            self._pending[f"view{count}{time.monotonic_ns()}"] = lambda: self._add_view(view)
        self._wake.set()

    def psnr(self, value: float, step: int | None = None) -> None:
        """How well the splats agree with the pictures that they are fitted to, in dB."""
        self._panel.keep_psnr(value, step)
        self._later("psnr", self._panel.draw_psnr)

    def finish(self, scene: Scene, message: str | None = None) -> None:
        """The scene is made: show all of it, with its views; from here on it is an ordinary viewer.

        Args:
            scene: all that was made.
            message: one line for those who watched; default whether it was made to the end.
        """
        self.flush()
        with self._lock:
            self._updated_at = np.inf
        self._show(scene)
        self.viewer.set_growing(False)
        self.viewer.survey_ground()
        stopped = "Stopped early; what was there is kept"
        self._panel.done(message or (stopped if self.cancelled else "Done"))

    def flush(self) -> None:
        """Wait until everything said so far has been handed to the browsers."""
        while self._run_pending():
            pass

    def wait(self) -> None:
        """Keep serving until Ctrl+C."""
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            self.close()

    def close(self) -> None:
        """End the viewer."""
        self._closed = True
        self._wake.set()
        self._thread.join(timeout=5)
        self.viewer.stop()

    def _show(self, scene: Scene) -> None:
        first = not len(self.viewer.scene.gaussians)
        self.viewer.set_scene(scene, restage=first)

    def _add_view(self, view: PosedImage) -> None:
        self.viewer.add_view(view)
        pixels = None if view.image is None else _rgb8(view.image)
        if pixels is not None and view.generated:
            self._panel.picture("Newest view", pixels)

    def _later(self, what: str, call: Callable[[], None]) -> None:
        with self._lock:
            self._pending.pop(what, None)
            self._pending[what] = call
        self._wake.set()

    def _run_pending(self) -> bool:
        with self._running:
            with self._lock:
                calls, self._pending = ({} if self._closed else self._pending), {}
            for call in calls.values():
                call()
            return bool(calls)

    def _loop(self) -> None:
        import logging

        while not self._closed:
            self._wake.wait(_TICK_SECONDS)
            self._wake.clear()
            try:
                self._run_pending()
                self._panel.tick()
            except Exception:
                logging.getLogger(__name__).exception("the live viewer could not show something")
            time.sleep(_PANEL_SECONDS)


def _no_splats() -> Gaussians:
    return Gaussians(
        torch.zeros(0, 3), torch.zeros(0, 4), torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, 1, 3)
    )


def _rgb8(image: Any) -> np.ndarray | None:
    """Pixels of an image file or of float RGB in 0..1, at most 1,024 pixels wide."""
    from PIL import Image

    if isinstance(image, Path | str):
        try:
            with Image.open(image) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError):
            return None
    else:
        picture = Image.fromarray((image.detach().float().cpu().clamp(0, 1) * 255).byte().numpy())
    picture.thumbnail((1024, 1024))
    return np.asarray(picture)
