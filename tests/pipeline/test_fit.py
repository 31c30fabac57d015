"""``cosmorama fit`` and ``bench fit`` from photos on disk to a scene folder and a report."""

import json
from dataclasses import replace
from pathlib import Path

import known_scene
import pytest
import torch
from PIL import Image

from cosmorama.pipeline.commands.bench_fit import BenchFit
from cosmorama.pipeline.commands.fit import Fit
from cosmorama.pipeline.fit import checkpoint_of
from cosmorama.reconstruct.cameras import Cameras, look_at, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.fit import FitError
from cosmorama.reconstruct.gaussians import gaussians_from_points
from cosmorama.reconstruct.rasterize import rasterize
from cosmorama.reconstruct.scene import load_scene
from cosmorama.reconstruct.transforms_json import images_from_cameras, write_transforms

SIZE = 64


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine photos of a speckled wall."""
    folder = tmp_path_factory.mktemp("wall")
    (folder / "images").mkdir()
    g = torch.Generator().manual_seed(0)
    points = torch.cat([4 * torch.rand(4000, 2, generator=g) - 2, torch.full((4000, 1), 3.0)], dim=1)
    wall = gaussians_from_points(
        points, torch.rand(4000, 3, generator=g), torch.full((4000,), 0.05), opacity=0.9
    )
    x = torch.linspace(-0.7, 0.7, 9)
    positions = torch.stack([x, 0.3 * torch.sin(7 * x), torch.zeros(9)], dim=-1)
    poses = look_at(positions, torch.tensor([0.0, 0, 3]).expand(9, 3))
    cameras = Cameras(poses, pinhole_intrinsics(80, SIZE, SIZE).repeat(9, 1, 1), SIZE, SIZE)
    entries = []
    for i, camera in enumerate(cameras):
        path = folder / "images" / f"{i}.png"
        Image.fromarray((rasterize(wall, camera).color[0].clamp(0, 1) * 255).byte().numpy()).save(path)
        entries += images_from_cameras(camera, image=path)
    write_transforms(folder / "transforms.json", entries)
    return folder


def options(capture: Path, out: Path) -> Fit:
    return Fit(capture, out=out, iterations=30, splats=1500, first_splats=1000, hold_out_every=4, json=True)


def test_a_scene_folder_and_a_report(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "scenes" / "wall"
    options(capture, out).run()
    report = json.loads(capsys.readouterr().out)
    assert report["iterations"] == 30
    assert report["test_psnr"] > 15
    assert 0 < report["test_ssim"] <= 1
    assert report["splats"] == len(load_scene(out).gaussians)
    assert report["train_views"] + report["test_views"] == 9
    assert report["peak_memory_mb"] > 0
    seconds = [point[0] for point in report["curve"]]
    assert seconds == sorted(seconds)
    assert report["curve"][-1][1] == pytest.approx(report["test_psnr"], abs=0.01)
    scene = load_scene(out)
    assert len(scene.views) == 6
    assert scene.views[0].image is not None
    assert scene.views[0].image.is_file()
    torch.testing.assert_close(scene.up, torch.tensor([0.0, -1, 0]), atol=0.1, rtol=0)
    assert not checkpoint_of(out).exists()
    with pytest.raises(InputError, match="exists already"):
        options(capture, out).run()


def test_force_replaces_neither_the_capture_nor_other_things(capture: Path, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    before = sorted(capture.rglob("*"))
    for out, reason in ((capture, "is needed"), (tmp_path, "no part of a scene")):
        with pytest.raises(InputError, match=reason):
            replace(options(capture, out), force=True).run()
    assert sorted(capture.rglob("*")) == before
    assert (tmp_path / "thesis.txt").exists()


def test_a_failure_names_the_checkpoint_and_resuming_finishes(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from cosmorama.reconstruct.fit import fit as loop

    out, check = tmp_path / "wall", loop._Run._check_step

    def breaks(run: loop._Run, *args: object) -> None:
        if run.step == 20:
            raise FitError("step 20: the loss of view 0 is nan")
        check(run, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop._Run, "_check_step", breaks)
    with pytest.raises(InputError, match=r"is nan; the state before that step is in .*wall\.checkpoint"):
        options(capture, out).run()
    assert checkpoint_of(out).exists()
    assert not out.exists()
    monkeypatch.undo()
    with pytest.raises(InputError, match="cannot be resumed"):
        replace(options(capture, out), resume=True, iterations=31).run()
    replace(options(capture, out), resume=True).run()
    assert (out / "scene.ply").is_file()


def test_bench_prints_one_object(capture: Path, capsys: pytest.CaptureFixture[str]):
    BenchFit(capture, downscale=1, iterations=5, splats=800, growth="none").run()
    report = json.loads(capsys.readouterr().out)
    needed = {"test_psnr", "test_ssim", "seconds", "iterations", "splats", "peak_memory_mb", "curve"}
    assert needed <= set(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iterations": 0}, "--iterations must be at least 1, not 0"),
        ({"sh_degree": 4}, "--sh-degree must be 0 to 3, not 4"),
        ({"hold_out_every": 1}, "too few to hold out"),
        ({"start": "cloud"}, "no sparse cloud"),
        ({"capture": Path("nowhere")}, "nowhere: no such file or folder"),
    ],
)
def test_bad_options_get_one_line(capture: Path, tmp_path: Path, change: dict, message: str):
    with pytest.raises(InputError, match=message):
        replace(options(capture, tmp_path / "out"), **change).run()


@pytest.mark.parametrize(
    "change",
    [
        {"iterations": 0},
        {"splats": -3},
        {"sh_degree": 9},
        {"seed": -1},
        {"hold_out_every": -1},
        {"perceptual": float("nan")},
    ],
)
def test_bad_options_are_told_before_anything_is_loaded(tmp_path: Path, change: dict):
    (name,) = change
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} must be"):
        replace(options(tmp_path / "nowhere", tmp_path / "out"), **change).run()


def test_nothing_to_resume_from(capture: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"out\.checkpoint.*no such checkpoint"):
        replace(options(capture, tmp_path / "out"), resume=True).run()
    assert not list(tmp_path.iterdir())


def test_cameras_of_photos_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("pycolmap")
    folder = tmp_path / "photos"
    folder.mkdir()
    angles = torch.linspace(-0.5, 0.5, 7)
    places = torch.stack([1.6 * angles.sin(), torch.full((7,), 0.1), -1.6 * angles.cos()], -1)
    poses = look_at(places, torch.tensor([0.0, 0.5, 0.3]).expand(7, 3))
    true = Cameras(poses, pinhole_intrinsics(277, 320, 240).repeat(7, 1, 1), 320, 240)
    for index, image in enumerate(known_scene.photos(true)[0]):
        Image.fromarray((image * 255).round().byte().numpy()).save(folder / f"{index}.png")
    out = tmp_path / "scene"
    Fit(
        folder,
        out=out,
        downscale=2,
        iterations=80,
        splats=4000,
        first_splats=3000,
        hold_out_every=4,
        json=True,
    ).run()
    told = capsys.readouterr()
    assert "the cameras of 7 of 7 photos were found" in told.err
    report = json.loads(told.out)
    assert report["image_size"] == [160, 120]
    assert report["test_psnr"] > 17
    scene = load_scene(out)
    found = torch.stack([view.world_from_cam[:3, 3] for view in scene.views])
    kept = places[[1, 2, 3, 5, 6]]  # the others are held out
    distances, true_distances = torch.cdist(found, found), torch.cdist(kept, kept)
    ratio = (distances / true_distances)[true_distances > 0]
    assert float(ratio.std() / ratio.mean()) < 0.03


def test_a_folder_without_photos_is_no_capture(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(InputError, match="no capture"):
        Fit(tmp_path, out=tmp_path / "scene").run()


def test_one_photo_is_no_capture(capture: Path, tmp_path: Path):
    pytest.importorskip("pycolmap")
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes((capture / "images" / "0.png").read_bytes())
    with pytest.raises(InputError, match="several photos"):
        Fit(folder, out=tmp_path / "scene").run()
    assert not (tmp_path / "scene").exists()
