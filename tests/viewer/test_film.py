import numpy as np
import pytest

from cosmorama.reconstruct.cameras import cat_cameras
from cosmorama.reconstruct.errors import InputError
from cosmorama.viewer.film import render_film
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
