"""The guarded server of a viewer: it listens, and shows the first picture, while the rest is still on its way."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..reconstruct.errors import InputError
from .guard import Guard, is_loopback

if TYPE_CHECKING:
    from viser import ViserServer

MAX_PORT = 65_535
"""Of TCP."""


class Listener:
    """A server that pages can be read from; visitors are let in once ``admit`` is called."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 8080, token: str | None = None, label: str = "Cosmorama"
    ) -> None:
        """Start listening.

        Args:
            host: address to bind to; anything but this machine needs a token.
            port: the next free one is taken if it is in use; 0 for any.
            token: secret in the address that visitors open; required unless ``host`` is this machine.
            label: shown above the panel.

        Raises:
            InputError: a port that there cannot be, none that is free, or a public address without a token.
        """
        if not 0 <= port <= MAX_PORT:
            raise InputError(f"a port must be 1 to {MAX_PORT}, or 0 for any, not {port}")
        if token is None and not is_loopback(host):
            raise InputError(f"a viewer on {host} can be reached by others: give it a token")
        self._host, self._token = host, token
        self._draw: Callable[[], bytes] = bytes
        self._has_poster = threading.Event()
        self.guard = Guard(host, token, self._poster)
        self.server = self._start(host, _free_port(host, port), label)

    @property
    def url(self) -> str:
        """The address to open, with the token if there is one."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::") else self._host
        host = f"[{host}]" if ":" in host else host
        query = f"/?token={self._token}" if self._token else "/"
        return f"http://{host}:{self.server.get_port()}{query}"

    def show(self, draw: Callable[[], bytes]) -> None:
        """Have the first picture drawn by ``draw`` from now on: a JPEG, or nothing."""
        self._draw = draw
        self._has_poster.set()

    def stop(self) -> None:
        """End the server."""
        self._has_poster.set()
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()

    def _poster(self) -> bytes:
        self._has_poster.wait()
        return self._draw()

    def _start(self, host: str, port: int, label: str) -> ViserServer:
        import viser

        # a picture that is ready when its visitor has just left is nothing to worry anybody with
        warnings.filterwarnings("ignore", message="Queued a .* on a closed connection")
        with self.guard.around_start(), contextlib.redirect_stdout(io.StringIO()):
            # viser prints its address without the token; ours is printed by whoever starts the viewer
            server = viser.ViserServer(host=host, port=port, label=label, verbose=False)
        server.gui.configure_theme(
            dark_mode=True, show_logo=False, show_share_button=False, control_width="small"
        )
        server.gui.main_panel.dock_right()
        # splats and frames are not lit: viser's environment map would only dim the canvas until it is loaded
        server.scene.configure_environment_map(hdri=None)
        server.scene.configure_default_lights(enabled=False)
        refuse_viser_uploads(server.gui)
        _refuse_tunnels(server)
        return server


def _free_port(host: str, port: int) -> int:
    """The first from this one on at which nobody listens; 0 stays 0. viser looks for one, too, and hangs at the end."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, MAX_PORT + 1) if port else ():
        with contextlib.suppress(OSError):
            socket.create_server((host, candidate), family=family).close()
            return candidate
    if port:
        raise InputError(f"no port from {port} on is free on {host}")
    return 0


def refuse_viser_uploads(gui) -> None:
    """viser buffers uploads of any size in memory, for any button; files come through ``Uploads`` instead."""
    from viser import _messages

    gui._websock_interface.unregister_handler(
        _messages.FileTransferStartUpload, gui._handle_file_transfer_start
    )


def _refuse_tunnels(server: ViserServer) -> None:
    """Any page may ask viser to open a public tunnel to this machine; ours may not."""
    from viser import _messages

    for message in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
        server._websock_server.unregister_handler(message)
