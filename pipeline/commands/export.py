"""``cosmorama export``: a scene as splat files, meshes and web pages, in one call."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ...reconstruct.mesh.export import MeshExporter
    from ...reconstruct.scene import Scene

Choice = Literal["auto", "splats", "mesh", "collider"]
Kind = Literal["splats", "mesh", "collider", "page"]
Writer = Callable[[Path], tuple[str, ...]]

_MESH_SUFFIXES = (".obj", ".stl")
_PAGE_SUFFIX = ".html"
_EITHER = (".glb", ".ply", ".usdz")
"""Suffixes that both splats and meshes use."""


@dataclass(frozen=True)
class Export:
    """Write a scene in other formats, each told by its suffix; all are written, or the first fault is told."""

    scene: Annotated[Path, tyro.conf.Positional]
    """A scene folder or a splat file."""
    out: tyro.conf.Positional[tuple[Path, ...]]
    """Splats: .ply .compressed.ply .splat .ksplat .spz .sog .glb .usdc .usdz. Meshes: .obj .stl .glb .ply .usdz.
    A web page that shows the scene without a server: .html."""
    as_: Annotated[Choice, tyro.conf.arg(name="as")] = "auto"
    """What .glb, .ply and .usdz hold. auto: a mesh or convex bodies for physics if the name says so (mesh.glb,
    room-mesh.ply, collider.glb), else splats. Formats that cannot hold it are refused."""
    sh_degree: Annotated[int | None, tyro.conf.arg(name="sh-degree")] = None
    """Leave out view-dependent colour above this degree, 0 to 3."""
    faces: int = 60_000
    """Meshes have at most so many triangles."""
    texture: int = 2048
    """Side of a mesh's texture; 0 for vertex colours only."""
    watertight: bool = False
    """Close meshes, also where nobody looked."""
    collider: Literal["parts", "hull"] = "parts"
    """Colliders: convex hulls of parts of the mesh, or one hull around it."""
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
        if not 100 <= self.faces <= 10**7:
            raise InputError(f"--faces must be 100 to {10**7}, not {self.faces}")
        if self.texture and not 64 <= self.texture <= 16384:
            raise InputError(f"--texture must be 64 to 16384, or 0 for none, not {self.texture}")
        kinds: list[Kind] = [target_kind(path, self.as_) for path in self.out]
        self._check_targets(kinds)
        scene, notes = _load(self.scene)
        _say([f"{self.scene}: {_words(scene)}", *(f"  {note}" for note in notes)])
        files, writers = [], self._writers(scene)
        for path, kind in zip(self.out, kinds):
            told = writers[kind](path)
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

    def _check_targets(self, kinds: list[Kind]) -> None:
        """Refuse before the scene is read and anything is written."""
        from ...reconstruct.errors import InputError
        from ...reconstruct.mesh.export import mesh_files

        meshes = ("mesh", "collider")
        files = [f for p, kind in zip(self.out, kinds) for f in (mesh_files(p) if kind in meshes else [p])]
        if len({path.resolve() for path in files}) < len(files):
            raise InputError("the same file is to be written twice")
        for path in files:
            if path.exists() and not self.force:
                raise InputError(f"{path} exists already; it is only replaced with --force")

    def _writers(self, scene: Scene) -> dict[Kind, Writer]:
        """What writes each kind of file; the mesh is made once, when it is first needed."""
        meshes: list[MeshExporter] = []

        def exporter() -> MeshExporter:
            if not meshes:
                meshes.append(self._mesh_exporter(scene))
            return meshes[0]

        return {
            "splats": lambda path: self._write_splats(path, scene),
            "mesh": lambda path: exporter().write(path, overwrite=self.force),
            "collider": lambda path: exporter().write_collider(path, self.collider, overwrite=self.force),
            "page": lambda path: self._write_page(path, scene),
        }

    def _write_splats(self, path: Path, scene: Scene) -> tuple[str, ...]:
        from ...reconstruct.files import write_splats

        return write_splats(
            path,
            scene.gaussians,
            motion=scene.motion,
            up=scene.up,
            metres_per_unit=scene.metres_per_unit,
            sh_degree=self.sh_degree,
            overwrite=self.force,
        )

    def _write_page(self, path: Path, scene: Scene) -> tuple[str, ...]:
        from ...viewer.html import write_html

        return write_html(path, scene, sh_degree=self.sh_degree, overwrite=self.force)

    def _mesh_exporter(self, scene: Scene) -> MeshExporter:
        from ...reconstruct.mesh.build import MeshOptions
        from ...reconstruct.mesh.export import MeshExporter

        options = MeshOptions(faces=self.faces, texture=self.texture, watertight=self.watertight)
        return MeshExporter(scene, options)


def target_kind(path: Path, choice: Choice) -> Kind:
    """Whether a file is to hold splats, a mesh, convex bodies for physics, or a web page.

    Args:
        path: what is to be written.
        choice: for suffixes that splats and meshes use; ``auto`` goes by the words of the name: ``mesh`` or
            ``collider``. Pages show splats whatever was chosen.

    Raises:
        InputError: no known suffix, or one of a format that cannot hold what was chosen.
    """
    from ...reconstruct.errors import InputError
    from ...reconstruct.files import SPLAT_SUFFIXES, splat_suffix

    suffix = splat_suffix(path)
    stem = path.name[: -len(suffix or path.suffix)].lower()
    words = stem.replace("-", " ").replace("_", " ").replace(".", " ").split()
    if suffix is None:
        if path.suffix.lower() in _MESH_SUFFIXES:
            if choice == "splats":
                raise InputError(f"{path}: {path.suffix} files hold meshes, not splats")
            return (
                "collider" if choice == "collider" or (choice == "auto" and "collider" in words) else "mesh"
            )
        if path.suffix.lower() == _PAGE_SUFFIX:
            return "page"
        known = ", ".join((*SPLAT_SUFFIXES, *_MESH_SUFFIXES, _PAGE_SUFFIX))
        raise InputError(f"{path}: not a known format; known are {known}")
    if suffix not in _EITHER:
        if choice in ("mesh", "collider"):
            raise InputError(f"{path}: {suffix} files hold splats, not meshes")
        return "splats"
    if choice != "auto":
        return choice
    return "collider" if "collider" in words else "mesh" if "mesh" in words else "splats"


def _load(path: Path) -> tuple[Scene, list[str]]:
    """The scene, and what reading its splat file told."""
    from ...reconstruct.files import read_splats
    from ...reconstruct.scene import PHOTO_UP, Scene, load_scene

    if not path.is_file():
        return load_scene(path), []
    import torch

    file = read_splats(path)
    up = torch.tensor(PHOTO_UP) if file.up is None else file.up
    untold = [] if file.up is not None else ["the file does not tell which way is up; -y is taken"]
    return Scene(file.gaussians, file.motion, up, file.metres_per_unit), [*file.notes, *untold]


def _words(scene: Scene) -> str:
    """What a scene is, in a line: how many splats, which way is up, how long a unit is."""
    from ...reconstruct.files import direction_words

    unit = "of unknown length" if scene.metres_per_unit is None else f"{scene.metres_per_unit:.6g} m"
    harmonics = f"harmonics of degree {scene.gaussians.sh_degree}"
    up = direction_words(scene.up)
    return f"{len(scene.gaussians)} splats, {harmonics}, up is {up}, a unit is {unit}"


def _say(lines: list[str]) -> None:
    print("\n".join(lines), file=sys.stderr, flush=True)
