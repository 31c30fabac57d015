"""The chain on a real photo. Depth comes from a ramp where the network's answer does not matter."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from cosmorama.pipeline.depth import DepthMap
from cosmorama.pipeline.make import make_scene
from cosmorama.pipeline.make_options import MakeOptions, check_request, default_folder
from cosmorama.pipeline.presets import Preset
from cosmorama.pipeline.watch import Nobody
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.scene import load_scene

TINY = Preset(long_side=96, views=3, iterations=12, clip_frames=6, face=48, seconds=1, megabytes=1)


class RampWithBox:
    """Further away towards the top, with a box in front."""

    name = "ramp (test)"
    licences = ()

    def __call__(self, image, focal_px):
        h, w = image.shape[:2]
        depth = torch.linspace(4.0, 1.5, h)[:, None].expand(h, w).clone()
        depth[h // 4 : 3 * h // 4, w // 3 : w // 2] = 1.0
        return DepthMap(depth, torch.ones(h, w), torch.zeros(h, w, dtype=torch.bool))


def make(photo, out, **changes):
    options = MakeOptions(preset=TINY, **changes)
    return make_scene([photo], out, options, depth_estimator=RampWithBox())


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    photo = Path(__file__).parents[2] / "assets" / "demo.jpg"
    out = tmp_path_factory.mktemp("make") / "scene"
    return out, make(photo, out)


def test_the_scene_folder_is_complete(scene):
    folder, report = scene
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert names == [
        "mesh.glb", "preview.mp4", "preview.png", "scene.json", "scene.ply", "transforms.json",
        *(f"views/{i:04d}.png" for i in range(4)),
    ]  # fmt: skip
    assert report.splats > 96 * 64
    assert report.psnr_input_view > 22  # a few steps at a tiny size
    record = json.loads((folder / "scene.json").read_text())
    assert record["seed"] == 0
    assert record["units"] == "metres"
    assert "baseline" in record["models"]["generator"]["name"]
    assert set(record["stages"]) >= {"photo", "depth", "splats", "views", "refine"}


class CancelledAfter(Nobody):
    """Cancelled in the live viewer after the first generated view, or once the fit has begun."""

    def __init__(self, views, fit):
        self.views, self.fit, self.seen, self.steps = views, fit, 0, 0

    @property
    def cancelled(self):
        return self.seen >= self.views if not self.fit else self.steps > 0

    def add_view(self, view):
        self.seen += 1

    def psnr(self, value, step=None):
        self.steps += 1


@pytest.mark.parametrize("fit", [False, True])
def test_a_cancelled_run_keeps_a_whole_scene(tmp_path, scene, fit):
    photo = Path(__file__).parents[2] / "assets" / "demo.jpg"
    watcher, out = CancelledAfter(2, fit), tmp_path / "scene"
    preset = replace(TINY, iterations=2000)
    make_scene([photo], out, MakeOptions(preset=preset), depth_estimator=RampWithBox(), watcher=watcher)
    loaded = load_scene(out)
    assert json.loads((out / "scene.json").read_text())["cancelled"]
    assert len(loaded.gaussians) > 96 * 64
    assert 1 <= len(loaded.views) <= 4
    assert len(loaded.views) == 4 or not fit
    assert {p.name for p in out.iterdir()} == {p.name for p in scene[0].iterdir()}


def test_the_scene_loads_with_the_photo_first(scene):
    loaded = load_scene(scene[0])
    assert len(loaded.gaussians) == scene[1].splats
    assert loaded.metres_per_unit == 1.0
    assert [view.generated for view in loaded.views] == [False, True, True, True]
    assert torch.allclose(loaded.views[0].world_from_cam, torch.eye(4), atol=1e-6)
    matrix = json.loads((scene[0] / "transforms.json").read_text())["frames"][0]["transform_matrix"]
    assert np.allclose(matrix, np.diag([1, -1, -1, 1]))


def test_the_first_view_is_the_photo(scene, demo_photo):
    with Image.open(scene[0] / "views" / "0000.png") as view, Image.open(demo_photo) as photo:
        expected = np.asarray(photo.resize(view.size, Image.Resampling.LANCZOS)).astype(float)
        assert np.abs(np.asarray(view).astype(float) - expected).mean() < 1.0


def test_generated_views_have_no_black_holes(scene):
    for index in range(1, 4):
        with Image.open(scene[0] / "views" / f"{index:04d}.png") as view:
            assert (np.asarray(view).max(-1) < 4).mean() < 0.002


def test_the_mesh_stands_upright(scene):
    mesh = trimesh.load(scene[0] / "mesh.glb", force="mesh")
    assert len(mesh.faces) > 1000
    top, bottom = mesh.vertices[:, 1].max(), mesh.vertices[:, 1].min()
    far = mesh.vertices[np.argmax(np.abs(mesh.vertices[:, 2]))]
    assert far[1] > (top + bottom) / 2  # the ramp rises into the distance: glTF's +y is up


def test_the_same_seed_gives_the_same_files(scene, demo_photo, tmp_path):
    make(demo_photo, tmp_path / "again")
    for path in sorted(p for p in scene[0].rglob("*") if p.is_file()):
        other = tmp_path / "again" / path.relative_to(scene[0])
        if path.name == "scene.json":
            a, b = (json.loads(p.read_text()) for p in (path, other))
            a.pop("stages"), b.pop("stages")
            assert a == b
        else:
            assert path.read_bytes() == other.read_bytes(), path.name


def test_an_existing_folder_is_not_replaced_unasked(scene, demo_photo):
    before = (scene[0] / "scene.ply").stat().st_mtime_ns
    with pytest.raises(InputError, match="exists"):
        make(demo_photo, scene[0])
    assert (scene[0] / "scene.ply").stat().st_mtime_ns == before


def test_what_is_no_scene_is_not_replaced(scene, demo_photo, tmp_path):
    shutil.copy(demo_photo, tmp_path / "photo.jpg")
    (tmp_path / "thesis.txt").write_text("mine")
    for photo, reason in ((tmp_path / "photo.jpg", "is needed"), (demo_photo, "no part of a scene")):
        with pytest.raises(InputError, match=reason):
            check_request([photo], tmp_path, MakeOptions(), overwrite=True)
    check_request([demo_photo], scene[0], MakeOptions(), overwrite=True)


def test_failure_in_the_middle_leaves_nothing(demo_photo, tmp_path):
    class Failing(RampWithBox):
        def __call__(self, image, focal_px):
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        make_scene([demo_photo], tmp_path / "scene", MakeOptions(preset=TINY), depth_estimator=Failing())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"trajectory": "zigzag"},
        {"seed": -1},
        {"generated_weights": (0.5, float("nan"))},
        {"generated_weights": (-1.0, 0.25)},
        {"perceptual": float("inf")},
    ],
)
def test_what_cannot_work_is_told_at_once(demo_photo, tmp_path, changes):
    with pytest.raises(InputError):
        check_request([demo_photo], tmp_path / "scene", MakeOptions(**changes), overwrite=False)


def test_a_folder_that_cannot_be_written(demo_photo, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError):
        make(demo_photo, tmp_path / "file" / "scene")


def test_default_folder_takes_a_free_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_folder(Path("a/cup.jpg")) == Path("scenes/cup")
    Path("scenes/cup").mkdir(parents=True)
    assert default_folder(Path("a/cup.jpg")) == Path("scenes/cup-2")


def run_cli(*arguments, **options):
    command = [sys.executable, "-m", "cosmorama.pipeline.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.mark.parametrize("bad", ["missing.jpg", "text.jpg"])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, bad):
    (tmp_path / "text.jpg").write_text("no photo")
    run = run_cli("make", tmp_path / bad, "--out", tmp_path / "scene", "--no-view", "--json")
    assert run.returncode == 2
    assert run.stdout == ""
    (line,) = run.stderr.strip().splitlines()
    assert bad in line
    assert not (tmp_path / "scene").exists()


def test_depth_is_written_over_nothing(demo_photo, tmp_path):
    for name in ("photo.png", "old.npy", "new-depth.png"):
        shutil.copy(demo_photo, tmp_path / name)
    for arguments in (
        ["photo.png", "photo.png", "--force"],
        ["photo.png", "old.npy"],
        ["photo.png", "new.npy"],
    ):
        run = run_cli("depth", *arguments, cwd=tmp_path)
        assert run.returncode == 2
        assert len(run.stderr.strip().splitlines()) == 1
    assert {p.read_bytes() for p in tmp_path.iterdir()} == {demo_photo.read_bytes()}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_stopped_half_way_leaves_nothing(demo_photo, tmp_path, signum):
    out = tmp_path / "scenes" / "scene"
    command = [
        sys.executable,
        "-m",
        "cosmorama.pipeline.cli",
        "make",
        str(demo_photo),
        "--out",
        str(out),
        "--no-view",
    ]
    listen = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # background jobs ignore it
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **listen) as process:
        deadline = time.monotonic() + 120
        while not (out.parent.exists() and any(out.parent.iterdir())) and time.monotonic() < deadline:
            time.sleep(0.05)  # until the work has begun
        time.sleep(1.0)
        process.send_signal(signum)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert stderr.strip().splitlines()[-1] == "cosmorama: stopped"
    assert list(tmp_path.iterdir()) == []


def test_the_perceptual_term_is_asked_about_generated_views_only(tmp_path, monkeypatch):
    asked = []

    def distance():
        def compare(rendering, image, view):
            asked.append(view)
            return (rendering - image).square().mean()

        return compare

    monkeypatch.setattr("cosmorama.pipeline.refine.dinov2_distance", distance)
    monkeypatch.setattr("cosmorama.pipeline.refine.PERCEPTUAL_EVERY", 1)
    photo = Path(__file__).parents[2] / "assets" / "demo.jpg"
    make(photo, tmp_path / "with", perceptual=0.5)
    assert set(asked) <= set(range(1, 4 + 3 + 1)), "corners and views; neither the photo nor its close-ups"
    assert asked
    asked.clear()
    make(photo, tmp_path / "without")
    assert not asked, "nothing was generated by a network"
    monkeypatch.setattr("cosmorama.pipeline.generators.inpaint.InpaintGenerator.licences", ("of weights",))
    make(photo, tmp_path / "network")
    assert asked
    asked.clear()
    make(photo, tmp_path / "not wanted", perceptual=0.0)
    assert not asked
