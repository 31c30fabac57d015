import contextlib
import gzip
import io
import json
import urllib.error
import urllib.request

import numpy as np
import pytest
import viser
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.scene import Scene
from cosmorama.viewer import Viewer
from cosmorama.viewer.guard import MAX_MESSAGE
from cosmorama.viewer.poster import POSTER_PATH, WINDOW_ASPECT
from cosmorama.viewer.render import render_rgb8
from cosmorama.viewer.stage import fov_y_to_show

TOKEN = "0123456789abcdef"
PROTOCOL = f"viser-v{viser.__version__}"


@pytest.fixture(scope="module")
def local(scene):
    viewer = Viewer(scene, port=0)
    yield viewer
    viewer.stop()


@pytest.fixture(scope="module")
def private(scene):
    viewer = Viewer(scene, port=0, token=TOKEN)
    yield viewer
    viewer.stop()


def status(viewer, path="/", **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{viewer.server.get_port()}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def websocket(viewer, path="/", origin=None, subprotocols=None, **headers):
    address = f"ws://127.0.0.1:{viewer.server.get_port()}{path}"
    return connect(
        address, origin=origin, subprotocols=subprotocols, additional_headers=headers, open_timeout=20
    )


def own(viewer):
    return f"http://127.0.0.1:{viewer.server.get_port()}"


def test_the_first_picture_is_the_home_cameras(local, scene):
    code, headers, body = status(local, POSTER_PATH)
    assert code == 200
    assert headers["Content-Type"] == "image/jpeg"
    shown = np.asarray(Image.open(io.BytesIO(body)))
    home = scene.home
    height = round(shown.shape[0] * home.height / 2 / home.intrinsics[0, 1, 1].item() / _half_height(home))
    width = round(height * home.width / home.height)
    camera = home.resized(width, height)
    top, left = (shown.shape[0] - height) // 2, (shown.shape[1] - width) // 2
    expected = render_rgb8(scene.gaussians, camera)
    error = shown[top : top + height, left : left + width].astype(float) - expected
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 25
    assert shown.std() > 10


def _half_height(home):
    return np.tan(fov_y_to_show(home, WINDOW_ASPECT) / 2)


def test_a_scene_without_splats_has_no_first_picture(make_gaussians):
    viewer = Viewer(Scene(make_gaussians(1)[:0]), port=0)
    try:
        assert status(viewer, POSTER_PATH)[0] == 404
    finally:
        viewer.stop()


def test_the_first_picture_needs_the_token_too(private):
    assert status(private, POSTER_PATH)[0] == 403
    assert status(private, f"{POSTER_PATH}?token={TOKEN}")[0] == 200


def test_the_page_carries_our_script_and_cannot_be_framed(local):
    code, headers, body = status(local)
    assert code == 200
    assert headers["X-Frame-Options"] == "DENY"
    assert b"cosmorama-config" in gzip.decompress(body)


def test_only_names_of_this_machine_may_be_used(local):
    port = local.server.get_port()
    assert status(local, Host=f"localhost:{port}")[0] == 200
    assert status(local, Host=f"evil.example:{port}")[0] == 403
    assert status(local, Host="")[0] in (400, 403)


def test_a_foreign_origin_is_refused_and_our_own_is_let_in(local):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        with pytest.raises(InvalidStatus, match="403"):
            websocket(local, origin=origin)
    with websocket(local, origin=own(local)) as socket, pytest.raises(ConnectionClosed):
        socket.recv(timeout=10)  # let in by the guard, sent away by viser: no version was named


@pytest.mark.parametrize(
    "path", ["/", "/?token=wrong", "/?token=", "/?token=0123456789abcdeg", "/index.html"]
)
def test_a_wrong_token_is_refused(private, path):
    code, headers, body = status(private, path)
    assert code == 403
    assert "Set-Cookie" not in headers
    assert b"<script" not in body
    with pytest.raises(InvalidStatus, match="403"):
        websocket(private, path.replace("index.html", ""), origin=own(private))


def test_the_token_opens_the_page_and_the_cookie_the_rest(private):
    code, headers, _ = status(private, f"/?token={TOKEN}")
    assert code == 200
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert status(private, "/", Cookie=cookie.split(";")[0])[0] == 200
    with websocket(private, origin=own(private), Cookie=cookie.split(";")[0]):
        pass
    with pytest.raises(InvalidStatus, match="403"):  # the right cookie does not help a foreign page
        websocket(private, origin="http://evil.example", Cookie=cookie.split(";")[0])


def test_a_public_viewer_needs_a_token(scene):
    with pytest.raises(InputError, match="token"):
        Viewer(scene, host="0.0.0.0", port=0)


def test_the_address_carries_the_token(private):
    assert private.url.endswith(f"/?token={TOKEN}")


def test_too_long_a_message_ends_the_connection(local):
    with websocket(local, origin=own(local), subprotocols=[PROTOCOL]) as socket:
        with contextlib.suppress(ConnectionClosed):
            socket.send(b"x" * (MAX_MESSAGE + 1))
        with pytest.raises(ConnectionClosed):
            receive_all(socket)


def receive_all(socket):
    while True:
        socket.recv(timeout=20)


@pytest.mark.parametrize(
    ("query", "reason"),
    [("session=no&name=a.ply&size=5", "reload"), ("name=a.ply&size=5", "reload")],
)
def test_uploads_need_a_session(local, query, reason):
    with websocket(local, f"/cosmorama/upload?{query}", origin=own(local)) as socket:
        assert reason in json.loads(socket.recv(timeout=10))["error"]


def test_paths_do_not_leave_the_client_s_folder(local):
    assert status(local, "/..%2f..%2fpyproject.toml")[0] == 404


def test_viser_s_own_uploads_and_tunnels_are_switched_off(local):
    from viser import _messages

    handlers = local.server._websock_server._incoming_handlers
    for message in (
        _messages.FileTransferStartUpload,
        _messages.ShareUrlRequest,
        _messages.ShareUrlDisconnect,
    ):
        assert not handlers.get(message)
