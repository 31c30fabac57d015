"""A scene as one HTML file: no server, no network, opens by a double click.

The page (``static/share.*`` and ``static/splats.js``) draws with WebGL 2 and needs nothing that browsers
withhold from ``file://``. The splats are quantised (see ``quantise``), gzipped and carried in base64.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from pathlib import Path
from typing import Any

from ..reconstruct.errors import InputError
from ..reconstruct.files import atomic_write
from ..reconstruct.scene import Scene
from .quantise import quantise
from .stage import Stage, backdrop_of, stage_scene

MAX_MEGABYTES = 48.0
"""Harmonics are left out, highest degree first, until the file is about this small."""
_STATIC = Path(__file__).parent / "static"


def write_html(
    path: str | Path,
    scene: Scene,
    *,
    title: str = "",
    sh_degree: int | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write a page that shows a scene, from the photo's view first, and lets people walk in it.

    Args:
        path: the file to write.
        scene: with at least one splat; motion is kept and plays.
        title: of the page; default the file's name.
        sh_degree: keep harmonics up to this degree; default as many as fit into about 48 MB.
        overwrite: replace an existing file.

    Returns:
        Notes, one line each, on what was left out.

    Raises:
        InputError: the scene is empty, or the file exists.
    """
    path = Path(path)
    if not len(scene.gaussians):
        raise InputError(f"{path}: the scene has no splats")
    kept = scene.gaussians.sh_degree if sh_degree is None else min(sh_degree, scene.gaussians.sh_degree)
    while sh_degree is None and kept > 0 and _megabytes(scene, kept) > MAX_MEGABYTES:
        kept -= 1
    page = build_page(scene, title or path.stem, kept)
    with atomic_write(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(page)
    return (f"harmonics above degree {kept} were left out",) if kept < scene.gaussians.sh_degree else ()


def build_page(scene: Scene, title: str, sh_degree: int) -> bytes:
    """The whole page."""
    header, planes = quantise(scene.gaussians, scene.motion, sh_degree)
    header |= {"title": title, "backdrop": backdrop_of(scene), **_view(stage_scene(scene))}
    payload = base64.b64encode(gzip.compress(b"".join(p.tobytes() for p in planes), 6, mtime=0))
    parts = {
        "TITLE": html.escape(title).encode(),
        "STYLE": _static("share.css"),
        "SCRIPT": _static("splats.js") + b"\n" + _static("share.js"),
        "HEADER": json.dumps(header).replace("<", "\\u003c").encode(),
        "PAYLOAD": payload,
    }
    return re.sub(rb"{{([A-Z]+)}}", lambda match: parts[match[1].decode()], _static("share.html"))


def _view(stage: Stage) -> dict[str, Any]:
    """First camera, up and walking scale."""
    camera = stage.home
    return {
        "world_from_cam": camera.world_from_cam[0].tolist(),
        "tan_half_fov": [
            camera.width / (2 * float(camera.intrinsics[0, 0, 0])),
            camera.height / (2 * float(camera.intrinsics[0, 1, 1])),
        ],
        "up": stage.up.tolist(),
        "near": stage.near,
        "distance": stage.pivot_distance,
        "speed": stage.walking_speed,
    }


def _megabytes(scene: Scene, degree: int) -> float:
    """Size of the page before gzip, which is close to the truth for noisy harmonics."""
    times = 1 if scene.motion is None else len(scene.motion.times)
    per_splat = 10 * times + 7 + 3 * ((degree + 1) ** 2 - 1)
    return len(scene.gaussians) * per_splat * 4 / 3 / 1e6


def _static(name: str) -> bytes:
    return (_STATIC / name).read_bytes()
