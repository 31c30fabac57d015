import pytest

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.files.replacing import PICTURES, SCENE, check_replaceable


def scene_in(folder):
    (folder / "views").mkdir(parents=True)
    for name in ("scene.json", "scene.ply", "preview.png", "views/0000.png"):
        (folder / name).write_text("1")
    return folder


def test_what_a_command_wrote_may_be_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "none", tmp_path / "empty", scene_in(tmp_path / "scene")):
        check_replaceable(folder, SCENE, [tmp_path / "photo.jpg"])


@pytest.mark.parametrize("name", ["thesis.txt", "scene.spz", "more/photo.jpg"])
def test_what_somebody_put_into_a_scene_is_not_lost(tmp_path, name):
    strange = scene_in(tmp_path / "scene") / name
    strange.parent.mkdir(exist_ok=True)
    strange.write_text("mine")
    with pytest.raises(InputError, match="no part of a scene"):
        check_replaceable(tmp_path / "scene", SCENE)


def test_a_folder_of_pictures_is_no_rendering(tmp_path):
    (tmp_path / "0000.png").write_text("a photo")
    with pytest.raises(InputError, match=r"no cameras\.json"):
        check_replaceable(tmp_path, PICTURES)
    (tmp_path / "cameras.json").write_text("{}")
    check_replaceable(tmp_path, PICTURES)


def test_what_is_read_is_not_replaced(tmp_path):
    scene = scene_in(tmp_path / "scene")
    for source in (scene, scene / "scene.ply", scene / "views" / "0000.png"):
        with pytest.raises(InputError, match="is needed"):
            check_replaceable(scene, SCENE, [source])
    (tmp_path / "link").symlink_to(scene)
    with pytest.raises(InputError, match="is needed"):
        check_replaceable(tmp_path / "link", SCENE, [scene])


def test_the_folder_one_is_in_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(scene_in(tmp_path / "scene"))
    for folder in (tmp_path / "scene", type(tmp_path)("."), type(tmp_path)("views/..")):
        with pytest.raises(InputError, match="folder that you are in"):
            check_replaceable(folder, SCENE)
