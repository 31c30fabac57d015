import os

import pytest

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.files import atomic_folder, atomic_write


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def fail_half_way(context, name):
    with context as temporary:
        (temporary / name).write_text("half")
        raise RuntimeError("half way")


def test_file_appears_only_at_the_end(tmp_path):
    target = tmp_path / "new" / "a.compressed.ply"
    with atomic_write(target) as temporary:
        temporary.write_text("x")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".a.compressed.ply")
    assert target.read_text() == "x"
    assert names(target.parent) == ["a.compressed.ply"]


def test_nothing_is_left_after_a_failure(tmp_path):
    old = tmp_path / "old.ply"
    old.write_text("before")
    for target in (old, tmp_path / "deep" / "er" / "new.ply"):
        with pytest.raises(RuntimeError, match="half way"):
            fail_half_way(atomic_write(target), "")
    assert names(tmp_path) == ["old.ply"]
    assert old.read_text() == "before"


def test_existing_file_is_kept_unless_asked(tmp_path):
    target = tmp_path / "a.ply"
    target.write_text("before")
    with pytest.raises(InputError, match="exists already"), atomic_write(target, overwrite=False):
        pass
    with atomic_write(target, overwrite=True) as temporary:
        temporary.write_text("after")
    assert target.read_text() == "after"


def write_while_another_appears(target):
    with atomic_write(target, overwrite=False) as temporary:
        temporary.write_text("after")
        target.write_text("before")


def test_file_that_appears_meanwhile_is_kept(tmp_path):
    with pytest.raises(InputError, match="exists already"):
        write_while_another_appears(tmp_path / "a.ply")
    assert names(tmp_path) == ["a.ply"]
    assert (tmp_path / "a.ply").read_text() == "before"


def test_a_folder_is_no_file_and_the_other_way_round(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a folder"), atomic_write(tmp_path):
        pass
    with pytest.raises(InputError, match="is a file"), atomic_folder(tmp_path / "file", overwrite=True):
        pass
    with pytest.raises(InputError, match="cannot make"), atomic_write(tmp_path / "file" / "below.ply"):
        pass


def test_failing_disk_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*No space left"), atomic_write(tmp_path / "a.ply"):
        raise OSError(28, os.strerror(28))
    assert names(tmp_path) == []


def test_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "scenes" / "room"
    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way(atomic_folder(target), "scene.ply")
    assert names(tmp_path) == []
    with atomic_folder(target) as temporary:
        (temporary / "scene.ply").write_text("1")
        assert not target.exists()
    assert names(target) == ["scene.ply"]
    with pytest.raises(InputError, match="exists already"), atomic_folder(target):
        pass


def test_existing_folder_is_replaced_with_all_that_is_in_it(tmp_path):
    target = tmp_path / "room"
    target.mkdir()
    (target / "old").write_text("0")
    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way(atomic_folder(target, overwrite=True), "new")
    assert names(target) == ["old"]
    with atomic_folder(target, overwrite=True) as temporary:
        (temporary / "new").write_text("1")
    assert names(target) == ["new"]
    assert names(tmp_path) == ["room"]
