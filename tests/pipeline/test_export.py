import json
from pathlib import Path

import pytest
import torch
import tyro

from cosmorama.pipeline.commands.export import Export, target_kind
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.files import read_splats, write_splats
from cosmorama.reconstruct.files.roundtrip import sample_splats


@pytest.fixture
def scene(tmp_path) -> Path:
    path = tmp_path / "room.ply"
    write_splats(path, sample_splats(50), up=torch.tensor([0.0, -1.0, 0.0]), metres_per_unit=0.5)
    return path


def export(*arguments: object) -> None:
    tyro.cli(Export, args=[str(a) for a in arguments]).run()


def test_several_formats_in_one_call(scene, tmp_path, capsys):
    export(scene, tmp_path / "a.spz", tmp_path / "new" / "b.glb", tmp_path / "c.compressed.ply", "--json")
    report = json.loads(capsys.readouterr().out)
    assert [Path(file["path"]).name for file in report["files"]] == ["a.spz", "b.glb", "c.compressed.ply"]
    assert all(file["kind"] == "splats" and file["bytes"] > 0 for file in report["files"])
    assert any("metres" in note for note in report["files"][1]["notes"])
    found = read_splats(tmp_path / "new" / "b.glb")
    assert len(found.gaussians) == 50
    torch.testing.assert_close(found.gaussians.means, read_splats(scene).gaussians.means * 0.5)


def test_a_web_page_is_written_too(scene, tmp_path, capsys):
    export(scene, tmp_path / "a.html", "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["files"][0]["kind"] == "page"
    assert "<canvas" in (tmp_path / "a.html").read_text()


def test_what_is_lost_is_printed(scene, tmp_path, capsys):
    export(scene, tmp_path / "a.splat", "--sh-degree", 1)
    told = capsys.readouterr()
    assert told.out == ""
    assert "degree 3 to 1" in told.err
    assert "harmonics" in told.err


def test_axes_and_lengths_are_always_told(scene, tmp_path, capsys):
    targets = [tmp_path / f"a{suffix}" for suffix in (".ply", ".splat", ".spz", ".glb", ".sog")]
    export(scene, *targets)
    told = capsys.readouterr().err
    assert "50 splats, harmonics of degree 3, up is -y, a unit is 0.5 m" in told
    assert told.count("  axes: ") == told.count("  lengths: ") == len(targets)
    assert "x right, y up, z back; turned from a scene whose up is -y" in told
    assert "lengths: metres; multiplied by 0.5" in told
    assert "up is -y, which the file cannot tell" in told
    export(tmp_path / "a.splat", tmp_path / "b.spz")
    told = capsys.readouterr().err
    assert "does not tell which way is up; -y is taken" in told
    assert "lengths: as in the scene, whose unit is not known" in told


def test_what_was_written_before_a_fault_is_whole(scene, tmp_path, monkeypatch):
    from cosmorama.reconstruct.files import spz

    def fail(path: Path, file: object) -> tuple[str, ...]:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spz, "write", fail)
    with pytest.raises(InputError, match="No space left"):
        export(scene, tmp_path / "a.glb", tmp_path / "new" / "b.spz", tmp_path / "c.splat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.glb", "room.ply"]
    assert len(read_splats(tmp_path / "a.glb").gaussians) == 50


def test_nothing_is_written_if_one_target_exists(scene, tmp_path):
    (tmp_path / "b.spz").write_text("mine")
    with pytest.raises(InputError, match="--force"):
        export(scene, tmp_path / "a.spz", tmp_path / "b.spz")
    assert not (tmp_path / "a.spz").exists()
    assert (tmp_path / "b.spz").read_text() == "mine"
    export(scene, tmp_path / "a.spz", tmp_path / "b.spz", "--force")
    assert len(read_splats(tmp_path / "b.spz").gaussians) == 50


def test_bad_targets_are_named(scene, tmp_path):
    for target, message in (("a.xyz", "not a known format"), ("a", "not a known format")):
        with pytest.raises(InputError, match=message):
            export(scene, tmp_path / "ok.spz", tmp_path / target)
    with pytest.raises(InputError, match="twice"):
        export(scene, tmp_path / "a.spz", tmp_path / "x" / ".." / "a.spz")
    with pytest.raises(InputError, match="no file to write"):
        export(scene)
    with pytest.raises(InputError, match="0 to 3"):
        export(scene, tmp_path / "a.spz", "--sh-degree", 7)
    assert [p.name for p in tmp_path.iterdir()] == ["room.ply"]


@pytest.mark.parametrize(
    ("name", "choice", "kind"),
    [
        ("room.glb", "auto", "splats"),
        ("mesh.glb", "auto", "mesh"),
        ("room-mesh.ply", "auto", "mesh"),
        ("meshed.glb", "auto", "splats"),
        ("mesh.glb", "splats", "splats"),
        ("room.usdz", "mesh", "mesh"),
        ("room.obj", "auto", "mesh"),
        ("room.html", "auto", "page"),
        ("mesh.HTML", "mesh", "page"),
        ("mesh.compressed.ply", "auto", "splats"),
        ("mesh.spz", "splats", "splats"),
    ],
)
def test_splats_and_meshes_are_told_apart(name, choice, kind):
    assert target_kind(Path(name), choice) == kind


@pytest.mark.parametrize(
    ("name", "choice"),
    [("d.spz", "mesh"), ("d.compressed.ply", "mesh"), ("d.sog", "collider"), ("room.obj", "splats")],
)
def test_formats_that_cannot_hold_what_was_chosen_are_refused(name, choice):
    with pytest.raises(InputError, match=rf"{name}: \..* files hold"):
        target_kind(Path(name), choice)


@pytest.mark.parametrize(("option", "value"), [("faces", 0), ("texture", -1), ("texture", 5)])
def test_bad_options_are_told_before_the_scene_is_read(tmp_path, option, value):
    with pytest.raises(InputError, match=f"--{option} must be"):
        export(tmp_path / "nowhere.ply", tmp_path / "mesh.glb", f"--{option}", value)
