"""Files that lie, are cut short or were made to do harm: one clear line, little time and memory, nothing written."""

import gzip
import importlib.util
import io
import json
import os
import pickle
import random
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.files import SPLAT_SUFFIXES, read_splats

HAS_USD = importlib.util.find_spec("pxr") is not None
needs_usd = pytest.mark.skipif(not HAS_USD, reason="USD needs the extra 'splats'")
IN_PROCESS = [suffix for suffix in SPLAT_SUFFIXES if not suffix.startswith(".usd")]
WRITABLE = SPLAT_SUFFIXES if HAS_USD else IN_PROCESS


def load_fuzzer():
    """The fuzzer's ways of damaging files; it is a script, not a package."""
    path = Path(__file__).parents[1] / "benchmarks" / "fuzz_files.py"
    spec = importlib.util.spec_from_file_location("fuzz_files", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = load_fuzzer()


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> dict[str, list[bytes]]:
    return fuzz.seeds(tmp_path_factory.mktemp("valid"), WRITABLE)


def refused(folder: Path, suffix: str, data: bytes) -> str:
    """The message with which a file is refused; nothing but the file is in the folder afterwards."""
    path = folder / f"hostile{suffix}"
    path.write_bytes(data)
    before = sorted(folder.iterdir())
    with pytest.raises(InputError) as caught:
        read_splats(path)
    assert sorted(folder.iterdir()) == before
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("suffix", SPLAT_SUFFIXES)
def test_missing_empty_and_foreign_files(suffix, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_splats(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match="not a file"):
        read_splats(tmp_path / f"folder{suffix}")
    (tmp_path / f"folder{suffix}").rmdir()
    refused(tmp_path, suffix, b"")
    refused(tmp_path, suffix, b"<html>404 not found</html>")


@pytest.mark.parametrize("suffix", IN_PROCESS)
def test_every_truncation_is_refused(suffix, valid, tmp_path):
    for data in valid[suffix]:
        last = len(data) - (22 if suffix == ".sog" else 1)
        steps = (
            range(0, last, 32) if suffix == ".splat" else sorted({*range(0, last, max(1, last // 25)), last})
        )
        for length in steps:
            if suffix == ".splat":
                length += 7
            refused(tmp_path, suffix, data[:length])


@needs_usd
@pytest.mark.parametrize("suffix", [".usdc", ".usdz"])
def test_truncated_usd_is_refused(suffix, valid, tmp_path):
    data = valid[suffix][0]
    refused(tmp_path, suffix, data[: len(data) // 2])


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("pickle-was-loaded",)


@pytest.mark.parametrize("suffix", SPLAT_SUFFIXES)
def test_pickles_are_never_loaded(suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(Bomb())
    refused(tmp_path, suffix, data + b" " * (1 - len(data) % 32 % 2))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("meta.json", data)
    padding = b"\0" * ((5 - len(archive.getvalue())) % 32)
    refused(tmp_path, suffix, archive.getvalue() + padding)


@pytest.mark.parametrize("count", [10**9, 10**17, 2**31, 4096])
def test_a_billion_splats_in_a_kilobyte(count, valid, tmp_path):
    ply = valid[".ply"][0].replace(b"element vertex 5\n", f"element vertex {count}\n".encode())
    assert "claims" in refused(tmp_path, ".ply", ply)
    compressed = valid[".compressed.ply"][0]
    compressed = compressed.replace(b"element vertex 5\n", f"element vertex {count}\n".encode())
    assert "claims" in refused(tmp_path, ".ply", compressed)
    low = count & 0xFFFFFFFF
    raw = bytearray(gzip.decompress(valid[".spz"][0]))
    struct.pack_into("<I", raw, 8, low)
    refused(tmp_path, ".spz", gzip.compress(bytes(raw)))
    newest = bytearray(valid[".spz"][4])
    struct.pack_into("<I", newest, 8, low)
    refused(tmp_path, ".spz", bytes(newest))
    ksplat = bytearray(valid[".ksplat"][0])
    struct.pack_into("<II", ksplat, 4096, low, low)
    refused(tmp_path, ".ksplat", bytes(ksplat))
    sections = bytearray(valid[".ksplat"][0])
    struct.pack_into("<I", sections, 4, low)
    refused(tmp_path, ".ksplat", bytes(sections))


def test_gzip_bomb_is_not_inflated(tmp_path):
    """A million splats of zeros, 20 MB, in 20 kB."""
    head = struct.pack("<4sIIBBBB", b"NGSP", 3, 1_000_000, 0, 12, 0, 0)
    inflated = zlib.compressobj(6, zlib.DEFLATED, 31)
    data = inflated.compress(head) + inflated.compress(bytes(20_000_000)) + inflated.flush()
    assert len(data) < 25_000
    assert "claims" in refused(tmp_path, ".spz", data)


def test_zstd_bomb_is_not_inflated(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    count = 1_000_000
    sizes = [9 * count, count, 3 * count, 3 * count, 4 * count]
    streams = [zstandard.compress(bytes(size)) for size in sizes]
    head = struct.pack("<4sIIBBBBI12x", b"NGSP", 4, count, 0, 12, 0, 5, 32)
    toc = b"".join(struct.pack("<QQ", len(stream), size) for stream, size in zip(streams, sizes))
    assert "claims" in refused(tmp_path, ".spz", head + toc + b"".join(streams))


def repack(data: bytes, changes: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | changes
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def webp(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (width, height)).save(out, "WEBP", lossless=True, method=0)
    return out.getvalue()


def changed_meta(data: bytes, **changes: object) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        meta = json.loads(archive.read("meta.json"))
    return json.dumps(meta | changes).encode()


def test_zip_bombs_in_sog(valid, tmp_path):
    sog = valid[".sog"][1]
    assert "unpacks to more" in refused(tmp_path, ".sog", repack(sog, {"meta.json": b" " * (8 << 20)}))
    assert "unpacks to more" in refused(tmp_path, ".sog", repack(sog, {"means_l.webp": bytes(24 << 20)}))
    assert "pixels" in refused(tmp_path, ".sog", repack(sog, {"means_u.webp": webp(2000, 1000)}))
    assert "pixels" in refused(tmp_path, ".sog", repack(sog, {"shN_centroids.webp": webp(2000, 1000)}))
    assert "claims" in refused(tmp_path, ".sog", repack(sog, {"meta.json": changed_meta(sog, count=10**9)}))


def test_paths_in_sog_lead_nowhere(valid, tmp_path):
    sog = valid[".sog"][1]
    for name in ("../secret.webp", "/etc/passwd", "C:\\secret.webp"):
        means = {"mins": [0, 0, 0], "maxs": [1, 1, 1], "files": [name, name]}
        message = refused(tmp_path, ".sog", repack(sog, {"meta.json": changed_meta(sog, means=means)}))
        assert "it has no" in message
    refused(tmp_path, ".sog", repack(sog, {"meta.json": b"[" * 100_000}))


def test_glb_does_not_follow_other_files_or_cycles(valid, tmp_path):
    data = valid[".glb"][0]
    length = struct.unpack_from("<I", data, 12)[0]
    document, rest = json.loads(data[20 : 20 + length]), data[20 + length :]

    def changed(**changes: object) -> bytes:
        text = json.dumps({**document, **changes}).encode()
        text += b" " * (-len(text) % 4)
        return (
            struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest
        )

    outside = [{"byteLength": 10**6, "uri": "file:///etc/passwd"}]
    assert "not followed" in refused(tmp_path, ".glb", changed(buffers=outside))
    assert "contain themselves" in refused(tmp_path, ".glb", changed(nodes=[{"children": [0, 0]}]))
    many = [{"mesh": 0}] * 5000
    assert "claims" in refused(tmp_path, ".glb", changed(nodes=many, scenes=[{"nodes": list(range(5000))}]))
    lying = [dict(accessor, count=10**9) for accessor in document["accessors"]]
    assert "claims" in refused(tmp_path, ".glb", changed(accessors=lying))
    views = [dict(view, byteStride=0) for view in document["bufferViews"]]
    assert "beyond" in refused(tmp_path, ".glb", changed(bufferViews=views))
    mirrored = [{"mesh": 0, "scale": [1, 1, -1]}]
    assert "transform" in refused(tmp_path, ".glb", changed(nodes=mirrored))


def test_wrong_types_in_headers(valid, tmp_path):
    ply = valid[".ply"][1]
    assert "header line" in refused(
        tmp_path, ".ply", ply.replace(b"property float x", b"property list uchar int x")
    )
    assert "repeats itself" in refused(
        tmp_path, ".ply", ply.replace(b"property float y", b"property float x")
    )
    assert "not a binary" in refused(tmp_path, ".ply", ply.replace(b"binary_little_endian", b"ascii"))
    cloud = b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nend_header\n" + bytes(
        4
    )
    assert "point cloud" in refused(tmp_path, ".ply", cloud)
    integers = valid[".compressed.ply"][1].replace(
        b"property uint packed_scale", b"property int packed_scale"
    )
    assert "32-bit unsigned" in refused(tmp_path, ".ply", integers)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_files_of_nothing_but_nonsense(value, tmp_path):
    rows = struct.pack("<6f8B", *[value] * 6, *[255] * 8) * 4
    assert "no usable splat" in refused(tmp_path, ".splat", rows)


@needs_usd
def test_usd_opens_no_other_file(tmp_path):
    """Splats that a file only refers to are not there, whatever the way it refers to them."""
    sdf = importlib.import_module("pxr.Sdf")
    splats = 'def ParticleField3DGaussianSplat "S" {\npoint3f[] positions = [(0, 0, 0)]\n}\n'
    (tmp_path / "secret.usda").write_text('#usda 1.0\n(defaultPrim = "S")\n' + splats)
    folder = tmp_path / "folder"
    folder.mkdir()
    for text in (
        "(subLayers = [@../secret.usda@])\n",
        'def "A" (references = @../secret.usda@) {}\n',
        'def "A" (payload = @../secret.usda@) {}\n',
        'def "A" (\nvariants = {string v = "x"}\nprepend variantSets = "v"\n) {\n'
        'variantSet "v" = {\n"x" (references = @../secret.usda@) {\n}\n}\n}\n',
    ):
        layer = sdf.Layer.CreateAnonymous()
        assert layer.ImportFromString("#usda 1.0\n" + text)
        layer.Export(str(folder / "x.usdc"))
        assert "no ParticleField3DGaussianSplat" in refused(folder, ".usdc", (folder / "x.usdc").read_bytes())
    # The same splats in the file itself are found, so it is the reference that is not followed.
    layer = sdf.Layer.CreateAnonymous()
    assert layer.ImportFromString("#usda 1.0\n" + splats)
    layer.Export(str(folder / "y.usdc"))
    assert len(read_splats(folder / "y.usdc").gaussians) == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), suffix=st.sampled_from(IN_PROCESS))
def test_damaged_files_are_read_or_refused(seed, suffix, valid, tmp_path):
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(fuzz.one_input(suffix, valid[suffix], random.Random(seed)))
    assert fuzz.outcome(path) in ("read", "refused")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), suffix=st.sampled_from(IN_PROCESS), beginning=st.integers(0, 40))
def test_random_bytes_are_read_or_refused(data, suffix, beginning, valid, tmp_path):
    path = tmp_path / f"random{suffix}"
    path.write_bytes(valid[suffix][0][:beginning] + data)
    assert fuzz.outcome(path) in ("read", "refused")


def test_what_is_read_can_be_shown(valid, tmp_path):
    """Whatever gets through the readers is finite and has rotations."""
    rng, shown = random.Random(7), 0
    for i in range(140):
        path = tmp_path / f"damaged{IN_PROCESS[i % len(IN_PROCESS)]}"
        path.write_bytes(
            fuzz.one_input(IN_PROCESS[i % len(IN_PROCESS)], valid[IN_PROCESS[i % len(IN_PROCESS)]], rng)
        )
        try:
            splats = read_splats(path).gaussians
        except InputError:
            continue
        shown += 1
        assert all(bool(tensor.isfinite().all()) for tensor in splats.tensors().values())
        assert bool(splats.scales.isfinite().all())
        assert float(splats.quats.norm(dim=1).min()) > 0
        assert splats.means.dtype == torch.float32
    assert shown > 10
