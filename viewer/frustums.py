"""The known cameras as frustums with thumbnails; a click flies there."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..reconstruct.cameras import Cameras
from ..reconstruct.gaussians import wxyz_from_rotation
from ..reconstruct.transforms_json import PosedImage

if TYPE_CHECKING:
    from .session import Session

log = logging.getLogger(__name__)

THUMBNAIL_PX = 128
MAX_FRUSTUMS = 120
"""More cameras than that are thinned out."""
_SIZE = 0.06
"""Of a frustum, in units of the distance from the first camera to what it looks at."""
_GIVEN, _GENERATED, _PATH = (255, 196, 60), (90, 170, 255), (150, 150, 150)
LINES: dict[str, Any] = {"thickness": 2.0, "thickness_units": "screen"}
"""Lines are two pixels wide from near and far."""


class Frustums:
    """The frustums that one visitor sees, once they ask for them; the ones that they stand in stay hidden.

    Views generated from a photo lie close around it, where their pictures would block the first look at the scene.
    """

    def __init__(self, session: Session) -> None:
        """No frustums yet."""
        self._session = session
        self._handles: list[Any] = []
        self._positions = np.zeros((0, 3))
        self._path: Any = None
        self._visible = False

    def show(self, views: list[PosedImage]) -> None:
        """Replace the frustums by those of other views."""
        for handle in [*self._handles, *([self._path] if self._path else [])]:
            handle.remove()
        self._handles, self._path, self._positions = [], None, np.zeros((0, 3))
        step = -(-len(views) // MAX_FRUSTUMS) if views else 1
        for view in views[::step]:
            self.add(view)
        if len(views) > 1:
            points = np.stack([v.world_from_cam[:3, 3].numpy() for v in views]) * self._session.stage.scale
            segments = np.stack([points[:-1], points[1:]], axis=1)
            self._path = self._session.client.scene.add_line_segments(
                "/views/path", segments, colors=_PATH, visible=self._visible, **LINES
            )

    def add(self, view: PosedImage) -> None:
        """One more frustum."""
        stage = self._session.stage
        camera = Cameras(view.world_from_cam[None], view.intrinsics[None], view.width, view.height)
        position = view.world_from_cam[:3, 3].numpy() * stage.scale
        handle = self._session.client.scene.add_camera_frustum(
            f"/views/{len(self._handles)}",
            fov=2 * float(np.arctan(view.height / (2 * float(view.intrinsics[1, 1])))),
            aspect=view.width / view.height,
            scale=_SIZE * stage.pivot_distance * stage.scale,
            color=_GENERATED if view.generated else _GIVEN,
            image=thumbnail(view.image),
            format="jpeg",
            wxyz=wxyz_from_rotation(view.world_from_cam[:3, :3]).numpy(),
            position=position,
            visible=False,
            **LINES,
        )
        handle.on_click(lambda _: self._session.fly_to(camera))
        self._handles.append(handle)
        self._positions = np.concatenate([self._positions, position[None]])
        self.update()

    def set_visible(self, visible: bool) -> None:
        """Show or hide all."""
        self._visible = visible
        if self._path is not None:
            self._path.visible = visible
        self.update()

    def update(self) -> None:
        """Hide what the visitor's camera stands in."""
        stage = self._session.stage
        eye = self._session.client.camera.position
        near = np.linalg.norm(self._positions - eye, axis=-1) < 3 * _SIZE * stage.pivot_distance * stage.scale
        for handle, inside in zip(self._handles, near.tolist()):
            visible = self._visible and not inside
            if handle.visible != visible:
                handle.visible = visible


def thumbnail(path: Path | None) -> np.ndarray | None:
    """A small picture, uint8 RGB; None where there is none or it cannot be read."""
    return None if path is None else _thumbnail(path)


@lru_cache(maxsize=512)
def _thumbnail(path: Path) -> np.ndarray | None:
    try:
        with Image.open(path) as image:
            image.draft("RGB", (THUMBNAIL_PX, THUMBNAIL_PX))
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
            return np.asarray(small)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        log.warning("%s cannot be shown: %s", path, error)
        return None
