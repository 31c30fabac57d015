"""Measurements of the main job."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..reconstruct.cameras import Cameras, cat_cameras, turned
from ..reconstruct.rasterize import rasterize
from ..reconstruct.scene import Scene, load_scene
from .demo import demo_photo
from .generators import COVERED
from .trajectories import plan_trajectory, reach_of


def bench_make(photo: Path | None, presets: Sequence[str], repeats: int) -> dict[str, Any]:
    """Reports of ``make --json`` by preset, each from processes of their own so that peak memory is the job's."""
    photo = photo or demo_photo()
    results: dict[str, Any] = {
        "photo": photo.name,
        "threads": torch.get_num_threads(),
        "cpu": platform.machine(),
    }
    for preset in presets:
        reports = [_run_once(photo, preset) for _ in range(repeats)]
        reports.sort(key=lambda report: report["seconds"])
        results[preset] = reports[len(reports) // 2]
    return results


def _run_once(photo: Path, preset: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cosmorama.pipeline.cli", "make", str(photo)]
        command += ["--preset", preset, "--out", f"{folder}/scene", "--json", "--no-view"]
        run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return {**json.loads(run.stdout), "voids": round(voids(load_scene(Path(folder) / "scene")), 4)}


WIDER = 1.8
"""Extent of the path from which voids are counted, beside the one that the scene was made for; none of those from which
scenes are mended."""
TURNED = ((-38.0, 0.0), (-20.0, 0.0), (20.0, 0.0), (38.0, 0.0), (0.0, 18.0), (0.0, -18.0))
"""Degrees to the right and up by which the head is turned at the photo's place, likewise."""


def voids(scene: Scene) -> float:
    """Share of pixels that show nothing, from an orbit ``WIDER`` than the planned one and with the head ``TURNED``."""
    home = scene.home
    assert home is not None
    with torch.no_grad():
        depth = rasterize(scene.gaussians, home).median_depth[0]
        cameras = plan_trajectory("orbit", home, reach_of(depth[depth > 0][None]), 9, extent=WIDER)
        poses = home.world_from_cam[0] @ turned(TURNED)
        beside = Cameras(poses, home.intrinsics.expand(len(poses), 3, 3), home.width, home.height)
        cameras = cat_cameras([cameras, beside])
        shown = [float((rasterize(scene.gaussians, c).alpha > COVERED).float().mean()) for c in cameras]
    return 1 - sum(shown) / len(shown)
