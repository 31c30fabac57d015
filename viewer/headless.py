"""The viewer as a headless Chromium shows it, for measurements; needs playwright and a Chromium."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from ..reconstruct.gaussians import Gaussians
from ..reconstruct.scene import Scene
from .modes import SPLATS
from .render import render_rgb8

CHROMIUM_ARGS = (
    "--headless", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
_PATIENCE_SECONDS = 120.0
_CANVAS = "(window.__viserMutable?.canvas ?? document.getElementById('view'))"
_POSTER_SHOWN = """() => {
  const picture = document.querySelector("#cosmorama-opening img");
  return picture && picture.complete && picture.naturalWidth > 0;
}"""
_PAINTED = """() => JSON.parse(document.getElementById("cosmorama-config")?.dataset.config ?? "{}").painted"""
_NOT_BLACK = f"""() => {{
  const canvas = {_CANVAS};
  if (!canvas) return false;
  const small = document.createElement("canvas").getContext("2d");
  small.drawImage(canvas, 0, 0, 64, 64);
  const d = small.getImageData(0, 0, 64, 64).data;
  let lit = 0;
  for (let i = 0; i < d.length; i += 4) lit += d[i] + d[i + 1] + d[i + 2] > 60;
  return lit > 400;
}}"""


class Visit:
    """A browser to visit viewers with."""

    def __init__(self, chromium: Any) -> None:
        """Wrap a playwright browser."""
        self._chromium = chromium

    def blank(self) -> Any:
        """An empty page in a window of usual size, ready to go somewhere."""
        page = self._chromium.new_page(viewport={"width": 1280, "height": 720})
        page.goto("about:blank")
        return page

    def open(self, url: str, width: int, height: int) -> Any:
        """A page on a viewer, at one canvas pixel per pixel (viser shrinks the canvas of slow browsers)."""
        page = self._chromium.new_page(viewport={"width": width, "height": height})
        page.goto(f"{url}{'&' if '?' in url else '?'}fixedDpr=1")
        return page


def watch_opening(page: Any, url: str) -> Iterator[tuple[str, float]]:
    """Open a viewer and tell when, by ``time.perf_counter``, something is there.

    ``first_picture``: the page shows the scene from its first camera, as a still. ``first_painted``: the server has
    sent a picture for the visitor's own camera. ``first_walk``: the canvas shows it.

    Args:
        page: a blank one.
        url: of a viewer.
    """
    page.goto(url, wait_until="commit")
    for name, there in (
        ("first_picture", _POSTER_SHOWN),
        ("first_painted", _PAINTED),
        ("first_walk", _NOT_BLACK),
    ):
        page.wait_for_function(there, timeout=1000 * _PATIENCE_SECONDS)
        yield name, time.perf_counter()


@contextmanager
def headless(chromium: str) -> Iterator[Visit | None]:
    """A browser, or None if there is no such file or no playwright.

    Args:
        chromium: path of the program.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        yield None
        return
    if shutil.which(chromium) is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGS))
        yield Visit(browser)
        browser.close()


def canvas_pixels(page: Any) -> np.ndarray:
    """What a page of ours shows, without the panel: uint8 RGB."""
    url = page.evaluate(f"{_CANVAS}.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of two pictures, uint8."""
    return float(-10 * np.log10(np.mean((a / 255.0 - b / 255.0) ** 2)))


def agreement(visit: Visit, gaussians: Gaussians) -> float:
    """PSNR in dB between splats drawn by the browser and our own picture from the camera that it reports."""
    from .app import Viewer

    viewer = Viewer(Scene(gaussians), port=0)
    try:
        page = visit.open(viewer.url, 560, 300)
        before, now, end = -1.0, 0.0, time.monotonic() + _PATIENCE_SECONDS
        while (
            now == 0 or abs(now - before) > 0.05
        ) and time.monotonic() < end:  # until it is drawn and sorted
            page.wait_for_timeout(1000)
            before = now
            for session in viewer.sessions():
                session.want_mode(SPLATS)
                camera, shown = session.painter.camera(), canvas_pixels(page)
                if shown.shape[:2] == (camera.height, camera.width) and shown.mean() > 5:
                    now = psnr(shown, render_rgb8(session.gaussians, camera))
        page.close()
        return now
    finally:
        viewer.stop()
