"""Who may talk to the viewer: viser alone checks neither a token nor where a page comes from.

Every request passes here before viser sees it:

- bound to this machine, the Host must be a name of this machine (a page elsewhere cannot rebind its name to
us);
- a WebSocket that a browser opens must come from our own page (Origin equals Host);
- if there is a token, the first page load must carry ``?token=...``; a cookie carries it from then on.

viser 1.x offers no hook for this. Its server is started through ``websockets.asyncio.server.serve``, which
is wrapped for the moment of the start; if viser ever starts in another way, the server is stopped and an
error raised.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import hmac
import http
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import contextmanager
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from .poster import POSTER_PATH

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
COOKIE = "cosmorama_token"
MAX_MESSAGE = 8 << 20
"""Bytes of one incoming WebSocket message."""
MAX_CLIENTS = 32
_ADMIT_SECONDS = 0.02
"""How often those who wait ask whether they may come in."""
_STATIC = Path(__file__).parent / "static"
_start_lock = threading.Lock()

Channel = Callable[[ServerConnection], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Whether an address that a server binds to can be reached from this machine only."""
    return host in LOOPBACK


class Guard:
    """Checks requests, serves the page with our script in it, and routes our own WebSocket paths."""

    def __init__(
        self,
        host: str,
        token: str | None,
        poster: Callable[[], bytes],
        max_message: int = MAX_MESSAGE,
    ) -> None:
        """Guard a server.

        Args:
            host: address that it binds to.
            token: secret that visitors need; None for none.
            poster: draws the picture that the page shows at first, a JPEG; empty if there is none.
            max_message: largest accepted WebSocket message in bytes.
        """
        self.local_only = is_loopback(host)
        self.token = token
        self.poster = poster
        self.max_message = max_message
        self.open_connections = 0
        self.installed = False
        self._channels: Mapping[str, Channel] | None = None

    def admit(self, channels: Mapping[str, Channel]) -> None:
        """Let visitors in, who have waited until now; ``channels`` handle WebSocket paths of our own."""
        self._channels = channels

    def refusal(self, request: Request) -> str | None:
        """Why a request is refused, or None if it may pass."""
        headers = request.headers
        host = headers.get("Host", "")
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if self.local_only and name not in LOOPBACK:
            return "this viewer can be opened from its own machine only"
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "foreign origin"
        if self.token is not None and not self._has_token(request):
            return "a token is needed: open the address that was printed when the viewer started"
        return None

    def _has_token(self, request: Request) -> bool:
        assert self.token is not None
        given = parse_qs(urlsplit(request.path).query).get("token", [])
        try:
            cookie = SimpleCookie(request.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        given += [cookie.value] if cookie else []
        return any(hmac.compare_digest(value.encode(), self.token.encode()) for value in given)

    def process_request(
        self, viser_http: Callable[..., Response | None], connection: ServerConnection, request: Request
    ) -> Response | Awaitable[Response] | None:
        """Answer a request, or None to let the WebSocket handshake go on."""
        reason = self.refusal(request)
        if reason is not None:
            return _text(http.HTTPStatus.FORBIDDEN, reason)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if self.open_connections >= MAX_CLIENTS:
                return _text(http.HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers")
            return None
        path = urlsplit(request.path).path
        if path in ("", "/", "/index.html"):
            return self._page()
        if path == POSTER_PATH:
            return self._poster()
        return viser_http(connection, request)

    async def _poster(self) -> Response:
        body = await asyncio.to_thread(self.poster)
        if not body:
            return _text(http.HTTPStatus.NOT_FOUND, "nothing to show yet")
        headers = {
            "Content-Type": "image/jpeg", "Content-Length": str(len(body)), "Cache-Control": "no-store",
        }  # fmt: skip
        return Response(http.HTTPStatus.OK, "OK", Headers(headers), body)

    def _page(self) -> Response:
        body = page()
        headers = {
            "Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), "Content-Encoding":
            "gzip", "Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
        }  # fmt: skip
        if self.token is not None:
            headers["Set-Cookie"] = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
        return Response(http.HTTPStatus.OK, "OK", Headers(headers), body)

    async def handle(self, viser_handler: Channel, connection: ServerConnection) -> None:
        """Route an accepted WebSocket to one of our channels or to viser."""
        path = urlsplit(connection.request.path).path if connection.request else "/"
        self.open_connections += 1
        try:
            while self._channels is None:
                await asyncio.sleep(_ADMIT_SECONDS)
            await self._channels.get(path, viser_handler)(connection)
        finally:
            self.open_connections -= 1

    @contextmanager
    def around_start(self):
        """Put the guard in front of the WebSocket server that is started inside the ``with`` block."""
        module = websockets.asyncio.server
        with _start_lock:
            original = module.serve

            def guarded(handler: Channel, *args: Any, **options: Any) -> Any:
                self.installed = True
                options["process_request"] = functools.partial(
                    self.process_request, options["process_request"]
                )
                options["max_size"] = self.max_message
                return original(functools.partial(self.handle, handler), *args, **options)

            module.serve = guarded  # type: ignore[assignment]
            try:
                yield
            finally:
                module.serve = original  # type: ignore[assignment]
        if not self.installed:
            raise RuntimeError("the viewer's guard was bypassed: this version of viser starts in another way")


@functools.cache
def page() -> bytes:
    """viser's page with our script in it, and a curtain until the first message has arrived, gzipped.

    The curtain, ``opening.html``, starts viser's own script.
    """
    import viser

    html = (Path(viser.__file__).parent / "client" / "build" / "index.html").read_text(encoding="utf-8")
    curtain, script = ((_STATIC / name).read_text(encoding="utf-8") for name in ("opening.html", "walk.js"))
    before, opening, rest = html.partition("<head>")
    middle, closing, after = rest.rpartition("</body>")
    if not (opening and closing):
        raise RuntimeError("viser's page has another shape: this version of viser is not known")
    middle = middle.replace("<script data-p=", '<script type="text/plain" id="cosmorama-later" data-p=')
    whole = f"{before}{opening}{curtain}{middle}<script>\n{script}\n</script>{closing}{after}"
    return gzip.compress(whole.encode(), 6, mtime=0)


def _text(status: http.HTTPStatus, message: str) -> Response:
    body = (message + "\n").encode()
    headers = Headers({"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))})
    return Response(status, status.phrase, headers, body)
