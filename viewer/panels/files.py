"""Opening, exporting, screenshots."""

from __future__ import annotations

import io
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ...reconstruct.errors import InputError
from ...reconstruct.files import SPLAT_SUFFIXES, write_splats
from ...reconstruct.scene import Scene
from ..html import write_html
from ..render import render_rgb8

if TYPE_CHECKING:
    from ..session import Session

log = logging.getLogger(__name__)

EXPORT_SUFFIXES = (".html", *SPLAT_SUFFIXES)
_OPEN = (
    '<label style="font: 13px system-ui; display: block; padding: 4px 8px">Open a splat file (or drop it anywhere)'
    '<input id="cosmorama-open" type="file" accept="{accept}" style="width: 100%; margin-top: 4px"></label>'
)


def build(session: Session) -> None:
    """The file picker, the export dialog and the screenshot."""
    gui = session.client.gui
    gui.add_html(_OPEN.format(accept=",".join("." + s.rsplit(".", 1)[-1] for s in SPLAT_SUFFIXES)))
    export = gui.add_button("Export …")
    export.on_click(lambda _: _dialog(session))
    gui.add_button("Screenshot (C)").on_click(lambda _: _screenshot(session))
    gui.add_command("Screenshot", hotkey="C").on_trigger(lambda _: _screenshot(session))
    gui.add_command("Export").on_trigger(lambda _: _dialog(session))


def export_bytes(scene: Scene, suffix: str) -> tuple[bytes, tuple[str, ...]]:
    """A scene in the format of a suffix, and notes on what the format could not hold.

    Raises:
        InputError: the scene cannot be written like that.
    """
    with tempfile.TemporaryDirectory(prefix="cosmorama-") as folder:
        path = Path(folder) / f"scene{suffix}"
        if suffix == ".html":
            notes = write_html(path, scene, title="Cosmorama")
        else:
            notes = write_splats(
                path, scene.gaussians, motion=scene.motion, up=scene.up, metres_per_unit=scene.metres_per_unit
            )
        return path.read_bytes(), notes


def _dialog(session: Session) -> None:
    gui = session.client.gui
    with gui.add_modal("Export") as modal:
        gui.add_markdown(
            "The scene as you see it, with your edits. `.html` opens anywhere by a double click."
        )
        groups = [
            gui.add_button_group("Save as" if start == 0 else "", EXPORT_SUFFIXES[start : start + 3])
            for start in range(0, len(EXPORT_SUFFIXES), 3)
        ]
        text = gui.add_markdown("")
        close = gui.add_button("Close")

    def export(suffix: str) -> None:
        text.content = f"Writing scene{suffix} …"
        try:
            content, notes = export_bytes(session.scene, suffix)
            session.client.send_file_download(f"scene{suffix}", content, save_immediately=True)
            text.content = "  \n".join([f"scene{suffix}: {len(content) / 1e6:.1f} MB", *notes])
        except InputError as error:
            text.content = str(error)
        except Exception:
            log.exception("export failed")
            text.content = "The export failed; the log says why."

    for group in groups:
        group.on_click(lambda event: export(event.target.value))
    close.on_click(lambda _: modal.close())


def _screenshot(session: Session) -> None:
    pixels = render_rgb8(
        session.gaussians, session.painter.camera(), session.stage.near, session.painter.backdrop
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    session.client.send_file_download("cosmorama.png", buffer.getvalue(), save_immediately=True)
