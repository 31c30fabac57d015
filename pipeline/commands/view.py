"""``cosmorama view``: walk in a scene."""

from __future__ import annotations

import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class View:
    """Walk in a scene in the browser: on this machine only, unless told otherwise."""

    scene: Annotated[Path, tyro.conf.Positional]
    """A scene folder or a splat file."""
    port: int = 8080
    """The next free one is taken if it is in use; 0 for any."""
    public: bool = False
    """Let other machines in. They need the token."""
    token: str | None = None
    """Secret in the address that visitors open; with --public a random one is made if none is given."""
    open: bool = True
    """Open the browser."""

    def run(self) -> None:
        """Serve until Ctrl+C."""
        from ...reconstruct.errors import InputError
        from ...viewer import show_scene

        if self.token is not None and (len(self.token) < 12 or not self.token.isalnum()):
            raise InputError("--token must be at least 12 letters and digits")
        token = self.token or (secrets.token_hex(16) if self.public else None)
        host = "0.0.0.0" if self.public else "127.0.0.1"
        show_scene(
            self.scene,
            host=host,
            port=self.port,
            token=token,
            open_browser=self.open,
            announce=self._announce,
        )

    def _announce(self, url: str) -> None:
        print(f"Walk in it at {url}", file=sys.stderr)
        if self.public:
            print(f"From other machines: {url.replace('127.0.0.1', socket.gethostname())}", file=sys.stderr)
        print("Ctrl+C ends the viewer.", file=sys.stderr, flush=True)
