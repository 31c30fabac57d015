import io
import zipfile
from dataclasses import replace

import pytest
import torch

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.files import read_splats
from cosmorama.reconstruct.gaussians import gaussians_from_points
from cosmorama.reconstruct.scene import Scene
from cosmorama.reconstruct.transforms_json import images_from_cameras
from cosmorama.viewer.panels.export import MESH_NAMES, SPLAT_NAMES, export_bytes


@pytest.fixture(scope="module")
def wall(make_camera):
    """A wall of splats before a camera, of which there is a mesh."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 60), torch.linspace(-1.5, 1.5, 90), indexing="ij")
    points = torch.stack([x, y, torch.full_like(x, 3.0)], -1).reshape(-1, 3)
    splats = gaussians_from_points(points, torch.full_like(points, 0.6), torch.full((len(points),), 0.03))
    splats = replace(splats, opacity_logits=torch.full((len(points),), 4.0))
    return Scene(splats, views=images_from_cameras(make_camera(160, 120, 125.0)))


@pytest.mark.parametrize("name", SPLAT_NAMES)
def test_every_splat_format_of_the_dialog_can_be_written(name, make_gaussians, tmp_path):
    scene = Scene(make_gaussians(300))
    content, _ = export_bytes(scene, name)
    if name.endswith(".html"):
        assert b"</html>" in content
        return
    (tmp_path / name).write_bytes(content)
    assert len(read_splats(tmp_path / name).gaussians) == 300


@pytest.mark.parametrize("name", MESH_NAMES)
def test_every_mesh_format_of_the_dialog_can_be_written(name, wall):
    pytest.importorskip("open3d")
    trimesh = pytest.importorskip("trimesh")
    steps = []
    content, notes = export_bytes(wall, name, lambda *step: steps.append(step))
    assert notes
    assert steps
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert set(archive.namelist()) == {"mesh.obj", "mesh.mtl", "mesh.png"}
            content, name = archive.read("mesh.obj"), "mesh.obj"
    if name.endswith(".usdz"):
        assert zipfile.is_zipfile(io.BytesIO(content))
        return
    mesh = trimesh.load(io.BytesIO(content), file_type=name.rsplit(".", 1)[1], force="mesh")
    if not name.startswith("collider"):
        assert mesh.area == pytest.approx(6, rel=0.25)


def test_what_no_two_views_agree_on_is_no_mesh(wall):
    pytest.importorskip("open3d")
    from cosmorama.reconstruct.mesh.depth_maps import render_depth_maps
    from cosmorama.reconstruct.mesh.fuse import fuse

    maps = render_depth_maps(wall.gaussians, wall.home)
    with pytest.raises(InputError, match="agree"):
        fuse(maps, voxel=0.05, far=10.0, min_views=1.0)


def test_a_scene_without_a_surface_has_no_mesh(wall):
    pytest.importorskip("open3d")
    with pytest.raises(InputError):
        export_bytes(Scene(wall.gaussians[:0], views=wall.views), "mesh.glb")
