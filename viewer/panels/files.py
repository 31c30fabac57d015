"""Opening, saving as another file, screenshots."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from ...reconstruct.files import SPLAT_SUFFIXES
from ..render import render_rgb8
from .export import open_dialog

if TYPE_CHECKING:
    from ..session import Session

_OPEN = (
    '<label style="font: 13px system-ui; display: block; padding: 4px 8px">Open a splat file (or drop it anywhere)'
    '<input id="cosmorama-open" type="file" accept="{accept}" style="width: 100%; margin-top: 4px"></label>'
)


def build(session: Session) -> None:
    """The file picker, the export dialog and the screenshot."""
    gui = session.client.gui
    gui.add_html(_OPEN.format(accept=",".join("." + s.rsplit(".", 1)[-1] for s in SPLAT_SUFFIXES)))
    export = gui.add_button("Export …")
    export.on_click(lambda _: open_dialog(session))
    gui.add_button("Screenshot (C)").on_click(lambda _: _screenshot(session))
    gui.add_command("Screenshot", hotkey="C").on_trigger(lambda _: _screenshot(session))
    gui.add_command("Export").on_trigger(lambda _: open_dialog(session))


def _screenshot(session: Session) -> None:
    pixels = render_rgb8(
        session.gaussians, session.painter.camera(), session.stage.near, session.painter.backdrop
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    session.client.send_file_download("cosmorama.png", buffer.getvalue(), save_immediately=True)
