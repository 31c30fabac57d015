"""The viewer's GUI, one panel a file; each has ``build(session)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..session import Session


def build_panels(session: Session) -> None:
    """All panels for a visitor."""
    from . import walk

    for panel in (walk,):
        panel.build(session)
