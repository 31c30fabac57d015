"""Walking: back to the photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..session import Session


def build(session: Session) -> None:
    """Buttons and keys."""
    gui = session.client.gui
    gui.add_button("Back to the photo").on_click(lambda _: session.go_home())
    gui.add_command("Back to the photo", hotkey="H").on_trigger(lambda _: session.go_home())
