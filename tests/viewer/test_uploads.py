import asyncio
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from cosmorama.reconstruct.files import SPLAT_SUFFIXES, write_splats
from cosmorama.reconstruct.scene import load_scene
from cosmorama.viewer.uploads import MAX_SPLATS, Uploads


class Connection:
    """A WebSocket that hands over fixed parts."""

    def __init__(self, query, parts):
        self.request = SimpleNamespace(path=f"/cosmorama/upload?{query}")
        self.parts = list(parts)
        self.sent = []

    async def recv(self):
        return self.parts.pop(0)

    async def send(self, text):
        self.sent.append(json.loads(text))


class Session:
    def __init__(self):
        self.opened = []
        self.page = SimpleNamespace(tell=lambda **settings: None)

    def open(self, scene, name):
        self.opened.append((scene, name))


def upload(query, parts, *, max_bytes=1 << 20, max_splats=10_000):
    session = Session()
    connection = Connection(query, parts)
    uploads = Uploads(lambda key: session if key == "k" else None, max_bytes, max_splats)
    with ThreadPoolExecutor(1) as thread:  # the browser tests leave an event loop running in this one
        thread.submit(asyncio.run, uploads.receive(connection)).result()  # type: ignore[arg-type]
    return session.opened, connection


@pytest.fixture
def ply(tmp_path, make_gaussians):
    path = tmp_path / "a.ply"
    write_splats(path, make_gaussians(20))
    return path.read_bytes()


def test_a_file_in_parts_is_opened(ply):
    parts = [ply[i : i + 1000] for i in range(0, len(ply), 1000)]
    opened, connection = upload(f"session=k&name=a.ply&size={len(ply)}", parts)
    assert connection.sent == [{"ok": True}]
    assert len(opened[0][0].gaussians) == 20
    assert opened[0][1] == "a.ply"


def test_names_with_folders_lose_them(ply):
    opened, _ = upload(f"session=k&name=..%2F..%5Cetc%2Fa.ply&size={len(ply)}", [ply])
    assert opened[0][1] == "a.ply"


@pytest.mark.parametrize(
    ("query", "parts", "reason"),
    [
        ("session=x&name=a.ply&size=3", [b"abc"], "reload"),
        ("session=k&name=a.exe&size=3", [b"abc"], "a.exe"),
        ("session=k&name=a.ply&size=0", [], "0 bytes"),
        ("session=k&name=a.ply&size=-1", [], "-1 bytes"),
        ("session=k&name=a.ply&size=99999999999", [], "at most 1 MiB"),
        ("session=k&name=a.ply&size=3", [b"abcdef"], "announced"),
        ("session=k&name=a.ply&size=3", [b"abc"], "a.ply"),
    ],
)
def test_bad_uploads_get_one_clear_line_and_nothing_is_read_on(query, parts, reason):
    opened, connection = upload(query, parts)
    assert not opened
    assert reason in connection.sent[0]["error"]
    assert "/tmp" not in connection.sent[0]["error"]


@pytest.mark.parametrize("suffix", [s for s in SPLAT_SUFFIXES if not s.startswith(".usd")])
def test_more_splats_than_can_be_shown_are_refused_in_every_format(tmp_path, make_gaussians, suffix):
    path = tmp_path / f"a{suffix}"
    write_splats(path, make_gaussians(300))
    data = path.read_bytes()
    query = f"session=k&name=a{suffix}&size={len(data)}"
    opened, connection = upload(query, [data], max_splats=299)
    assert not opened
    assert connection.sent == [{"error": f"a{suffix} holds 300 splats; at most 299 can be opened here"}]
    opened, _ = upload(query, [data], max_splats=300)
    assert len(opened) == 1
    assert len(load_scene(path).gaussians) == 300  # one's own files are not limited like that


def test_a_packed_file_cannot_claim_a_hundred_million(tmp_path, make_gaussians):
    """The header is believed only as far as the limit goes: nothing is unpacked for it."""
    path = tmp_path / "a.spz"
    write_splats(path, make_gaussians(300))
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[8:12] = (100_000_000).to_bytes(4, "little")
    data = gzip.compress(bytes(raw))
    _, connection = upload(f"session=k&name=a.spz&size={len(data)}", [data], max_splats=MAX_SPLATS)
    assert "100,000,000 splats; at most 3,000,000" in connection.sent[0]["error"]
