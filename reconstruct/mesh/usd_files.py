"""Meshes as .usdz and .usdc: y up, metres, with a preview surface. Needs usd-core (extra ``splats``)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .glb import jpeg
from .mesh import Mesh


def write_usdz(path: Path, meshes: Sequence[Mesh], names: Sequence[str], *, comment: str) -> None:
    """A package of one layer and the textures.

    Args:
        path: the .usdz file.
        meshes: y up, in metres.
        names: of the prims.
        comment: of the stage.

    Raises:
        InputError: the USD library is not installed.
    """
    try:
        usd, utilities = import_module("pxr.Usd"), import_module("pxr.UsdUtils")
    except ImportError as error:
        raise InputError(f"{path}: USD needs the extra 'splats' (pip install 'cosmorama[splats]')") from error
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        layer = Path(folder) / "mesh.usdc"
        _write_layer(usd, layer, meshes, names, comment)
        if not utilities.CreateNewUsdzPackage(str(layer), str(path)):
            raise OSError(f"the USD library could not package {path}")


def _write_layer(usd: Any, layer: Path, meshes: Sequence[Mesh], names: Sequence[str], comment: str) -> None:
    geometry, vt = import_module("pxr.UsdGeom"), import_module("pxr.Vt")
    stage = usd.Stage.CreateNew(str(layer))
    geometry.SetStageUpAxis(stage, geometry.Tokens.y)
    geometry.SetStageMetersPerUnit(stage, 1.0)
    stage.SetMetadata("comment", comment)
    root = geometry.Xform.Define(stage, "/World")
    stage.SetDefaultPrim(root.GetPrim())
    for mesh, name in zip(meshes, names):
        prim = geometry.Mesh.Define(stage, f"/World/{name}")
        prim.CreateSubdivisionSchemeAttr("none")
        prim.CreateDoubleSidedAttr(True)
        prim.CreatePointsAttr(vt.Vec3fArray.FromNumpy(np.ascontiguousarray(mesh.vertices, np.float32)))
        prim.CreateFaceVertexCountsAttr(vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, np.int32)))
        prim.CreateFaceVertexIndicesAttr(vt.IntArray.FromNumpy(mesh.faces.reshape(-1).astype(np.int32)))
        corners = vt.Vec3fArray.FromNumpy(
            np.stack([mesh.vertices.min(0), mesh.vertices.max(0)]).astype(np.float32)
        )
        prim.CreateExtentAttr(corners)
        if mesh.normals is not None:
            prim.CreateNormalsAttr(vt.Vec3fArray.FromNumpy(np.ascontiguousarray(mesh.normals, np.float32)))
            prim.SetNormalsInterpolation("vertex")
        if mesh.colors is not None:
            color = prim.CreateDisplayColorPrimvar("vertex")
            color.Set(vt.Vec3fArray.FromNumpy((mesh.colors / np.float32(255)) ** np.float32(2.2)))
        if mesh.texture is not None and mesh.uvs is not None:
            _texture(stage, prim, mesh, layer.parent / f"{name}.jpg")
    stage.GetRootLayer().Save()


def _texture(stage: Any, prim: Any, mesh: Mesh, image: Path) -> None:
    """Uvs, the picture beside the layer, and a material that shows it as its own light."""
    geometry, shade, sdf, vt = (import_module(f"pxr.{name}") for name in ("UsdGeom", "UsdShade", "Sdf", "Vt"))
    assert mesh.texture is not None
    assert mesh.uvs is not None
    image.write_bytes(jpeg(mesh.texture))
    kind = sdf.ValueTypeNames
    uvs = (mesh.uvs.reshape(-1, 2) * [1, -1] + [0, 1]).astype(np.float32)
    coordinates = geometry.PrimvarsAPI(prim).CreatePrimvar(
        "st", kind.TexCoord2fArray, geometry.Tokens.faceVarying
    )
    coordinates.Set(vt.Vec2fArray.FromNumpy(uvs))
    base = f"{prim.GetPath()}_material"
    material = shade.Material.Define(stage, base)
    reader, texture, surface = (
        shade.Shader.Define(stage, f"{base}/{n}") for n in ("st", "texture", "surface")
    )
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", kind.String).Set("st")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", kind.Asset).Set(sdf.AssetPath(f"./{image.name}"))
    texture.CreateInput("sourceColorSpace", kind.Token).Set("sRGB")
    texture.CreateInput("st", kind.Float2).ConnectToSource(reader.CreateOutput("result", kind.Float2))
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", kind.Float).Set(1.0)
    surface.CreateInput("diffuseColor", kind.Color3f).ConnectToSource(
        texture.CreateOutput("rgb", kind.Float3)
    )
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", kind.Token))
    shade.MaterialBindingAPI.Apply(prim.GetPrim()).Bind(material)
