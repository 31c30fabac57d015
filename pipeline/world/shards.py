"""Shards of synthetic frames: plain zip files of standard images, written once and read at random.

``shard-00007.zip`` holds some scenes; scene 61 with three frames is::

    00000061/scene.json      kind, captions, instance names, model keys, and per frame pose, intrinsics, time
    00000061/000.jpg         colour, sRGB
    00000061/000.depth.png   16 bit: 0 for sky, else 1 + 65534 log(z / 0.03) / log(2000 / 0.03); z in metres along the axis
    00000061/000.normal.png  8 bit: (n + 1) / 2 * 255 in the camera's axes (x right, y down, z forward); 0 0 0 for sky
    00000061/000.id.png      8 or 16 bit instance ids; 0 for sky

The depth code is exact to 0.009 %. Poses are ``world_from_cam`` with OpenCV axes in a world with z up, in metres.
"""

from __future__ import annotations

import io
import json
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...reconstruct.errors import InputError
from .render import Rendered, View

NEAREST, FARTHEST = 0.03, 2000.0
JPEG_QUALITY = 94
FIXED_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class WorldFrame:
    """One synthetic frame with everything known about it."""

    scene: int
    frame: int
    rgb: np.ndarray
    """uint8 [H, W, 3], sRGB."""
    depth_m: np.ndarray
    """float32 [H, W], z along the camera's axis in metres; inf for the sky."""
    normals: np.ndarray
    """float32 [H, W, 3] in the camera's OpenCV axes, facing the camera; 0 for the sky."""
    instance: np.ndarray
    """uint16 [H, W]; 0 for the sky."""
    world_from_cam: np.ndarray
    """float64 [4, 4], OpenCV axes; the world has z up, in metres."""
    intrinsics: np.ndarray
    """float64 [3, 3], pixels."""
    time: float
    """0..1 over the scene's clip; things that move have moved."""
    shot: int
    """Frames of one shot lie on a smooth path."""
    caption: str


def encode_depth(depth_m: np.ndarray) -> np.ndarray:
    """uint16 code of depth in metres; non-positive and infinite depth is 0."""
    sky = ~np.isfinite(depth_m) | (depth_m <= 0)
    clipped = np.clip(np.where(sky, 1.0, depth_m), NEAREST, FARTHEST)
    code = 1 + np.round(65534 * np.log(clipped / NEAREST) / np.log(FARTHEST / NEAREST))
    return np.where(sky, 0, code).astype(np.uint16)


def decode_depth(code: np.ndarray) -> np.ndarray:
    """float32 metres of the 16-bit code; inf where it is 0."""
    table = NEAREST * np.exp((np.arange(65536) - 1.0) / 65534 * np.log(FARTHEST / NEAREST))
    table[0] = np.inf
    return table.astype(np.float32)[code]


def encode_png(image: np.ndarray) -> bytes:
    """PNG of uint8 [H, W], uint8 [H, W, 3] or uint16 [H, W]; favours speed (one filter, fast deflate)."""
    height, width = image.shape[:2]
    depth = image.dtype.itemsize * 8
    rows = image.astype(">u2").view(np.uint8) if depth == 16 else image
    rows = rows.reshape(height, -1)
    step = rows.shape[1] // width
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 1  # the Sub filter: difference to the pixel on the left
    filtered[:, 1 : step + 1] = rows[:, :step]
    filtered[:, step + 1 :] = rows[:, step:] - rows[:, :-step]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 2 if image.ndim == 3 else 0, 0, 0, 0)
    body = zlib.compress(filtered.tobytes(), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def frame_files(picture: Rendered) -> dict[str, bytes]:
    """File suffix -> content of one frame."""
    jpeg = io.BytesIO()
    Image.fromarray(picture.rgb).save(jpeg, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    ids = picture.instances.astype(np.uint8 if picture.instances.max() < 256 else np.uint16)
    normals = np.round((picture.normals + 1) * 127.5).astype(np.uint8)
    normals[picture.depth <= 0] = 0
    return {
        "jpg": jpeg.getvalue(),
        "depth.png": encode_png(encode_depth(picture.depth)),
        "normal.png": encode_png(normals),
        "id.png": encode_png(ids),
    }


def frame_entry(view: View, shot: int, caption: str) -> dict[str, Any]:
    """What scene.json says about one frame."""
    return {
        "shot": shot,
        "time": round(view.time, 6),
        "world_from_cam": np.round(view.world_from_cam, 9).tolist(),
        "intrinsics": np.round(view.intrinsics, 6).tolist(),
        "caption": caption,
    }


def scene_name(number: int) -> str:
    """The scene's name wherever scenes are told apart by name, as when some are held out."""
    return f"scene-{number:08d}"


class ShardWriter:
    """Writes one shard under a temporary name; `close` gives it its own."""

    def __init__(self, path: Path) -> None:
        """Start a shard that will be at ``path``."""
        self.path = path
        self._scratch = path.with_name(f".{path.name}.part")
        self._zip = zipfile.ZipFile(self._scratch, "w", zipfile.ZIP_STORED)

    def add_scene(self, scene: int, info: dict[str, Any], frames: Sequence[dict[str, bytes]]) -> None:
        """Append a scene: its description and its frames' files."""
        for number, files in enumerate(frames):
            for suffix, data in files.items():
                self._write(f"{scene:08d}/{number:03d}.{suffix}", data)
        self._write(f"{scene:08d}/scene.json", json.dumps(info).encode())

    def _write(self, name: str, data: bytes) -> None:
        self._zip.writestr(zipfile.ZipInfo(name, FIXED_TIME), data)

    def close(self) -> None:
        """Finish the shard."""
        self._zip.close()
        self._scratch.replace(self.path)


class WorldDataset:
    """Random access to a folder of shards, by (scene, frame) or by number."""

    def __init__(self, folder: Path | str) -> None:
        """Index a folder.

        Raises:
            InputError: when it holds no shards.
        """
        self.folder = Path(folder)
        self.scenes: dict[int, dict[str, Any]] = {}
        self._shard_of: dict[int, Path] = {}
        self._open: dict[Path, zipfile.ZipFile] = {}
        self._lock = threading.Lock()
        for path in sorted(self.folder.glob("shard-*.zip")):
            with zipfile.ZipFile(path) as shard:
                for name in shard.namelist():
                    if name.endswith("/scene.json"):
                        scene = int(name.split("/")[0])
                        self.scenes[scene] = json.loads(shard.read(name))
                        self._shard_of[scene] = path
        if not self.scenes:
            raise InputError(f"{self.folder} holds no shard-*.zip of a synthetic world")
        self._keys = [(s, f) for s in sorted(self.scenes) for f in range(len(self.scenes[s]["frames"]))]

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int | tuple[int, int]) -> WorldFrame:
        """One frame, by its number among all or by (scene, frame)."""
        scene, frame = self._keys[index] if isinstance(index, int) else index
        entry = self.scenes[scene]["frames"][frame]
        normals = np.asarray(self._image(scene, frame, "normal.png"), np.float32)
        sky = (normals == 0).all(axis=-1)
        normals = normals / 127.5 - 1
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
        normals[sky] = 0
        return WorldFrame(
            scene=scene,
            frame=frame,
            rgb=np.array(self._image(scene, frame, "jpg")),
            depth_m=self.depth(scene, frame),
            normals=normals,
            instance=self.instances(scene, frame),
            world_from_cam=np.array(entry["world_from_cam"]),
            intrinsics=np.array(entry["intrinsics"]),
            time=entry["time"],
            shot=entry["shot"],
            caption=entry["caption"],
        )

    def rgb(self, scene: int, frame: int) -> np.ndarray:
        """Only the colour of a frame: uint8 [H, W, 3]."""
        return np.array(self._image(scene, frame, "jpg"))

    def depth(self, scene: int, frame: int) -> np.ndarray:
        """Only the depth of a frame: float32 [H, W] metres, inf for the sky."""
        return decode_depth(np.asarray(self._image(scene, frame, "depth.png")).astype(np.uint16))

    def instances(self, scene: int, frame: int) -> np.ndarray:
        """Only the instance ids of a frame: uint16 [H, W]; 0 for the sky."""
        return np.asarray(self._image(scene, frame, "id.png")).astype(np.uint16)

    def _image(self, scene: int, frame: int, suffix: str) -> Image.Image:
        path = self._shard_of[scene]
        with self._lock:
            if path not in self._open:
                if len(self._open) > 64:
                    self._open.pop(next(iter(self._open))).close()
                self._open[path] = zipfile.ZipFile(path)
            data = self._open[path].read(f"{scene:08d}/{frame:03d}.{suffix}")
        return Image.open(io.BytesIO(data))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}, "_lock": None}  # neither travels to worker processes

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = {**state, "_lock": threading.Lock()}


def iter_frames(folder: Path | str) -> Iterator[WorldFrame]:
    """Every frame of a folder of shards, in order."""
    dataset = WorldDataset(folder)
    return (dataset[i] for i in range(len(dataset)))
