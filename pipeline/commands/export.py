"""``cosmorama export``: a scene as splat files and meshes of any format, in one call."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from ...reconstruct.scene import Scene

_MESH_SUFFIXES = (".obj", ".stl")
_EITHER = (".glb", ".ply", ".usdz")
"""Suffixes that both splats and meshes use."""


@dataclass(frozen=True)
class Export:
    """Write a scene in other formats, each told by its suffix; all are written, or the first fault is told."""

    scene: Annotated[Path, tyro.conf.Positional]
    """A scene folder or a splat file."""
    out: tyro.conf.Positional[tuple[Path, ...]]
    """Splats: .ply .compressed.ply .splat .ksplat .spz .sog .glb .usdc .usdz. Meshes: .obj .stl .glb .ply .usdz."""
    as_: Annotated[Literal["auto", "splats", "mesh"], tyro.conf.arg(name="as")] = "auto"
    """What .glb, .ply and .usdz hold. auto: a mesh if the name says so (mesh.glb, room-mesh.ply), else splats."""
    sh_degree: Annotated[int | None, tyro.conf.arg(name="sh-degree")] = None
    """Leave out view-dependent colour above this degree, 0 to 3."""
    force: bool = False
    """Replace files that exist."""
    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> None:
        """Check all targets, then write them one by one."""
        from ...reconstruct.errors import InputError

        if not self.out:
            raise InputError("no file to write was given")
        if self.sh_degree is not None and not 0 <= self.sh_degree <= 3:
            raise InputError(f"--sh-degree must be 0 to 3, not {self.sh_degree}")
        kinds = [target_kind(path, self.as_) for path in self.out]
        writers = [_mesh_writer() if kind == "mesh" else self._write_splats for kind in kinds]
        self._check_targets()
        scene, notes = _load(self.scene)
        _say([f"{self.scene}: {len(scene.gaussians)} splats", *(f"  {note}" for note in notes)])
        files = []
        for path, kind, write in zip(self.out, kinds, writers):
            told = write(path, scene, overwrite=self.force)
            size = path.stat().st_size
            _say([f"{path}: {kind}, {size / 1e6:.2f} MB", *(f"  {note}" for note in told)])
            files.append({"path": str(path), "kind": kind, "bytes": size, "notes": list(told)})
        if self.json:
            report = {
                "scene": str(self.scene),
                "splats": len(scene.gaussians),
                "notes": notes,
                "files": files,
            }
            json.dump(report, sys.stdout, indent=1)
            print(flush=True)

    def _check_targets(self) -> None:
        """Refuse before the scene is read and anything is written."""
        from ...reconstruct.errors import InputError

        resolved = [path.resolve() for path in self.out]
        if len(set(resolved)) < len(resolved):
            raise InputError("the same file is to be written twice")
        for path in self.out:
            if path.exists() and not self.force:
                raise InputError(f"{path} exists already; it is only replaced with --force")

    def _write_splats(self, path: Path, scene: Scene, *, overwrite: bool) -> tuple[str, ...]:
        from ...reconstruct.files import write_splats

        return write_splats(
            path,
            scene.gaussians,
            motion=scene.motion,
            up=scene.up,
            metres_per_unit=scene.metres_per_unit,
            sh_degree=self.sh_degree,
            overwrite=overwrite,
        )


def target_kind(path: Path, choice: Literal["auto", "splats", "mesh"]) -> Literal["splats", "mesh"]:
    """Whether a file is to hold splats or a mesh.

    Args:
        path: what is to be written.
        choice: for suffixes that both use; ``auto`` goes by the name: ``mesh`` as a word of it means a mesh.

    Raises:
        InputError: no known suffix.
    """
    from ...reconstruct.errors import InputError
    from ...reconstruct.files import SPLAT_SUFFIXES, splat_suffix

    suffix = splat_suffix(path)
    if suffix is None:
        if path.suffix.lower() in _MESH_SUFFIXES:
            return "mesh"
        known = ", ".join((*SPLAT_SUFFIXES, *_MESH_SUFFIXES))
        raise InputError(f"{path}: not a known format; known are {known}")
    if suffix not in _EITHER:
        return "splats"
    if choice != "auto":
        return choice
    words = path.name[: -len(suffix)].lower().replace("-", " ").replace("_", " ").replace(".", " ").split()
    return "mesh" if "mesh" in words else "splats"


def _mesh_writer() -> Any:
    """``write_mesh(path, scene, *, overwrite) -> notes``, or a clear line where meshes cannot be made."""
    from ...reconstruct.errors import InputError

    try:
        return import_module("...reconstruct.mesh.export", __package__).write_mesh
    except ImportError as error:
        raise InputError(f"meshes cannot be written by this installation ({error})") from error


def _load(path: Path) -> tuple[Scene, list[str]]:
    """The scene, and what reading its splat file told."""
    from ...reconstruct.files import read_splats
    from ...reconstruct.scene import PHOTO_UP, Scene, load_scene

    if not path.is_file():
        return load_scene(path), []
    import torch

    file = read_splats(path)
    up = torch.tensor(PHOTO_UP) if file.up is None else file.up
    return Scene(file.gaussians, file.motion, up, file.metres_per_unit), list(file.notes)


def _say(lines: list[str]) -> None:
    print("\n".join(lines), file=sys.stderr, flush=True)
