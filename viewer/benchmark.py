"""What the viewer costs: time to the first picture, memory, and work per picture."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..reconstruct.files import write_splats
from ..reconstruct.gaussians import Gaussians, gaussians_from_points
from ..reconstruct.motion import Motion
from .packing import pack_splats
from .quantise import quantise

CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


def random_scene(splats: int, *, sh_degree: int = 3, seed: int = 0) -> Gaussians:
    """Splats on the walls of a room of 6 x 3 x 6 m, seen from its middle."""
    g = torch.Generator().manual_seed(seed)
    points = (torch.rand(splats, 3, generator=g) - 0.5) * torch.tensor([6.0, 3.0, 6.0])
    wall = torch.randint(3, (splats,), generator=g)
    half = torch.tensor([3.0, 1.5, 3.0])
    rows = torch.arange(splats)
    points[rows, wall] = half[wall] * (torch.randint(2, (splats,), generator=g) * 2 - 1)
    size = torch.full((splats,), 1.2 * (108.0 / splats) ** 0.5 / 2)
    gaussians = gaussians_from_points(
        points, torch.rand(splats, 3, generator=g), size, opacity=0.9, sh_degree=sh_degree
    )
    sh = gaussians.sh.clone()
    sh[:, 1:] = 0.1 * torch.randn(sh[:, 1:].shape, generator=g)
    return replace(gaussians, sh=sh)


def benchmark(
    splats: int = 200_000, *, chromium: str = "/usr/bin/chromium", repeats: int = 5
) -> dict[str, Any]:
    """Measure; times in milliseconds, the fastest of ``repeats``.

    Args:
        splats: size of the scene, with harmonics of degree 3.
        chromium: a browser to open the viewer with; left out if it or playwright is missing.
        repeats: of the work per picture.
    """
    gaussians = random_scene(splats)
    moving = random_scene(10_000)
    steps = torch.linspace(0, 1, 24)
    means = moving.means + 0.3 * torch.sin(6.28 * (steps[:, None, None] + moving.means))
    motion = Motion(steps, means, moving.quats.expand(24, -1, -1).clone(), 2.0)
    times = iter(range(10**9))

    def one_step() -> None:
        at = (next(times) % 24 + 0.5) / 24
        pack_splats(motion.at(moving, at), torch.zeros(3), 500.0)

    step_ms = _fastest_ms(one_step, 24 * repeats)
    report = {
        "splats": splats,
        "recolour_and_pack_ms": _fastest_ms(lambda: pack_splats(gaussians, torch.zeros(3), 500.0), repeats),
        "quantise_for_html_ms": _fastest_ms(lambda: quantise(gaussians, None, 1), 1),
        "timeline_10k_splats_frames_per_second": 1000 / step_ms,
    }
    with tempfile.TemporaryDirectory(prefix="cosmorama-") as folder:
        path = Path(folder) / "scene.ply"
        write_splats(path, gaussians)
        del gaussians
        return report | _first_picture(path, chromium)


def _fastest_ms(call: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, 1000 * (time.perf_counter() - start))
    return best


def _first_picture(path: Path, chromium: str) -> dict[str, Any]:
    """Open a scene file in a fresh process, and in a browser if there is one."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(path, theirs), daemon=True)
    start = time.perf_counter()
    process.start()
    url = ours.recv()
    report: dict[str, Any] = {"server_ready_s": time.perf_counter() - start}
    try:
        report |= _visit(url, chromium, start, lambda: _ask(ours, "shown"))
    finally:
        report |= _ask(ours, "stop")
        process.join(10)
    return report


def _ask(pipe: Any, what: str) -> Any:
    pipe.send(what)
    return pipe.recv()


def _serve(path: Path, pipe: Any) -> None:
    from .app import show_scene

    viewer = show_scene(path, port=0, block=False)
    pipe.send(viewer.url)
    while pipe.recv() == "shown":
        pipe.send(any(session.painter.has_painted for session in viewer.sessions()))
    used = resource.getrusage(resource.RUSAGE_SELF)
    megabytes = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    pipe.send({"server_peak_mb": megabytes, "server_cpu_s": used.ru_utime + used.ru_stime})
    viewer.stop()


def _visit(url: str, chromium: str, start: float, painted: Callable[[], bool]) -> dict[str, Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {"browser": "playwright is not installed"}
    if shutil.which(chromium) is None:
        return {"browser": f"no {chromium}"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        opened = time.perf_counter()
        page.goto(url, wait_until="commit")
        while not painted():
            page.wait_for_timeout(20)
        painted_at = time.perf_counter()
        page.wait_for_function(_NOT_BLACK, timeout=120_000)
        seen_at = time.perf_counter()
        browser.close()
    return {
        "browser": "Chromium, software GL",
        "page_to_painted_s": painted_at - opened,
        "page_to_seen_s": seen_at - opened,
    }


_NOT_BLACK = """() => {
  const canvas = window.__viserMutable?.canvas;
  if (!canvas) return false;
  const small = document.createElement("canvas").getContext("2d");
  small.drawImage(canvas, 0, 0, 64, 64);
  const d = small.getImageData(0, 0, 64, 64).data;
  let lit = 0;
  for (let i = 0; i < d.length; i += 4) lit += d[i] + d[i + 1] + d[i + 2] > 60;
  return lit > 400;
}"""
