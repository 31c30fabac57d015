"""Opening a scene in the browser, in the order that shows something soonest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..reconstruct.errors import InputError
from .glance import glance
from .listener import Listener

if TYPE_CHECKING:
    from ..reconstruct.scene import Scene
    from .app import Viewer

log = logging.getLogger(__name__)


def show_scene(
    scene: Scene | Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    block: bool = True,
    open_browser: bool = False,
    announce: Callable[[str], None] | None = None,
) -> Viewer:
    """Open a scene in the browser.

    The first picture of a plain .ply, alone or in a scene folder, is drawn and served before torch is imported.

    Args:
        scene: a scene, a scene folder or a splat file.
        host: address to bind to; anything but this machine needs a token.
        port: the next free one is taken if it is in use; 0 for any.
        token: secret in the address that visitors open.
        block: return only after Ctrl+C.
        open_browser: open the address in the default browser.
        announce: told the address as soon as a page can be opened there.

    Returns:
        The running viewer (stopped if ``block``).

    Raises:
        InputError: the scene cannot be read, a port that there cannot be, or a public address without a token.
    """
    path = Path(scene) if isinstance(scene, Path | str) else None
    if path is not None and not path.exists():
        raise InputError(f"{path}: no such file or folder")
    looked = glance(path) if path is not None else None
    listener = Listener(host=host, port=port, token=token)

    def tell() -> None:
        log.info("viewer at %s", listener.url)
        if announce is not None:
            announce(listener.url)
        if open_browser:
            import webbrowser

            webbrowser.open(listener.url)

    try:
        if looked is not None:
            tell()
        viewer = _view(scene, looked.poster() if looked is not None else b"", listener)
        if looked is None:  # there was nothing to see before, and nobody knew whether there would be
            tell()
    except BaseException:
        listener.stop()
        raise
    if block:
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            viewer.stop()
    return viewer


def _view(scene: Scene | Path | str, poster: bytes, listener: Listener) -> Viewer:
    if poster:
        listener.show(lambda: poster)
    from ..reconstruct.scene import load_scene
    from .app import Viewer

    loaded = load_scene(scene) if isinstance(scene, Path | str) else scene
    return Viewer(loaded, listener=listener, poster=poster)
