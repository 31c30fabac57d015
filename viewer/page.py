"""What the script in the page is told, and what it tells: see ``static/walk.js``."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ..reconstruct.cameras import Cameras
from ..reconstruct.files import SPLAT_SUFFIXES
from ..reconstruct.scene import Scene
from .ground import Ground, draw_map, estimate_ground
from .stage import Stage

if TYPE_CHECKING:
    from .session import Session

log = logging.getLogger(__name__)

PAGE_PATH = "/cosmorama/page"
_MAX_REPORT = 4096
_MAX_NAME = 80


class PageLink:
    """One visitor's settings, kept in an invisible element of their page."""

    def __init__(self, session: Session) -> None:
        """Put the element in the page."""
        self._config: dict[str, Any] = {
            "session": session.key, "speed": 1.0, "look": "walk", "stand": True,
            "opens": SPLAT_SUFFIXES, "name": scene_name(session.scene),
        }  # fmt: skip
        self._element = session.client.gui.add_html(self._html())

    def tell(self, **settings: Any) -> None:
        """Change settings; the page follows within a frame."""
        self._config |= settings
        self._element.content = self._html()

    def _html(self) -> str:
        return (
            f'<div id="cosmorama-config" hidden data-config="{html.escape(json.dumps(self._config))}"></div>'
        )


def scene_name(scene: Scene) -> str:
    """What a scene was made from, for the browser's tab: the photo's name or the sentence; empty if unknown."""
    source = scene.info.get("source")
    if not isinstance(source, dict):
        return ""
    files = source.get("files")
    file = source.get("file") or (files[0] if isinstance(files, list) and files else "")
    return (Path(str(file)).stem or str(source.get("text") or ""))[:_MAX_NAME]


def ground_settings(session: Session) -> dict[str, Any]:
    """Walking speed, ground and map of a scene for the page, in display units."""
    stage, gaussians = session.stage, session.gaussians
    settings: dict[str, Any] = {
        "up": stage.up.tolist(), "pivot": stage.pivot_distance * stage.scale,
        "stride": stage.walking_speed * stage.scale, "ground": None, "map": None,
    }  # fmt: skip
    eye = stage.home.positions[0]
    ground = estimate_ground(gaussians, stage.up, eye, stage.home.forward[0]) if len(gaussians) else None
    if ground is None:
        return settings
    camera, picture = draw_map(gaussians, ground, eye)
    return settings | {
        "ground": _grid(ground, stage),
        "map": {
            "picture": _data_url(picture),
            "pixels": _projection(camera, stage),
            "arm": 0.12 * ground.size * stage.scale,
        },
    }


def _projection(camera: Cameras, stage: Stage) -> list[list[float]]:
    """[3, 4]: display coordinates to homogeneous pixels of a camera (a batch of one)."""
    cam_from_world = camera.cam_from_world[0, :3].clone()
    cam_from_world[:, :3] /= stage.scale
    return (camera.intrinsics[0] @ cam_from_world).tolist()


def _grid(ground: Ground, stage: Stage) -> dict[str, Any]:
    return {
        "origin": (ground.origin * stage.scale).tolist(),
        "axes": ground.axes.tolist(),
        "size": ground.size * stage.scale,
        "cells": len(ground.heights),
        "heights": np.round((ground.heights * stage.scale).flatten().numpy().astype(float), 4).tolist(),
    }


def _data_url(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


class PageReports:
    """The WebSocket channel on which pages say what draws them and how fast."""

    def __init__(self, session_by_key: Callable[[str], Session | None]) -> None:
        """Listen for the pages of the sessions that ``session_by_key`` knows."""
        self._session_by_key = session_by_key

    async def receive(self, connection: ServerConnection) -> None:
        """Hand every report to its session; a page that sends anything else is cut off."""
        query = parse_qs(urlsplit(connection.request.path).query) if connection.request else {}
        session = self._session_by_key(query.get("session", [""])[0])
        if session is None:
            return
        try:
            async for message in connection:
                if len(message) > _MAX_REPORT:
                    return
                report = json.loads(message)
                if "renderer" in report:
                    session.browser_is(str(report["renderer"])[:200])
                if "frame_ms" in report:
                    session.browser_drew(float(report["frame_ms"]))
        except (ConnectionClosed, ValueError, TypeError):
            return
