"""The furniture catalogue and its models, read from a tiny archive made here."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from cosmorama.pipeline.commands.train_world import parse_size
from cosmorama.pipeline.world import catalogue
from cosmorama.pipeline.world.captions import color_name, plural
from cosmorama.pipeline.world.models import (
    load_model,
    load_model_texture,
    one_sided,
    split_long_edges,
    triangle_count,
)
from cosmorama.pipeline.world.obj import read_mtl, read_obj
from cosmorama.pipeline.world.textures import mean_color
from cosmorama.reconstruct.errors import InputError

OBJ = b"""# a unit cube's front and a triangle
mtllib thing.mtl
v 0 0 0
v 2e0 0 0
v 2 1.0 -0.5e-9
v 0 1 0
v 1 0 -3
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl wood\r
f 1/1 2/2 3/3 4/4
usemtl glass
f -1 -4 -5
"""
MTL = "newmtl wood\nKd 1 0 0\nmap_Kd wood.png\n\nnewmtl glass\nKd 0.1 0.2 0.3\nd 0.05\n"
ENTRY = """name=Little catalogue
id#1=One#thing
name#1=Caf\\u00e9 table
category#1=Living room
model#1=/m/thing.obj
width#1=100.0
depth#1=50.0
height#1=40.0
dropOnTopElevation#1=38.5
doorOrWindow#1=false
creator#1=Ada
"""


@pytest.fixture
def little_catalogue(tmp_path, monkeypatch):
    monkeypatch.setenv("COSMORAMA_CACHE", str(tmp_path))
    folder = tmp_path / "world" / "furniture"
    folder.mkdir(parents=True)
    png = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), [188, 0, 0], np.uint8)).save(png, "PNG")
    for name in catalogue.ARCHIVES:
        with zipfile.ZipFile(folder / f"{name}.sh3f", "w") as archive:
            archive.writestr("PluginFurnitureCatalog.properties", ENTRY.encode("latin-1"))
            archive.writestr("m/thing.obj", OBJ)
            archive.writestr("m/thing.mtl", MTL)
            archive.writestr("m/wood.png", png.getvalue())
    catalogue.load_catalogue.cache_clear()
    load_model.cache_clear()
    yield catalogue.load_catalogue()
    catalogue.load_catalogue.cache_clear()
    load_model.cache_clear()


def test_obj_polygons_negative_indices_and_exponents():
    mesh = read_obj(OBJ)
    assert mesh.libraries == ["thing.mtl"]
    assert [mesh.material_names[i] for i in mesh.face_material] == ["wood", "wood", "glass"]
    np.testing.assert_array_equal(mesh.corners[:, :, 0], [[0, 1, 2], [0, 2, 3], [0, 4, 1]])
    np.testing.assert_array_equal(mesh.corners[2, :, 1:], -1)
    np.testing.assert_allclose(mesh.positions[2], [2, 1, -0.5e-9], atol=1e-15)
    assert read_mtl(MTL)["glass"] == {"kd": "0.1 0.2 0.3", "d": "0.05"}


CUBE = """
v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 1\nv 1 0 1\nv 1 1 1\nv 0 1 1
"""
OUTWARD = [(4, 3, 2, 1), (5, 6, 7, 8), (1, 2, 6, 5), (2, 3, 7, 6), (3, 4, 8, 7), (4, 1, 5, 8)]


def cube(*groups):
    faces = [f"f {' '.join(map(str, face))}" for group in groups for face in group]
    return read_obj((CUBE + "\n".join(faces)).encode())


def volume(mesh):
    a, b, c = np.moveaxis(mesh.positions[mesh.corners[:, :, 0]], 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def test_faces_that_repeat_others_are_left_out():
    single = cube(OUTWARD)
    assert one_sided(single) is single
    inward = [face[::-1] for face in OUTWARD]
    turned = [face[2:] + face[:2] for face in inward]  # as if each began elsewhere
    for groups in ((OUTWARD, inward), (OUTWARD, turned), (inward, OUTWARD)):
        mesh = one_sided(cube(*groups))
        assert len(mesh.corners) == len(mesh.face_material) == 12
        assert volume(mesh) == pytest.approx(1.0)
    assert volume(one_sided(cube(inward))) == pytest.approx(-1.0)  # nothing is doubled: left alone


def test_models_are_metric_upright_and_textured(little_catalogue):
    item = little_catalogue[0]
    assert (item.name, item.top, item.licence) == ("Café table", 0.385, "CC0-1.0")
    model = load_model(item)
    # the glass triangle is left out; sizes are those of the whole thing's referenced points
    low, high = model.bounds
    np.testing.assert_allclose(high[0] - low[0], 1.0, atol=1e-5)
    np.testing.assert_allclose([low[2], high[2]], [0, 0.4], atol=1e-5)
    np.testing.assert_allclose(low[1], -0.25, atol=1e-5)  # OBJ z = 0 is the front, which faces -y
    texture = model.materials[0].texture
    assert texture == "model:BlendSwap-CC-0-1:0"
    assert load_model_texture(texture).shape == (8, 8, 4)
    np.testing.assert_allclose(mean_color(texture)[0], 0.503, atol=0.005)
    assert load_model(item) is model
    assert triangle_count(item) == len(model.faces)


def test_attribution_names_every_author_and_licence(little_catalogue):
    credits = catalogue.attribution()
    assert len(credits) == len(catalogue.ARCHIVES)
    assert {c["author"] for c in credits} == {"Ada"}
    assert {c["licence"] for c in credits} == {"CC0-1.0", "CC-BY-3.0"}
    assert catalogue.attribution(little_catalogue[:1] * 3) == [
        c for c in credits if c["key"] == little_catalogue[0].key
    ]


def test_a_missing_catalogue_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("COSMORAMA_CACHE", str(tmp_path))
    monkeypatch.setattr(catalogue, "SYSTEM_FOLDER", tmp_path / "nowhere")
    monkeypatch.setattr(catalogue.shutil, "which", lambda name: None)
    assert not catalogue.furniture_available()
    with pytest.raises(InputError, match="sweethome3d-furniture") as caught:
        catalogue.find_furniture()
    assert "\n" not in str(caught.value)


def test_splitting_keeps_the_surface_and_opens_no_cracks():
    corners = np.array([[0, 0, 0], [3, 0, 0], [3, 1, 0], [0, 1, 0]], float)
    points = corners[[[0, 1, 2], [0, 2, 3]]]
    normals = np.zeros_like(points)
    normals[..., 2] = 1
    split, _, uvs = split_long_edges(points, normals, points[..., :2].copy(), 0.4)
    cross = np.cross(split[:, 1] - split[:, 0], split[:, 2] - split[:, 0])
    assert (cross[:, 2] > 0).all()
    np.testing.assert_allclose(cross[:, 2].sum() / 2, 3.0)
    assert np.linalg.norm(split - np.roll(split, -1, axis=1), axis=-1).max() <= 0.4
    np.testing.assert_allclose(uvs, split[..., :2])
    # every inner edge is shared by exactly two triangles with the same ends
    ends = np.stack([split, np.roll(split, -1, axis=1)], axis=2).reshape(-1, 2, 3)
    keys = [tuple(sorted(map(tuple, np.round(e, 9)))) for e in ends]
    middle = ends.mean(axis=1)
    inner = (
        (middle[:, 0] > 1e-9) & (middle[:, 0] < 3 - 1e-9) & (middle[:, 1] > 1e-9) & (middle[:, 1] < 1 - 1e-9)
    )
    counts = {k: keys.count(k) for k, is_inner in zip(keys, inner) if is_inner}
    assert set(counts.values()) == {2}


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((200, 30, 30), "red"), ((250, 250, 250), "white"), ((20, 20, 20), "black"), ((120, 80, 40), "brown"),
                      ((60, 90, 200), "blue"), ((90, 160, 70), "green")],
)  # fmt: skip
def test_colours_have_plain_names(rgb, name):
    assert color_name(np.array(rgb)) == name


@pytest.mark.parametrize(
    ("one", "many"),
    [("chair", "chairs"), ("couch", "couches"), ("shelves", "shelves"), ("grass", "grasses"), ("toy", "toys"),
                      ("baby", "babies"), ("box", "boxes")],
)  # fmt: skip
def test_plurals(one, many):
    assert plural(one) == many


def test_sizes_on_the_command_line():
    assert parse_size("128") == (128, 128)
    assert parse_size("518x392") == (518, 392)
    for bad in ("", "12", "axb", "1x2x3", "99999"):
        with pytest.raises(InputError):
            parse_size(bad)
