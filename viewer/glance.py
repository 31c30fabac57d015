"""A glance at a scene on disk: just enough to draw its first picture, read without torch.

Only what most files are: a .ply of little-endian float32 as we and the reference implementation write it, alone or in
a scene folder of ours. Anything else is left to ``load_scene``, which knows all formats and says what is wrong.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..reconstruct.reading import read_limited
from .home import BLACK, NEAR_DISPLAY, Home, backdrop_color, default_home, display_scale, median_depth
from .poster import RawSplats, draw_poster

MAX_SPLATS = 2_000_000
"""Reading more twice takes longer than it gains."""
_MAX_HEADER = 1 << 14
_MAX_JSON = 1 << 24
"""Bytes; larger files are left to ``load_scene``."""
_UP = (0.0, -1.0, 0.0)


@dataclass(frozen=True)
class Glance:
    """A scene of which only the header has been read."""

    file: Path
    offset: int
    """Where the rows begin."""
    count: int
    names: tuple[str, ...]
    up: tuple[float, ...]
    metres_per_unit: float | None
    home: Home | None = None
    """None if no camera is known."""
    generated: bool = False
    """Whether the scene has generated views."""

    def poster(self) -> bytes:
        """The first picture as a JPEG; empty if it has to wait for ``load_scene``."""
        try:
            splats = self._splats()
            home = self.home or default_home(splats.means, np.array(self.up, np.float32))
            if not np.isfinite(home.world_from_cam).all():
                return b""
            scale = display_scale(self.metres_per_unit, median_depth(splats.means, home))
            backdrop = backdrop_color(splats.sh[:, 0], splats.opacity_logits) if self.generated else BLACK
            return draw_poster(splats, home, NEAR_DISPLAY / scale, backdrop)
        except (OSError, ValueError, ArithmeticError):
            return b""

    def _splats(self) -> RawSplats:
        rows = np.memmap(self.file, np.float32, "r", self.offset, (self.count, len(self.names)))
        per_channel = sum(name.startswith("f_rest_") for name in self.names) // 3
        sh = np.empty((self.count, 1 + per_channel, 3), np.float32)
        sh[:, 0] = self._columns(rows, "f_dc_0", 3)
        if per_channel:
            rest = self._columns(rows, "f_rest_0", 3 * per_channel)
            sh[:, 1:] = rest.reshape(-1, 3, per_channel).transpose(0, 2, 1)
        return RawSplats(
            self._columns(rows, "x", 3), self._columns(rows, "rot_0", 4), self._columns(rows, "scale_0", 3),
            self._columns(rows, "opacity", 1)[:, 0], sh,
        )  # fmt: skip

    def _columns(self, rows: NDArray[np.float32], first: str, count: int) -> NDArray[np.float32]:
        at = self.names.index(first)
        return np.ascontiguousarray(rows[:, at : at + count])


def glance(path: Path) -> Glance | None:
    """Look at a splat file or a scene folder; None if it is of another kind, or not as it should be."""
    try:
        if path.is_dir():
            if (path / "motion.safetensors").exists():
                return None
            info = json.loads(read_limited(path / "scene.json", _MAX_JSON))
            entries = json.loads(read_limited(path / "transforms.json", _MAX_JSON))["frames"]
            generated = any(entry.get("generated", False) for entry in entries)
            found, unit = _glance(path / "scene.ply"), info.get("metres_per_unit")
            if found is None or not (unit is None or 0 < unit < math.inf):
                return None
            return replace(found, metres_per_unit=unit, home=_camera(entries[0]), generated=generated)
        return _glance(path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def _glance(file: Path) -> Glance | None:
    with file.open("rb") as opened:
        start, size = opened.read(_MAX_HEADER), opened.seek(0, 2)
    head, end, _ = start.partition(b"end_header\n")
    lines = [line.split() for line in head.decode("ascii").splitlines()]
    comments = {line[1]: line[2:] for line in lines if line[:1] == ["comment"] and len(line) > 2}
    lines = [line for line in lines if line[:1] != ["comment"]]
    names = tuple(line[2] for line in lines[3:] if line[:2] == ["property", "float"])
    rest = sum(name.startswith("f_rest_") for name in names)
    plain = (
        end
        and lines[:2] == [["ply"], ["format", "binary_little_endian", "1.0"]]
        and lines[2][:2] == ["element", "vertex"]
        and len(names) == len(lines) - 3
        and _in_a_row(names, ("x", "y", "z"), ("f_dc_0", "f_dc_1", "f_dc_2"), ("opacity",))
        and _in_a_row(
            names, *(tuple(f"{word}_{i}" for i in range(n)) for word, n in (("rot", 4), ("scale", 3)))
        )
        and (not rest or _in_a_row(names, tuple(f"f_rest_{i}" for i in range(rest))))
        and rest in (0, 9, 24, 45)
        and 0 < int(lines[2][2]) <= MAX_SPLATS
        and len(head) + len(end) + 4 * len(names) * int(lines[2][2]) <= size
    )
    if not plain or b"comment vertical axis" in head.lower():  # nerfstudio's way to tell what is up
        return None
    up = tuple(float(word) for word in comments.get("up_axis", _UP))
    length = math.hypot(*up)
    if len(up) != 3 or not 1e-6 < length < math.inf:
        return None
    metres_per_unit = float(comments["metres_per_unit"][0]) if "metres_per_unit" in comments else None
    if metres_per_unit is not None and not 0 < metres_per_unit < math.inf:
        return None
    up = tuple(value / length for value in up)
    return Glance(file, len(head) + len(end), int(lines[2][2]), names, up, metres_per_unit)


def _in_a_row(names: tuple[str, ...], *groups: tuple[str, ...]) -> bool:
    return all(
        group[0] in names and names[names.index(group[0]) :][: len(group)] == group for group in groups
    )


def _camera(entry: dict) -> Home:
    """An entry of a transforms.json as we write it; see ``reconstruct.transforms_json`` for all others."""
    pose = np.array(entry["transform_matrix"], np.float64) @ np.diag([1.0, -1.0, -1.0, 1.0])
    if pose.shape != (4, 4):
        raise ValueError
    intrinsics = np.array(
        [[entry["fl_x"], 0, entry["cx"]], [0, entry["fl_y"], entry["cy"]], [0, 0, 1]], np.float32
    )
    return Home(pose.astype(np.float32), intrinsics, int(entry["w"]), int(entry["h"]))
