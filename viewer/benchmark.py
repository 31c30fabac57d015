"""What the viewer costs: time to the first picture, memory, work per picture; and how true its picture is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..reconstruct.files import write_splats
from ..reconstruct.gaussians import Gaussians, gaussians_from_points
from ..reconstruct.motion import Motion
from .headless import Visit, agreement, headless, watch_opening
from .packing import pack_splats
from .quantise import quantise


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
    view: Sequence[str], splats: int = 200_000, *, chromium: str = "/usr/bin/chromium", repeats: int = 5
) -> dict[str, Any]:
    """Measure; work per picture is the fastest of ``repeats``.

    Args:
        view: the command that opens a scene, as a list of words.
        splats: size of the scene, with harmonics of degree 3.
        chromium: a browser to open the viewer with; what needs it is left out if it or playwright is missing.
        repeats: of the work per picture.
    """
    report: dict[str, Any] = {"splats": splats}
    with tempfile.TemporaryDirectory(prefix="cosmorama-") as folder:
        path = Path(folder) / "scene.ply"
        write_splats(path, random_scene(splats))
        with headless(chromium) as browser:
            report |= _first_picture(path, view, browser)
            if browser is not None:
                report["browser_against_render_db"] = agreement(browser, random_scene(10_000, sh_degree=1))
    return report | _work_per_picture(splats, repeats)


def _work_per_picture(splats: int, repeats: int) -> dict[str, Any]:
    gaussians, moving, origin = random_scene(splats), random_scene(10_000), torch.zeros(3)
    steps = torch.linspace(0, 1, 24)
    means = moving.means + 0.3 * torch.sin(6.28 * (steps[:, None, None] + moving.means))
    motion = Motion(steps, means, moving.quats.expand(24, -1, -1).clone(), 2.0)
    times = iter(range(10**9))

    def one_step() -> None:
        at = (next(times) % 24 + 0.5) / 24
        pack_splats(motion.at(moving, at), origin, 500.0)

    return {
        "recolour_and_pack_ms": _fastest_ms(lambda: pack_splats(gaussians, origin, 500.0), repeats),
        "quantise_for_html_ms": _fastest_ms(lambda: quantise(gaussians, None, 1), 1),
        "timeline_10k_splats_frames_per_second": 1000 / _fastest_ms(one_step, 24 * repeats),
    }


def _fastest_ms(call: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, 1000 * (time.perf_counter() - start))
    return best


def _first_picture(path: Path, view: Sequence[str], browser: Visit | None) -> dict[str, Any]:
    """Open a scene file as a user does, with the command itself, and in a page of a browser that runs already."""
    page = None if browser is None else browser.blank()
    start = time.perf_counter()
    server = subprocess.Popen(
        [*view, str(path), "--port", "0", "--no-open"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert server.stderr is not None
    report: dict[str, Any] = {}
    try:
        url = next((line.split()[-1] for line in server.stderr if "http://" in line), None)
        if url is None:
            raise RuntimeError(f"{' '.join(view)} did not say where the viewer is")
        report["server_ready_s"] = time.perf_counter() - start
        if page is not None:
            for name, seen in watch_opening(page, url):
                report[f"{name}_s"] = seen - start
            page.close()
    finally:
        server.terminate()
        _, status, used = os.wait4(server.pid, 0)
        server.returncode = os.waitstatus_to_exitcode(status)
        server.stderr.close()
    megabytes = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return report | {"server_peak_mb": megabytes, "server_cpu_s": used.ru_utime + used.ru_stime}
