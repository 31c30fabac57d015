"""Files that visitors drop in: bounded, written to disk as they come, opened for that visitor alone."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ..reconstruct.errors import InputError
from ..reconstruct.files import SPLAT_SUFFIXES, splat_suffix
from ..reconstruct.scene import load_scene

if TYPE_CHECKING:
    from .session import Session

log = logging.getLogger(__name__)

UPLOAD_PATH = "/cosmorama/upload"
MAX_UPLOAD = 1 << 30
"""Bytes of one file."""
MAX_SPLATS = 3_000_000
"""Of one file: 0.7 GB of memory. Packed formats hold many times more in ``MAX_UPLOAD``."""
_IDLE_SECONDS = 30


class Uploads:
    """The WebSocket channel for files: ``?session=KEY&name=NAME&size=BYTES``, then the bytes."""

    def __init__(
        self,
        session_by_key: Callable[[str], Session | None],
        max_bytes: int = MAX_UPLOAD,
        max_splats: int = MAX_SPLATS,
    ) -> None:
        """Receive files for the sessions that ``session_by_key`` knows."""
        self._max_splats = max_splats
        self._session_by_key = session_by_key
        self._max_bytes = max_bytes
        self._one_at_a_time = asyncio.Semaphore(1)

    async def receive(self, connection: ServerConnection) -> None:
        """Take one file, open it, answer ``{"ok": ...}`` or ``{"error": ...}``."""
        try:
            async with self._one_at_a_time:
                await self._receive(connection)
            answer = {"ok": True}
        except InputError as error:
            answer = {"error": str(error)}
        except ConnectionClosed:
            return
        except TimeoutError:
            answer = {"error": "the file did not arrive"}
        except Exception:
            log.exception("an upload failed")
            answer = {"error": "the file could not be opened"}
        await connection.send(json.dumps(answer))

    async def _receive(self, connection: ServerConnection) -> None:
        query = parse_qs(urlsplit(connection.request.path).query) if connection.request else {}
        session = self._session_by_key(query.get("session", [""])[0])
        if session is None:
            raise InputError("this page is no longer connected: reload it")
        name = Path(query.get("name", [""])[0].replace("\\", "/")).name
        suffix = splat_suffix(name)
        if suffix is None:
            raise InputError(f"{name[:80]}: not one of {', '.join(SPLAT_SUFFIXES)}")
        size = query.get("size", [""])[0]
        if not size.isdecimal() or not 0 < int(size) <= self._max_bytes:
            raise InputError(f"{name[:80]}: {size} bytes; at most {self._max_bytes >> 20} MiB can be opened")
        with tempfile.TemporaryDirectory(prefix="cosmorama-") as folder:
            path = Path(folder) / f"upload{suffix}"
            await _write(connection, path, int(size))
            try:
                scene = await asyncio.to_thread(load_scene, path, max_splats=self._max_splats)
            except InputError as error:
                raise InputError(str(error).replace(str(path), name[:80])) from None
        session.open(scene, name)
        session.page.tell(name=name)


async def _write(connection: ServerConnection, path: Path, size: int) -> None:
    received = 0
    with path.open("wb") as file:
        while received < size:
            part = await asyncio.wait_for(connection.recv(), _IDLE_SECONDS)
            data = part if isinstance(part, bytes) else part.encode()
            received += len(data)
            if received > size:
                raise InputError("more bytes than were announced")
            file.write(data)
