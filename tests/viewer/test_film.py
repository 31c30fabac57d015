import re
import threading
import time

import numpy as np
import pytest

from cosmorama.reconstruct.cameras import cat_cameras
from cosmorama.reconstruct.errors import InputError
from cosmorama.viewer.film import render_film
from cosmorama.viewer.panels.film import _one_film_at_a_time, _Path
from cosmorama.viewer.render import render_rgb8

ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")


def frames_of(path):
    reader = ffmpeg.read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    return [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader], meta


def test_a_film_shows_what_the_cameras_see_and_time_runs(tmp_path, moving_scene, make_camera):
    small = make_camera().resized(97, 64)
    steps = []
    cameras = cat_cameras([small] * 10)
    assert (
        render_film(tmp_path / "a.mp4", moving_scene, cameras, fps=10, on_progress=lambda *a: steps.append(a))
        == 10
    )
    frames, meta = frames_of(tmp_path / "a.mp4")
    assert meta["size"] == (96, 64)
    assert len(frames) == 10
    assert steps[-1] == (10, 10)
    for index in (0, 8):  # at 10 frames a second and 2 seconds a round
        expected = render_rgb8(moving_scene.at(index / 20), small.resized(96, 64))
        assert np.abs(frames[index].astype(int) - expected).mean() < 6
    assert np.abs(frames[0].astype(int) - frames[8]).mean() > 8


def test_cancelling_keeps_what_is_there(tmp_path, scene, make_camera):
    cameras = cat_cameras([make_camera().resized(64, 48)] * 9)
    asked = iter([False] * 4 + [True] * 9)
    assert render_film(tmp_path / "a.mp4", scene, cameras, cancelled=lambda: next(asked)) == 4
    assert len(frames_of(tmp_path / "a.mp4")[0]) == 4
    with pytest.raises(InputError, match="cancelled"):
        render_film(tmp_path / "b.mp4", scene, cameras, cancelled=lambda: True)
    assert not (tmp_path / "b.mp4").exists()


def test_too_many_frames_are_refused(tmp_path, scene, make_camera):
    with pytest.raises(InputError, match="not 4000"):
        render_film(tmp_path / "a.mp4", scene, make_camera()[[0] * 4000])


@pytest.fixture
def filming(monkeypatch):
    """Films that have begun, each an event that says it has ended; they take 30 s unless they are cancelled."""
    films = []

    def render(*_, cancelled, **__):
        films.append(ended := threading.Event())
        end = time.monotonic() + 30
        while not cancelled() and time.monotonic() < end:
            time.sleep(0.02)
        ended.set()
        raise RuntimeError(
            "cannot schedule new futures after shutdown"
        )  # as from a frame, when a program ends

    monkeypatch.setattr("cosmorama.viewer.panels.film.render_film", render)
    return films


def add_keys(page, count):
    page.get_by_role("tab", name="Film").click()
    for n in range(1, count + 1):
        page.get_by_role("button", name="Add key frame").click()
        page.get_by_text(re.compile(rf"^{n} key frames?$")).wait_for()


def test_a_film_ends_quietly_with_the_viewer(page, scene, serving, visit, wait_until, filming, capfd):
    with serving(scene) as viewer:
        visit(page, viewer)
        add_keys(page, 2)
        page.get_by_role("button", name="Film it").click()
        wait_until(lambda: filming)
    assert filming[0].wait(20)
    wait_until(lambda: _one_film_at_a_time._value == 1)
    time.sleep(0.2)  # viser prints in the thread that has filmed
    assert "Traceback" not in capfd.readouterr().err


def test_a_film_ends_with_its_visitor(browser, page, scene, serving, visit, wait_until, filming):
    with serving(scene) as viewer:
        first = browser.new_page(viewport={"width": 560, "height": 300})
        for tab in (first, page):
            visit(tab, viewer)
            add_keys(tab, 2)
        first.get_by_role("button", name="Film it").click()
        wait_until(lambda: filming)
        first.close()
        assert filming[0].wait(20)
        page.get_by_role("button", name="Film it").click()
        wait_until(lambda: len(filming) == 2)
        assert not filming[1].is_set()


def test_a_preview_hides_the_key_frames_and_can_be_stopped(
    page, scene, serving, visit, wait_until, monkeypatch
):
    wires, set_visible = [], _Path.set_visible

    def spy(path, visible):
        set_visible(path, visible)
        wires.append([node.visible for node in path.nodes])

    monkeypatch.setattr(_Path, "set_visible", spy)
    with serving(scene) as viewer:
        session = visit(page, viewer)
        add_keys(page, 2)
        for stop in (
            lambda: page.get_by_role("button", name="Stop the preview").click(),
            lambda: session.go_home(seconds=0),
        ):
            wires.clear()
            page.get_by_role("button", name="Preview", exact=True).click()
            page.get_by_role("button", name="Stop the preview").wait_for()
            began = time.monotonic()
            stop()
            page.get_by_role("button", name="Preview", exact=True).wait_for()
            assert time.monotonic() - began < 5  # of 6 seconds
            assert wires == [[False] * 3, [True] * 3]


def test_without_key_frames_the_panel_says_how_to_add_one(page, scene, serving, visit):
    with serving(scene) as viewer:
        visit(page, viewer)
        add_keys(page, 1)
        page.get_by_role("button", name="Remove the last").click()
        page.get_by_text("No key frames yet").wait_for(timeout=20_000)
