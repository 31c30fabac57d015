"""Pictures and clips out."""

import subprocess
import sys

import pytest

STOPPED = """
import sys, time
from pathlib import Path
import torch
from cosmorama.pipeline.pictures import save_mp4

def frames():
    for _ in range(3):
        yield torch.rand(64, 64, 3)
        time.sleep(0.1)  # for the encoder to start
    raise KeyboardInterrupt

path = Path(sys.argv[1])
try:
    save_mp4(path, frames())
except KeyboardInterrupt:
    path.unlink(missing_ok=True)
    path.parent.rmdir()
    time.sleep(0.5)
    print("stopped")
"""


def test_the_encoder_of_a_stopped_clip_is_gone_before_its_folder_and_says_nothing(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    (tmp_path / "scene").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(tmp_path / "scene" / "clip.mp4")],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")
