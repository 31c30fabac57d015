import subprocess

import pytest
import torch
from PIL import Image

from cosmorama.pipeline.pictures import save_mp4
from cosmorama.reconstruct.captures.clip import clip_frames, clip_long_side
from cosmorama.reconstruct.errors import InputError

ffmpeg = pytest.importorskip("imageio_ffmpeg")


def clip(path, frames=24, width=96, height=64):
    """Grey grows with time; every third frame is sharp."""
    stripes = (torch.arange(width) // 4 % 2).float()[None, :, None].expand(height, width, 3)
    pictures = [
        0.2 + 0.5 * i / frames + (0.3 * stripes if i % 3 == 1 else 0.15 * torch.ones(height, width, 3))
        for i in range(frames)
    ]
    save_mp4(path, pictures, fps=12)
    return path


def test_the_sharpest_frames_in_order(tmp_path):
    frames = clip_frames(clip(tmp_path / "a.mp4"), tmp_path, 8, long_side=200)
    assert len(frames) == 8
    assert sorted(tmp_path.glob("*.png")) == frames
    grey = []
    for frame in frames:
        with Image.open(frame) as image:
            assert image.size == (96, 64)
            values = torch.tensor(list(image.convert("L").get_flattened_data()), dtype=torch.float32)
        assert float(values.std()) > 20  # striped
        grey.append(float(values.mean()))
    assert grey == sorted(grey)


def test_frames_are_shrunk(tmp_path):
    frames = clip_frames(clip(tmp_path / "a.mp4"), tmp_path, 2, long_side=48)
    with Image.open(frames[0]) as image:
        assert image.size == (48, 32)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0\x18ftypmp42",
        b"no clip",
        b"ffconcat version 1.0\nfile b.mp4\n",
        b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n",
    ],
)
def test_what_is_no_clip(tmp_path, content, monkeypatch):
    clip(tmp_path / "b.mp4")
    (tmp_path / "a.mp4").write_bytes(content)
    monkeypatch.setattr("imageio_ffmpeg.count_frames_and_secs", None)  # nothing but our own look reads it
    with pytest.raises(InputError, match=r"a\.mp4: .*clip"):
        clip_frames(tmp_path / "a.mp4", tmp_path, 3, long_side=48)
    assert not list(tmp_path.glob("*.png"))


def test_pixels_that_are_no_squares(tmp_path):
    clip(tmp_path / "a.mp4")
    command = [ffmpeg.get_ffmpeg_exe(), "-i", tmp_path / "a.mp4", "-vf", "setsar=2/1", tmp_path / "b.mp4"]
    subprocess.run(command, check=True, capture_output=True)
    frames = clip_frames(tmp_path / "b.mp4", tmp_path, 2, long_side=400)
    with Image.open(frames[0]) as image:
        assert image.size == (192, 64)
    assert clip_long_side(tmp_path / "a.mp4") == 96


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        clip_frames(tmp_path / "a.mp4", tmp_path, 3, long_side=48)
