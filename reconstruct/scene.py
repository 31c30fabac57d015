"""The scene folder: splats, how they came about, and the views they were made from.

scene.ply           splats, INRIA layout
scene.json          source, camera, up, units, models and licences, seeds, timings, versions
transforms.json     one entry per picture in views/, poses in the scene's world
views/*.png         input and generated views
motion.safetensors  only for scenes that move: times [t], means [t, n, 3], quats [t, n, 4]
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .cameras import Cameras
from .errors import InputError
from .files import MAX_SPLATS, read_splats, write_splats
from .gaussians import Gaussians
from .motion import Motion
from .reading import read_limited
from .transforms_json import PosedImage, read_transforms, write_transforms

FORMAT = "cosmorama-scene"
MAX_BYTES = 16_000_000
"""Of a scene.json."""
PHOTO_UP = (0.0, -1.0, 0.0)
"""Up in the world of a scene made from a level photo: y points down."""


@dataclass(frozen=True)
class Scene:
    """Splats and what is known about them."""

    gaussians: Gaussians
    motion: Motion | None = None
    up: Float[Tensor, "3"] = field(default_factory=lambda: torch.tensor(PHOTO_UP))
    """Unit vector in the world."""
    metres_per_unit: float | None = None
    """None where the scale is not known."""
    views: list[PosedImage] = field(default_factory=list)
    """Known cameras and their pictures; the first is the scene's own view (the photo)."""
    info: dict[str, Any] = field(default_factory=dict)
    """Everything else in scene.json."""

    def at(self, time: float) -> Gaussians:
        """The splats at a time in 0..1."""
        return self.gaussians if self.motion is None else self.motion.at(self.gaussians, time)

    @property
    def home(self) -> Cameras | None:
        """The camera that the scene is first seen from, as a batch of one."""
        if not self.views:
            return None
        view = self.views[0]
        return Cameras(view.world_from_cam[None], view.intrinsics[None], view.width, view.height)


def save_scene(folder: Path, scene: Scene) -> None:
    """Write scene.ply, scene.json, transforms.json (and motion) into an existing folder.

    The pictures of ``scene.views`` must already lie inside it. For a folder that appears whole or not at all, call
    this inside ``files.atomic_folder``.
    """
    write_splats(
        folder / "scene.ply",
        scene.gaussians,
        up=scene.up,
        metres_per_unit=scene.metres_per_unit,
        overwrite=True,
    )
    record = {
        "format": FORMAT, "version": 1, "up": scene.up.tolist(), "metres_per_unit": scene.metres_per_unit,
        "units": "metres" if scene.metres_per_unit == 1.0 else "scene",
        **scene.info,
    }  # fmt: skip
    (folder / "scene.json").write_text(json.dumps(record, indent=1))
    write_transforms(folder / "transforms.json", scene.views)
    if scene.motion is not None:
        m = scene.motion
        tensors = {"times": m.times, "means": m.means, "quats": m.quats, "seconds": torch.tensor(m.seconds)}
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "motion.safetensors")


def load_scene(path: Path | str, *, max_splats: int = MAX_SPLATS) -> Scene:
    """A scene folder, or any splat file on its own.

    Args:
        path: the folder or file.
        max_splats: files that claim more are refused before memory is taken for them.

    Raises:
        InputError: no such path, or a file in it cannot be used.
    """
    path = Path(path)
    if path.is_file():
        splats = read_splats(path, max_splats=max_splats)
        up = torch.tensor(PHOTO_UP) if splats.up is None else splats.up
        return Scene(splats.gaussians, splats.motion, up, splats.metres_per_unit)
    if not (path / "scene.ply").is_file():
        raise InputError(f"{path}: neither a scene folder (no scene.ply in it) nor a splat file")
    splats = read_splats(path / "scene.ply", max_splats=max_splats)
    described = path / "scene.json"
    try:
        info = json.loads(read_limited(described, MAX_BYTES)) if described.exists() else {}
        up = torch.nn.functional.normalize(torch.tensor(info.get("up", PHOTO_UP), dtype=torch.float32), dim=0)
        assert up.shape == (3,)
        assert up.isfinite().all()
        unit = info.pop("metres_per_unit", None)
        assert unit is None or 0 < unit < math.inf, f"metres_per_unit is {str(unit)[:40]}"
    except (OSError, ValueError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise InputError(f"{described}: not a scene description ({error})") from None
    views = read_transforms(path) if (path / "transforms.json").exists() else []
    return Scene(
        splats.gaussians,
        _load_motion(path / "motion.safetensors", len(splats.gaussians)),
        up,
        unit,
        views,
        {k: v for k, v in info.items() if k not in ("format", "version", "up")},
    )


def _load_motion(path: Path, n: int) -> Motion | None:
    if not path.exists():
        return None
    try:
        tensors = load_file(path)
        motion = Motion(tensors["times"], tensors["means"], tensors["quats"], float(tensors["seconds"]))
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a motion file ({error})") from None
    t = len(motion.times)
    if motion.means.shape != (t, n, 3) or motion.quats.shape != (t, n, 4) or t == 0:
        raise InputError(f"{path}: motion of shape {tuple(motion.means.shape)} does not fit {n} splats")
    values = (motion.times, motion.means, motion.quats)
    if any(v.dtype != torch.float32 or not v.isfinite().all() for v in values) or motion.times.ndim != 1:
        raise InputError(f"{path}: not a motion file (its values are not finite float32)")
    if bool((motion.times.diff() <= 0).any()) or not 0 <= motion.seconds < math.inf:
        raise InputError(f"{path}: not a motion file (its times do not increase)")
    return motion
