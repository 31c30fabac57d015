import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from websockets.sync.client import connect

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.files import write_splats
from cosmorama.reconstruct.scene import Scene, load_scene, save_scene
from cosmorama.reconstruct.transforms_json import images_from_cameras
from cosmorama.viewer import LiveSession, render, show_scene
from cosmorama.viewer.glance import glance
from cosmorama.viewer.headless import psnr
from cosmorama.viewer.listener import Listener
from cosmorama.viewer.stage import stage_scene


def pixels(jpeg):
    shown = np.asarray(Image.open(io.BytesIO(jpeg)))
    assert shown.std() > 10
    return shown


def at_leisure(path):
    scene = load_scene(path)
    return render.poster(scene, stage_scene(scene))


@pytest.mark.parametrize("sh_degree", [0, 3])
def test_a_glance_at_a_file_shows_what_all_of_it_would(tmp_path, make_gaussians, sh_degree):
    path = tmp_path / "a.ply"
    up = torch.nn.functional.normalize(torch.tensor([0.2, 0.1, 1.0]), dim=0)
    write_splats(path, make_gaussians(900, sh_degree=sh_degree), up=up, metres_per_unit=0.4)
    looked = glance(path)
    assert looked is not None
    assert psnr(pixels(looked.poster()), pixels(at_leisure(path))) > 50  # axes are rounded on their way


def scene_folder(folder, gaussians, camera, **changes):
    folder.mkdir()
    pose = camera.world_from_cam.clone()
    pose[0, :3, 3] = torch.tensor([0.3, -0.2, 0.1])
    views = images_from_cameras(camera) + images_from_cameras(
        replace(camera, world_from_cam=pose), generated=True
    )
    save_scene(folder, replace(Scene(gaussians, metres_per_unit=1.0, views=views), **changes))


def test_a_glance_at_a_folder_starts_from_its_photo(tmp_path, make_gaussians, make_camera, moving_scene):
    scene_folder(tmp_path / "still", make_gaussians(700), make_camera())
    looked = glance(tmp_path / "still")
    assert looked is not None
    assert looked.poster() == at_leisure(tmp_path / "still") != b""
    scene_folder(tmp_path / "moving", moving_scene.gaussians, make_camera(), motion=moving_scene.motion)
    assert glance(tmp_path / "moving") is None


def test_what_is_not_plain_is_left_to_the_reader_of_all_formats(tmp_path, make_gaussians):
    for name in ("a.compressed.ply", "a.spz"):
        write_splats(tmp_path / name, make_gaussians(300))
        assert glance(tmp_path / name) is None
    write_splats(tmp_path / "a.ply", make_gaussians(300))
    whole = (tmp_path / "a.ply").read_bytes()
    for damaged in (
        b"",
        b"ply\n",
        whole[:200],
        whole[:-50],
        whole.replace(b"float scale_1", b"uchar scale_1", 1),
    ):
        (tmp_path / "b.ply").write_bytes(damaged)
        assert glance(tmp_path / "b.ply") is None
    nan = np.full(300, np.nan, "<f4").tobytes()  # in what should be means, quaternions and so on
    (tmp_path / "b.ply").write_bytes(whole[: -len(nan)] + nan)
    looked = glance(tmp_path / "b.ply")
    assert looked is not None
    assert looked.poster() == b""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "scene.json").write_text(json.dumps([1]))
    assert glance(tmp_path / "broken") is None


def test_a_glance_survives_hostile_json(tmp_path, make_gaussians, make_camera):
    scene_folder(tmp_path / "a", make_gaussians(50), make_camera())
    entries = json.loads((tmp_path / "a" / "transforms.json").read_text())
    entries["frames"][0]["w"] = float("inf")
    for content in ("[" * 100_000, json.dumps(entries)):
        (tmp_path / "a" / "transforms.json").write_text(content)
        assert glance(tmp_path / "a") is None
    os.truncate(tmp_path / "a" / "transforms.json", 1 << 40)
    assert glance(tmp_path / "a") is None


def test_the_first_picture_needs_no_torch(tmp_path, make_gaussians):
    write_splats(tmp_path / "a.ply", make_gaussians(200))
    script = (
        "import sys; from pathlib import Path; import cosmorama.viewer.show\n"
        "from cosmorama.viewer.glance import glance\n"
        "assert glance(Path(sys.argv[1])).poster()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.ply")], check=True)


def test_visitors_wait_until_they_are_let_in():
    listener = Listener(port=0)
    try:
        let_in = threading.Event()

        async def hello(connection):
            assert let_in.is_set()
            await connection.send("hello")

        with connect(f"{listener.url.replace('http', 'ws')}here", origin=listener.url[:-1]) as socket:
            with pytest.raises(TimeoutError):
                socket.recv(timeout=0.3)
            let_in.set()
            listener.guard.admit({"/here": hello})
            assert socket.recv(timeout=10) == "hello"
    finally:
        listener.stop()


@pytest.mark.parametrize("damage", [lambda b: b[:-50], lambda b: b[:200]])
def test_a_scene_that_cannot_be_read_ends_the_server(tmp_path, make_gaussians, damage):
    write_splats(tmp_path / "a.ply", make_gaussians(300))
    (tmp_path / "a.ply").write_bytes(damage((tmp_path / "a.ply").read_bytes()))
    before = threading.active_count()
    with pytest.raises(InputError, match=r"a\.ply"):
        show_scene(tmp_path / "a.ply", port=0, block=False)
    with pytest.raises(InputError, match="nothing"):
        show_scene(tmp_path / "nothing", port=0, block=False)
    assert threading.active_count() <= before + 2  # no server is left behind


def test_the_address_is_told_before_the_scene_is_read(tmp_path, make_gaussians, monkeypatch):
    write_splats(tmp_path / "a.ply", make_gaussians(300))
    write_splats(tmp_path / "a.spz", make_gaussians(300))
    told = []
    monkeypatch.setattr(
        "cosmorama.viewer.show._view", lambda *_: told.append("read") or pytest.fail("never read")
    )
    for name, order in (
        ("a.ply", ["address", "read"]),
        ("a.spz", ["read"]),
    ):  # nobody knows what is in an .spz
        told.clear()
        with pytest.raises(pytest.fail.Exception):
            show_scene(tmp_path / name, port=0, block=False, announce=lambda _: told.append("address"))
        assert told == order


@pytest.mark.parametrize("port", [-1, 99_999])
def test_a_port_that_there_cannot_be_is_refused(tmp_path, make_gaussians, monkeypatch, port):
    write_splats(tmp_path / "a.ply", make_gaussians(50))
    monkeypatch.setattr("cosmorama.viewer.show._view", lambda *_: pytest.fail("the scene was read"))
    before = threading.active_count()
    for start in (
        lambda: show_scene(tmp_path / "a.ply", port=port, block=False),
        lambda: LiveSession(port=port),
    ):
        with pytest.raises(InputError, match=f"a port must be .* not {port}"):
            start()
    assert threading.active_count() == before
