"""Walk through scenes in the browser. Knows scenes, knows nothing of diffusion.

show_scene      open a scene in the browser
LiveSession     a scene that grows while it is watched
write_html      one file that anyone can open by a double click
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import Viewer
    from .html import write_html
    from .live import LiveSession
    from .show import show_scene

__all__ = ["LiveSession", "Viewer", "show_scene", "write_html"]

_HOMES = {"LiveSession": "live", "Viewer": "app", "show_scene": "show", "write_html": "html"}


def __getattr__(name: str) -> object:
    """Import torch and viser only when one of the names is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
