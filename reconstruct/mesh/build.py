"""From a scene to a mesh: look, fuse, clean, simplify, lay out, paint."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..errors import InputError
from ..scene import Scene
from .bake import painted, textured
from .clean import fill_holes, manifold, simplified, smoothed, without_small_parts
from .depth_maps import DepthMap, render_depth_maps, without_contradictions
from .fuse import fuse
from .mesh import Mesh, vertex_normals
from .solid import watertight
from .unwrap import unwrapped
from .viewpoints import scene_viewpoints

log = logging.getLogger(__name__)

VOXEL_PX = 2.0
"""A voxel is as large as so many pixels at the median depth."""
FAR = 4.0
"""Surfaces farther away than this many times the median depth are left out."""
WELL_SEEN = 32
"""With at least so many viewpoints, what only one of them shows is taken for an error."""
HOLE_VOXELS = 100.0
"""Holes are filled whose rims are no longer than so many voxels."""
SMOOTHING = 4
"""Rounds, which take away the voxels' noise."""


@dataclass(frozen=True)
class MeshOptions:
    """What a mesh should be like."""

    faces: int = 60_000
    """At most so many triangles."""
    texture: int = 2048
    """Side of the texture in texels; 0 for vertex colours only."""
    watertight: bool = False
    """Close the surface, also where nobody looked."""
    viewpoints: int = 48
    """At most so many."""
    long_side: int = 640
    """Pixels of what is rendered from each."""
    voxel: float | None = None
    """Scene units; default from the depths."""


@dataclass(frozen=True)
class BuiltMesh:
    """A mesh in the scene's world, and what to tell of it."""

    mesh: Mesh
    voxel: float
    """Scene units."""
    maps: list[DepthMap]
    notes: tuple[str, ...]


def build_mesh(
    scene: Scene,
    options: MeshOptions | None = None,
    *,
    on_progress: Callable[[str, int, int], object] | None = None,
) -> BuiltMesh:
    """A painted mesh of a scene.

    Args:
        scene: with splats; of a moving scene its first moment.
        options: see there.
        on_progress: called as (step, done, total).

    Raises:
        InputError: the scene shows no surface, or the extra ``mesh`` is not installed.
    """
    options = options or MeshOptions()
    _check(options)
    cameras = scene_viewpoints(scene, count=options.viewpoints, long_side=options.long_side)
    maps = render_depth_maps(
        scene.at(0.0).detach().to("cpu"), cameras, on_progress=_step(on_progress, "look")
    )
    maps = without_contradictions(maps)
    mesh, voxel = surface(maps, options.voxel, on_progress=_step(on_progress, "fuse"))
    mesh = simplified(mesh, options.faces)
    notes = [f"{len(maps)} viewpoints, voxels of {voxel:.3g} units"]
    if scene.motion is not None:
        notes.append("motion was left out: the mesh is of the first moment")
    if options.watertight:
        mesh, told = watertight(replace(mesh, normals=vertex_normals(mesh)), options.faces)
        notes.append(told)
    mesh, painter = painted(replace(mesh, normals=vertex_normals(mesh)), maps, 2 * voxel)
    laid_out = unwrapped(mesh, options.texture) if options.texture else None
    if laid_out is not None:
        mesh = textured(laid_out, painter, options.texture, _step(on_progress, "paint"))
        notes.append(f"texture {options.texture}x{options.texture}")
    elif options.texture:
        notes.append("no texture, since the surface could not be laid out flat: vertex colours instead")
    return BuiltMesh(mesh, voxel, maps, (f"{len(mesh.faces)} faces from {notes[0]}", *notes[1:]))


def surface(
    maps: list[DepthMap],
    voxel: float | None = None,
    *,
    on_progress: Callable[[int, int], object] | None = None,
) -> tuple[Mesh, float]:
    """One clean surface from depth maps, of full detail and without colour, and its voxel's side."""
    known = [m.depth[m.depth > 0] for m in maps]
    if not any(len(depth) for depth in known):
        raise InputError("the scene shows no surface from any viewpoint: there is nothing to make a mesh of")
    middle = float(torch.cat(known).median())
    if voxel is None:
        sizes = [d.median() / m.camera.intrinsics[0, 0, 0] for d, m in zip(known, maps) if len(d)]
        voxel = VOXEL_PX * float(torch.stack(sizes).median())
    min_views = 2.0 if len(maps) >= WELL_SEEN else min(1.0, len(maps) - 0.5)
    mesh, voxel = fuse(maps, voxel=voxel, far=FAR * middle, min_views=min_views, on_progress=on_progress)
    mesh = without_small_parts(manifold(mesh))
    if not len(mesh.faces):
        raise InputError("the viewpoints agree on no surface: there is nothing to make a mesh of")
    return smoothed(fill_holes(mesh, HOLE_VOXELS * voxel), SMOOTHING), voxel


def _check(options: MeshOptions) -> None:
    for name, low, high in (("faces", 100, 10**7), ("long_side", 16, 8192), ("viewpoints", 1, 10_000)):
        value = getattr(options, name)
        if not low <= value <= high:
            raise InputError(f"a mesh's {name.replace('_', ' ')} must be {low} to {high}, not {value}")
    if options.texture and not 64 <= options.texture <= 16384:
        raise InputError(f"a texture's side must be 64 to 16384 texels, or 0 for none, not {options.texture}")
    if options.voxel is not None and not (np.isfinite(options.voxel) and options.voxel > 0):
        raise InputError(f"a voxel's side must be above 0, not {options.voxel}")
    try:
        import fast_simplification  # noqa: F401
        import open3d  # noqa: F401
    except ImportError as error:
        raise InputError(f"meshes need the extra 'mesh' (pip install 'cosmorama[mesh]'; {error})") from error


def _step(tell: Callable[[str, int, int], object] | None, name: str) -> Callable[[int, int], object] | None:
    return None if tell is None else lambda done, total: tell(name, done, total)
