"""Writing a scene's mesh, or convex bodies for physics around it, in any mesh format.

All files are y up and in metres where the scene's unit is known. The one exception is .ply: it keeps the scene's own
axes and unit, so that it lies over ``scene.ply``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import InputError
from ..files import direction_words
from ..files.atomic import atomic_write
from ..files.axes import y_up_from_scene
from ..scene import Scene
from .build import BuiltMesh, MeshOptions, build_mesh
from .collider import convex_hull, convex_parts
from .glb import write_glb
from .mesh import Mesh, joined
from .plain_files import write_material, write_obj, write_ply, write_stl, write_texture
from .usd_files import write_usdz

MESH_SUFFIXES = (".glb", ".obj", ".ply", ".stl", ".usdz")


@dataclass
class MeshExporter:
    """Meshes of one scene: built once, written many times."""

    scene: Scene
    options: MeshOptions = field(default_factory=MeshOptions)
    on_progress: Callable[[str, int, int], object] | None = None
    _built: BuiltMesh | None = None

    @property
    def built(self) -> BuiltMesh:
        """The mesh, made when first asked for."""
        if self._built is None:
            self._built = build_mesh(self.scene, self.options, on_progress=self.on_progress)
        return self._built

    def write(self, path: Path, *, overwrite: bool = False) -> tuple[str, ...]:
        """Write the mesh in the format of the suffix; returns what there is to tell, one line each.

        Raises:
            InputError: an unknown suffix, or a file that exists.
        """
        return (*self.built.notes, *self._write(path, [self.built.mesh], ["mesh"], overwrite=overwrite))

    def write_collider(
        self,
        path: Path,
        kind: Literal["parts", "hull"] = "parts",
        *,
        count: int = 24,
        overwrite: bool = False,
    ) -> tuple[str, ...]:
        """Write convex bodies around the mesh; see ``collider``.

        Args:
            path: the file.
            kind: several bodies, or one.
            count: at most so many.
            overwrite: replace an existing file.
        """
        mesh = self.built.mesh
        bodies = [convex_hull(mesh)] if kind == "hull" else convex_parts(mesh, count)
        if path.suffix.lower() in (".ply", ".stl"):
            bodies = [joined(bodies)]
        names = [f"collider_{i:02d}" for i in range(len(bodies))]
        told = "one convex hull" if kind == "hull" else f"{len(names)} convex hulls of parts of the surface"
        return (told, *self._write(path, bodies, names, overwrite=overwrite))

    def _write(self, path: Path, meshes: list[Mesh], names: list[str], *, overwrite: bool) -> tuple[str, ...]:
        suffix = path.suffix.lower()
        if suffix not in MESH_SUFFIXES:
            raise InputError(f"{path}: not a known mesh format; known are {', '.join(MESH_SUFFIXES)}")
        _refuse_existing(path, overwrite)
        matrix, told = self._axes(suffix)
        meshes = [mesh.moved(matrix) for mesh in meshes]
        comment = "; ".join(told)
        if suffix == ".obj":
            _write_obj(path, meshes, names, comment, overwrite)
            return told
        with atomic_write(path, overwrite=overwrite) as temporary:
            if suffix == ".glb":
                write_glb(temporary, meshes, names, self._extras(told))
            elif suffix == ".usdz":
                write_usdz(temporary, meshes, names, comment=comment)
            else:
                {".ply": write_ply, ".stl": write_stl}[suffix](temporary, meshes[0], comment=comment)
        lost = meshes[0].texture is not None and suffix in (".ply", ".stl")
        kept = (
            "vertex colours instead of the texture" if suffix == ".ply" else "no colours: the format has none"
        )
        return (*told, *([kept] if lost else []))

    def _axes(self, suffix: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """What to apply to positions, and what is told of it."""
        unit = self.scene.metres_per_unit
        length = "not known, taken for metres" if unit is None else "metres"
        if suffix == ".ply":
            told = f"axes: the scene's own, up is {direction_words(self.scene.up)}"
            return np.eye(3), (
                told,
                "lengths: as in the scene" + (f", a unit is {unit:.6g} m" if unit else ""),
            )
        rotation = y_up_from_scene(self.scene.up).numpy()
        turned = (
            f"axes: x right, y up, z back; turned from a scene whose up is {direction_words(self.scene.up)}"
        )
        return rotation * (1.0 if unit is None else unit), (turned, f"lengths: {length}")

    def _extras(self, told: tuple[str, ...]) -> dict[str, object]:
        unit = self.scene.metres_per_unit
        return {
            "up": "+Y", "unit": "metre" if unit is not None else "unknown", "axes": "; ".join(told),
            "voxel": self.built.voxel * (unit or 1.0), "colour": "light baked in, sRGB",
        }  # fmt: skip


def mesh_files(path: Path) -> list[Path]:
    """All files that writing a mesh to ``path`` may make: an .obj brings its material and its texture along."""
    return (
        [path, path.with_suffix(".mtl"), path.with_suffix(".png")]
        if path.suffix.lower() == ".obj"
        else [path]
    )


def _refuse_existing(path: Path, overwrite: bool) -> None:
    there = [file for file in mesh_files(path) if file.exists() and not overwrite]
    if there:
        raise InputError(f"{there[0]} exists already; it is only replaced with --force (overwrite=True)")


def _write_obj(path: Path, meshes: list[Mesh], names: list[str], comment: str, overwrite: bool) -> None:
    """The texture and the material first, so that an .obj that is there is whole."""
    _, material, picture = mesh_files(path)
    texture = meshes[0].texture
    if texture is not None:
        with atomic_write(picture, overwrite=overwrite) as temporary:
            write_texture(temporary, texture)
        with atomic_write(material, overwrite=overwrite) as temporary:
            write_material(temporary, picture.name)
    with atomic_write(path, overwrite=overwrite) as temporary:
        write_obj(temporary, meshes, names, comment=comment, material=material.name)
