"""Mesh files as other programs read them."""

import json
import shutil
import struct
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.gaussians import gaussians_from_points
from cosmorama.reconstruct.mesh.build import BuiltMesh
from cosmorama.reconstruct.mesh.export import MeshExporter, mesh_files
from cosmorama.reconstruct.mesh.mesh import Mesh, vertex_normals
from cosmorama.reconstruct.mesh.render import sample_texture
from cosmorama.reconstruct.scene import Scene

UNIT = 0.5


def crate() -> Mesh:
    """2 x 4 x 6 units, y down, with a uv for each corner and a texture that is red left, green right, dark below."""
    box = trimesh.creation.box((2, 4, 6))
    vertices, faces = np.asarray(box.vertices, np.float32), np.asarray(box.faces, np.int32)
    corners = vertices[faces]
    uvs = ((corners[..., [0, 1]] / [2, 4]) * 0.8 + 0.5).astype(np.float32)
    column, row = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64))
    texture = (np.stack([1 - column, column, 0 * row], -1) * (1 - 0.5 * row[..., None]) * 255).astype(
        np.uint8
    )
    colors = (sample_texture(texture, vertices[:, :2] / [2, 4] * 0.8 + 0.5) * 255).astype(np.uint8)
    mesh = Mesh(vertices, faces, None, colors, uvs, texture)
    return replace(mesh, normals=vertex_normals(mesh))


def exporter(mesh: Mesh) -> MeshExporter:
    splats = gaussians_from_points(torch.zeros(1, 3), torch.zeros(1, 3), torch.ones(1))
    return MeshExporter(Scene(splats, metres_per_unit=UNIT), _built=BuiltMesh(mesh, 0.1, [], ("12 faces",)))


@pytest.fixture(params=["textured", "coloured"])
def export(request) -> MeshExporter:
    mesh = crate()
    return exporter(mesh if request.param == "textured" else replace(mesh, uvs=None, texture=None))


def test_trimesh_and_open3d_read_every_file_in_metres_and_y_up(export, tmp_path):
    o3d = pytest.importorskip("open3d")
    for suffix in ("glb", "obj", "ply", "stl"):
        path = tmp_path / f"mesh.{suffix}"
        told = export.write(path)
        size = np.array([2, 4, 6]) * (1.0 if suffix == "ply" else UNIT)
        found = trimesh.load(path, force="mesh")
        np.testing.assert_allclose(found.extents, size, atol=1e-5)
        assert len(found.faces) == 12
        assert found.volume > 0
        other = o3d.io.read_triangle_mesh(str(path))
        assert len(other.triangles) == 12
        np.testing.assert_allclose(other.get_max_bound() - other.get_min_bound(), size, atol=1e-5)
        assert any(("the scene's own" if suffix == "ply" else "y up") in line for line in told)


@pytest.mark.parametrize("suffix", ["glb", "obj"])
def test_texture_is_the_right_way_up(suffix, tmp_path):
    exporter(crate()).write(tmp_path / f"mesh.{suffix}")
    found = trimesh.load(tmp_path / f"mesh.{suffix}", force="mesh")
    colors = found.visual.to_color().vertex_colors[:, :3].astype(float)
    up, right = found.vertices[:, 1] > 0, found.vertices[:, 0] > 0
    assert colors[up].sum() > 1.3 * colors[~up].sum()
    assert (colors[right, 1] > colors[right, 0]).all()
    assert (colors[~right, 0] > colors[~right, 1]).all()


def test_vertex_colours_of_glb_are_linear(tmp_path):
    mesh = replace(crate(), uvs=None, texture=None)
    mesh = replace(mesh, colors=np.full((8, 3), 128, np.uint8))
    exporter(mesh).write(tmp_path / "mesh.glb")
    data = (tmp_path / "mesh.glb").read_bytes()
    length = struct.unpack("<I", data[12:16])[0]
    document = json.loads(data[20 : 20 + length])
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    view = document["bufferViews"][accessor["bufferView"]]
    first = np.frombuffer(data, np.uint16, 3, 28 + length + view["byteOffset"]) / 65535
    np.testing.assert_allclose(first, 0.2159, atol=1e-3)
    assert document["asset"]["extras"]["unit"] == "metre"


def test_usdz_says_its_axes_and_unit(export, tmp_path):
    usd = pytest.importorskip("pxr.Usd")
    geometry = pytest.importorskip("pxr.UsdGeom")
    export.write(tmp_path / "mesh.usdz")
    stage = usd.Stage.Open(str(tmp_path / "mesh.usdz"))
    assert geometry.GetStageUpAxis(stage) == "Y"
    assert geometry.GetStageMetersPerUnit(stage) == 1.0
    mesh = geometry.Mesh(stage.GetPrimAtPath("/World/mesh"))
    np.testing.assert_allclose(np.ptp(np.array(mesh.GetPointsAttr().Get()), axis=0), [1, 2, 3], atol=1e-5)
    with zipfile.ZipFile(tmp_path / "mesh.usdz") as package:
        assert any(n.endswith(".jpg") for n in package.namelist()) == (export.built.mesh.texture is not None)


def test_colliders_have_a_node_each(tmp_path):
    pytest.importorskip("open3d")
    export = exporter(crate())
    told = export.write_collider(tmp_path / "collider.glb", "hull")
    assert told[0] == "one convex hull"
    scene = trimesh.load(tmp_path / "collider.glb")
    assert [trimesh.Trimesh(g.vertices, g.faces).is_convex for g in scene.geometry.values()] == [True]
    np.testing.assert_allclose(scene.extents, [1, 2, 3], atol=0.02)


def test_nothing_is_overwritten_unasked(tmp_path):
    export = exporter(crate())
    (tmp_path / "mesh.png").write_text("mine")
    with pytest.raises(InputError, match=r"mesh.png exists"):
        export.write(tmp_path / "mesh.obj")
    assert [p.name for p in tmp_path.iterdir()] == ["mesh.png"]
    export.write(tmp_path / "mesh.obj", overwrite=True)
    assert all(path.stat().st_size > 10 for path in mesh_files(tmp_path / "mesh.obj"))
    with pytest.raises(InputError, match="not a known mesh format"):
        export.write(tmp_path / "mesh.fbx")


VALIDATE = """
const { validateBytes } = require("gltf-validator");
const bytes = new Uint8Array(require("fs").readFileSync(process.argv[1]));
validateBytes(bytes).then((report) => console.log(JSON.stringify(report.issues)));
"""


def test_gltf_validator_finds_no_errors(export, tmp_path):
    node = shutil.which("node")
    if (
        node is None
        or subprocess.run([node, "-e", 'require("gltf-validator")'], capture_output=True).returncode
    ):
        pytest.skip("needs node and gltf-validator (npm install gltf-validator, and NODE_PATH)")
    export.write(tmp_path / "mesh.glb")
    done = subprocess.run([node, "-e", VALIDATE, str(tmp_path / "mesh.glb")], capture_output=True, check=True)
    issues = json.loads(done.stdout)
    assert issues["numErrors"] == 0, issues["messages"]
    assert issues["numWarnings"] == 0, issues["messages"]
    assert Path(tmp_path / "mesh.glb").stat().st_size > 1000
