"""The dialog that saves the scene as splats, a web page, a mesh or convex bodies for physics."""

from __future__ import annotations

import logging
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...reconstruct.errors import InputError
from ...reconstruct.files import SPLAT_SUFFIXES, write_splats
from ...reconstruct.scene import Scene
from ..html import write_html

if TYPE_CHECKING:
    from viser import GuiMarkdownHandle

    from ..session import Session

log = logging.getLogger(__name__)

SPLAT_NAMES = ("scene.html", *(f"scene{suffix}" for suffix in SPLAT_SUFFIXES))
MESH_NAMES = ("mesh.glb", "mesh.obj.zip", "mesh.ply", "mesh.stl", "mesh.usdz", "collider.glb")
_IN_A_ROW = 3
_STEPS = {"look": "looking at the scene from many sides", "fuse": "fusing", "paint": "painting the texture"}


def export_bytes(
    scene: Scene, name: str, on_progress: Callable[[str, int, int], object] | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """A scene as a file of this name, and notes on what the format could not hold.

    Args:
        scene: what to write.
        name: one of ``SPLAT_NAMES`` or ``MESH_NAMES``.
        on_progress: called as (step, done, total) while a mesh is made.

    Raises:
        InputError: the scene cannot be written like that.
    """
    with tempfile.TemporaryDirectory(prefix="cosmorama-") as folder:
        path = Path(folder) / name
        if name in MESH_NAMES:
            return _mesh_bytes(scene, path, on_progress)
        if path.suffix == ".html":
            notes = write_html(path, scene, title="Cosmorama")
        else:
            notes = write_splats(
                path, scene.gaussians, motion=scene.motion, up=scene.up, metres_per_unit=scene.metres_per_unit
            )
        return path.read_bytes(), notes


def open_dialog(session: Session) -> None:
    """Ask a visitor in which format they want the scene, and send it to them."""
    gui = session.client.gui
    with gui.add_modal("Export") as modal:
        gui.add_markdown(
            "The scene as you see it, with your edits. `.html` opens anywhere by a double click. "
            "A mesh takes about a minute."
        )
        groups = [
            gui.add_button_group(title if start == 0 else "", names[start : start + _IN_A_ROW])
            for title, names in (("Splats", SPLAT_NAMES), ("Mesh", MESH_NAMES))
            for start in range(0, len(names), _IN_A_ROW)
        ]
        text = gui.add_markdown("")
        close = gui.add_button("Close")
    busy = threading.Lock()
    for group in groups:
        group.on_click(lambda event: _export(session, event.target.value, text, busy))
    close.on_click(lambda _: modal.close())


def _export(session: Session, name: str, text: GuiMarkdownHandle, busy: threading.Lock) -> None:
    if not busy.acquire(blocking=False):
        return  # one at a time; the text says which

    def tell(step: str, done: int, total: int) -> None:
        text.content = f"Writing {name}: {_STEPS.get(step, step)}, {100 * done // max(total, 1)} % …"

    text.content = f"Writing {name} …"
    try:
        content, notes = export_bytes(session.scene, name, tell)
        session.client.send_file_download(name, content, save_immediately=True)
        text.content = "  \n".join([f"{name}: {len(content) / 1e6:.1f} MB", *notes])
    except InputError as error:
        text.content = str(error)
    except Exception:
        log.exception("export failed")
        text.content = "The export failed; the log says why."
    finally:
        busy.release()


def _mesh_bytes(
    scene: Scene, path: Path, on_progress: Callable[[str, int, int], object] | None
) -> tuple[bytes, tuple[str, ...]]:
    from ...reconstruct.mesh.export import MeshExporter, mesh_files

    exporter = MeshExporter(scene, on_progress=on_progress)
    if path.name.startswith("collider"):
        notes = exporter.write_collider(path)
    elif path.suffix != ".zip":
        notes = exporter.write(path)
    else:  # several files
        plain = path.with_suffix("")
        notes = exporter.write(plain)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in filter(Path.exists, mesh_files(plain)):
                archive.write(file, file.name)
    return path.read_bytes(), notes
