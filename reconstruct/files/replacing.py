"""What ``--force`` may replace: folders that a command wrote, with nothing else in them, and that it does not need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that commands write."""

    name: str
    sign: str
    """A file that is always in it."""
    others: tuple[str, ...]
    """Patterns of all else that may be in it."""


SCENE = FolderKind(
    "a scene",
    "scene.json",
    ("scene.ply", "transforms.json", "motion.safetensors", "mesh.glb", "views", "preview.png", "preview.mp4"),
)
PICTURES = FolderKind("rendered pictures", "cameras.json", ("*.png", "*.depth.npy"))


def check_replaceable(folder: Path, kind: FolderKind, made_from: Iterable[Path] = ()) -> None:
    """Refuse to replace a folder with which more would be lost than what a command once wrote.

    Args:
        folder: the target; anything is well if it does not exist or is empty.
        kind: what will be written there.
        made_from: files and folders that are read, now or when the result is used.

    Raises:
        InputError: it is no such folder, holds other things, holds what is read, or is where the user is.
    """
    if not folder.is_dir():
        return
    place = folder.resolve()
    if place in (Path.cwd(), *Path.cwd().parents):
        raise InputError(f"{folder} is not replaced: it is the folder that you are in, or holds it")
    for source in made_from:
        if place in (source.resolve(), *source.resolve().parents):
            raise InputError(f"{folder} is not replaced: {source} in it is needed")
    entries = sorted(folder.iterdir())
    strange = [e for e in entries if e.name != kind.sign and not any(map(e.match, kind.others))]
    if strange:
        raise InputError(f"{folder} is not replaced: {strange[0].name} in it is no part of {kind.name}")
    if entries and not (folder / kind.sign).is_file():
        raise InputError(f"{folder} is not replaced: it does not hold {kind.name} (no {kind.sign} in it)")
