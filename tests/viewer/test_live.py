import socket
import threading
import time

import pytest
import torch

from cosmorama.reconstruct.errors import InputError
from cosmorama.viewer import LiveSession
from cosmorama.viewer.listener import MAX_PORT
from cosmorama.viewer.panels.live import _Stage, about


@pytest.fixture
def live():
    session = LiveSession(port=0)
    yield session
    session.close()


def test_a_port_that_is_taken_is_passed_over():
    with socket.create_server(("127.0.0.1", MAX_PORT)), pytest.raises(InputError, match="no port"):
        LiveSession(port=MAX_PORT)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        session = LiveSession(port=taken.getsockname()[1])
        assert int(session.url.rsplit(":", 1)[1].strip("/")) > taken.getsockname()[1]
        session.close()


def test_updates_are_copies_and_not_too_many(live, scene):
    growing = type(scene.gaussians)(**{k: v.clone() for k, v in scene.gaussians.tensors().items()})
    assert live.update(growing)
    growing.means.fill_(7.0)  # the optimiser goes on
    assert not any(live.update(growing) for _ in range(100))
    live.flush()
    torch.testing.assert_close(live.viewer.scene.gaussians.means, scene.gaussians.means)


def test_the_browser_opens_once_there_is_a_photo(monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    session = LiveSession(port=0, open_browser=True)
    try:
        assert not opened
        for _ in range(2):
            session.photo(torch.rand(6, 8, 3))
        assert opened == [session.url]
    finally:
        session.close()


def test_many_threads_may_speak_at_once(live, scene):
    def speak(number):
        for i in range(30):
            live.stage(f"Stage {number}", i / 30, "detail", 30 - i)
            live.psnr(20 + i / 10, i)
            live.update(scene.gaussians)
            live.add_view(scene.views[0])

    threads = [threading.Thread(target=speak, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    live.finish(scene)
    assert live.viewer.scene is scene
    assert not live.update(scene.gaussians)  # nothing replaces the finished scene
    assert not live.cancelled


def test_every_view_arrives_in_order(live, scene):
    from dataclasses import replace

    for i in range(12):
        live.add_view(replace(scene.views[0], width=100 + i))
    live.flush()
    assert [v.width for v in live.viewer.scene.views] == [100 + i for i in range(12)]


def test_a_picture_that_cannot_be_read_is_left_out(live, tmp_path):
    (tmp_path / "x.png").write_bytes(b"no")
    live.photo(tmp_path / "x.png")
    live.depth(torch.zeros(4, 5))
    live.psnr(float("nan"))
    live.flush()


def test_a_public_live_session_needs_a_token():
    with pytest.raises(InputError, match="token"):
        LiveSession(host="0.0.0.0")


def test_the_photo_s_camera_is_where_the_scene_is_seen_from(live, scene):
    live.photo(torch.rand(30, 40, 3), scene.views[0])
    live.update(scene.gaussians)
    live.flush()
    assert torch.equal(live.viewer.scene.home.world_from_cam[0], scene.views[0].world_from_cam)


def test_a_silent_stage_counts_down_but_promises_no_end():
    told = time.monotonic()
    assert "about 60 s left" in _Stage("Depth", "", 60.0, told).text()
    assert "about 45 s left" in _Stage("Depth", "", 60.0, told - 15).text()
    assert "about 30 s left" in _Stage("Depth", "", 60.0, told - 500).text()
    assert _Stage("Depth", "3 of 4", None, told).text() == "**Depth** · 3 of 4"


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "about 5 s"), (47, "about 45 s"), (100, "about 2 min"), (7200, "about 2.0 h")]
)
def test_durations_as_people_say_them(seconds, text):
    assert about(seconds) == text


def test_flush_waits_for_what_another_thread_is_doing(live):
    started, order = threading.Event(), []

    def slow():
        started.set()
        time.sleep(0.3)
        order.append("done")

    live._later("slow", slow)
    assert started.wait(5)  # the viewer's own thread has begun
    live.flush()
    order.append("flushed")
    assert order == ["done", "flushed"]
