"""The viewer's GUI, one panel a file; each has ``build(session)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..session import Session


def build_panels(session: Session) -> None:
    """All panels for a visitor."""
    from . import edit, files, film, timeline, walk

    timeline.build(session)
    tabs = session.client.gui.add_tab_group()
    for label, panel in {"Walk": walk, "Edit": edit, "Film": film, "Files": files}.items():
        with tabs.add_tab(label):
            panel.build(session)
