"""Photos with true depth, from wherever: what training, checking and the feature cache read.

The folder layout read here is that of RGB-D benchmarks: ``frame-*.color.jpg`` (or .png), ``frame-*.depth.png`` of the
same name (16 bit, millimetres; 0 and 65535 mean unknown) and one ``camera-intrinsics.txt`` (3x3, pixels of the colour
frames).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from ...reconstruct.errors import InputError
from ..world.shards import WorldDataset
from . import FAR_DEPTH_M

INTRINSICS = "camera-intrinsics.txt"
INDOORS_M = 10.0
"""What is farther away than this in a room of a synthetic world is seen through a window, and not learnt from: bright
windows look like white walls, and a few far pixels weigh as much as a room."""


@dataclass(frozen=True)
class DepthFrame:
    """One photo and the truth about it."""

    image: Float[Tensor, "h w 3"]
    """sRGB in [0, 1]."""
    depth_m: Float[Tensor, "h w"]
    """Metres along z, ``FAR_DEPTH_M`` also for what is further; 0 where unknown or sky."""
    far: Bool[Tensor, "h w"]
    """Known to be sky."""
    focal_px: float
    name: str = ""
    instances: Int[Tensor, "h w"] | None = None
    """Which thing each pixel shows, from 1; 0 where unknown. None where nobody knows."""


def frame_folder(folder: Path | str) -> list[Path]:
    """The colour frames of a folder in the layout above, sorted.

    Raises:
        InputError: no such folder, no frames, or no intrinsics.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    colours = sorted(
        p for p in folder.glob("frame-*.color.*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")
    )
    pairs = [p for p in colours if _depth_path(p).exists()]
    if not pairs:
        raise InputError(f"{folder} holds no pairs of frame-*.color.jpg and frame-*.depth.png")
    if not (folder / INTRINSICS).exists():
        raise InputError(f"{folder / INTRINSICS} is missing (3x3, in pixels)")
    return pairs


def read_frame(colour: Path) -> DepthFrame:
    """A colour frame with the depth image and intrinsics beside it.

    Raises:
        InputError: unreadable files, or colour and depth of different sizes.
    """
    try:
        intrinsics = np.loadtxt(colour.parent / INTRINSICS)
        image = torch.from_numpy(np.array(Image.open(colour).convert("RGB"))).float() / 255
        millimetres = np.array(Image.open(_depth_path(colour))).astype(np.float32)
    except (OSError, ValueError) as error:
        raise InputError(f"{colour}: {error}") from error
    if intrinsics.shape != (3, 3):
        raise InputError(f"{colour.parent / INTRINSICS} must be 3x3, not {intrinsics.shape}")
    if millimetres.shape != image.shape[:2]:
        raise InputError(f"{colour}: colour is {tuple(image.shape[:2])}, depth {millimetres.shape}")
    millimetres[millimetres == 65535] = 0
    depth = torch.from_numpy(millimetres / 1000)
    return DepthFrame(
        image, depth, torch.zeros_like(depth, dtype=torch.bool), float(intrinsics[0, 0]), colour.stem
    )


def _depth_path(colour: Path) -> Path:
    return colour.with_name(colour.name.split(".color.")[0] + ".depth.png")


class FrameFolder:
    """The frames of a folder in the layout above, read one at a time."""

    def __init__(self, folder: Path | str) -> None:
        self._paths = frame_folder(folder)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> DepthFrame:
        return read_frame(self._paths[index])


class WorldFrames:
    """The frames of a synthetic world; those of a scene are neighbours."""

    def __init__(self, folder: Path | str) -> None:
        self._world = WorldDataset(folder)
        self._keys = [
            (s, f) for s, scene in sorted(self._world.scenes.items()) for f in range(len(scene["frames"]))
        ]

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> DepthFrame:
        scene, frame = self._keys[index]
        depth = torch.from_numpy(self._world.depth(scene, frame))
        far = ~depth.isfinite()
        image = torch.from_numpy(self._world.rgb(scene, frame)).float() / 255
        focal = float(self._world.scenes[scene]["frames"][frame]["intrinsics"][0][0])
        if self._world.scenes[scene]["indoor"]:
            depth, far = torch.where(depth > INDOORS_M, 0.0, depth), torch.zeros_like(far)
        known = torch.where(far, 0.0, depth.clamp(max=FAR_DEPTH_M))
        instances = torch.from_numpy(self._world.instances(scene, frame).astype(np.int64))
        return DepthFrame(image, known, far, focal, f"{scene}-{frame}", instances)


def open_frames(folder: Path | str) -> FrameFolder | WorldFrames:
    """Frames of a synthetic world or of a folder in the layout above.

    Raises:
        InputError: it holds neither.
    """
    if any(Path(folder).glob("shard-*.zip")):
        return WorldFrames(folder)
    return FrameFolder(folder)
