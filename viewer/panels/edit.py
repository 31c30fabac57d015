"""Cleaning a scene and setting its axes; every change can be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...reconstruct.gaussians import Gaussians, rotation_from_wxyz
from ...reconstruct.scene import Scene
from ..editing import (
    faint,
    floor_direction,
    inside_box,
    isolated,
    keep_splats,
    oversized,
    typical_spacing,
    with_origin,
    with_up,
)
from ..picking import looked_at

if TYPE_CHECKING:
    from ..session import Session


def build(session: Session) -> None:
    """Undo, floaters, crop box, up and origin."""
    gui = session.client.gui
    undo, redo = gui.add_button("Undo (Ctrl+Z)"), gui.add_button("Redo")
    undo.on_click(lambda _: session.undo())
    redo.on_click(lambda _: session.redo())
    gui.add_command("Undo", hotkey="Z", modifier="cmd/ctrl").on_trigger(lambda _: session.undo())
    gui.add_command("Redo", hotkey="Y", modifier="cmd/ctrl").on_trigger(lambda _: session.redo())

    def changed() -> None:
        undo.disabled, redo.disabled = not session.history.can_undo, not session.history.can_redo

    changed()
    session.on_change.append(changed)
    with gui.add_folder("Floaters"):
        _floaters(session)
    with gui.add_folder("Crop box", expand_by_default=False):
        _crop(session)
    with gui.add_folder("Up and origin", expand_by_default=False):
        _axes(session)


def _delete(session: Session, doomed: Callable[[Gaussians], torch.Tensor]) -> None:
    """Remove the splats of the mask that ``doomed`` gives, unless it is none or all of them."""

    def without(scene: Scene) -> Scene:
        mask = doomed(scene.gaussians)
        count, total = int(mask.sum()), len(mask)
        if 0 < count < total:
            text = f"{count:,} of {total:,} splats deleted"
        else:
            text = "No splat is like that" if count == 0 else "That would delete everything"
        session.client.add_notification("Edit", text, auto_close_seconds=4)
        return keep_splats(scene, ~mask) if 0 < count < total else scene

    session.edit(without)


def _floaters(session: Session) -> None:
    gui = session.client.gui
    opacity = gui.add_slider("Opacity below", min=0.0, max=1.0, step=0.01, initial_value=0.05)
    gui.add_button("Delete faint").on_click(
        lambda _: _delete(session, lambda splats: faint(splats, opacity.value))
    )
    size = gui.add_slider(
        "Size above", min=0.1, max=20.0, step=0.1, initial_value=5.0, hint="Per cent of the view"
    )
    gui.add_button("Delete large").on_click(
        lambda _: _delete(
            session, lambda splats: oversized(splats, size.value / 100 * session.stage.pivot_distance)
        )
    )
    neighbours = gui.add_slider("Neighbours under", min=1, max=50, step=1, initial_value=8)
    gui.add_button("Delete isolated").on_click(
        lambda _: _delete(
            session,
            lambda splats: isolated(splats.means, typical_spacing(splats), int(neighbours.value)),
        )
    )


def _crop(session: Session) -> None:
    gui, scene = session.client.gui, session.client.scene
    show = gui.add_checkbox("Show the box", False)
    side = round(session.stage.pivot_distance * session.stage.scale, 2)
    size = gui.add_vector3(
        "Size", (side, side, side), min=(0.001, 0.001, 0.001), step=0.05, hint="Metres, if the scale is known"
    )
    nodes: dict[str, Any] = {}

    def update() -> None:
        for node in nodes.values():
            node.remove()
        nodes.clear()
        if show.value:
            home = session.stage.home
            reach = session.stage.pivot_distance * session.stage.scale
            centre = home.positions[0].numpy() * session.stage.scale + reach * home.forward[0].numpy()
            nodes["box"] = scene.add_box(
                "/crop/box", dimensions=np.asarray(size.value), color=(255, 196, 60), wireframe=True
            )
            nodes["crop"] = scene.add_transform_controls("/crop", scale=0.3 * reach, position=centre)

    def resize() -> None:
        if "box" in nodes:
            nodes["box"].dimensions = np.asarray(size.value)

    def crop(keep_inside: bool) -> None:
        control = nodes.get("crop")
        if control is None:
            show.value = True
            text = "This is the box. Move it and set its size, then press again."
            session.client.add_notification("Crop box", text, auto_close_seconds=6)
            return
        pose = torch.eye(4)
        pose[:3, :3] = rotation_from_wxyz(torch.tensor(np.asarray(control.wxyz), dtype=torch.float32))
        pose[:3, 3] = torch.tensor(np.asarray(control.position) / session.stage.scale, dtype=torch.float32)
        sides = torch.tensor(size.value, dtype=torch.float32) / session.stage.scale
        _delete(session, lambda splats: inside_box(splats.means, pose, sides) ^ keep_inside)

    show.on_update(lambda _: update())
    size.on_update(lambda _: resize())
    gui.add_button("Keep what is inside").on_click(lambda _: crop(True))
    gui.add_button("Delete what is inside").on_click(lambda _: crop(False))


def _axes(session: Session) -> None:
    gui = session.client.gui

    def set_up(choose: Callable[[Scene], torch.Tensor]) -> None:
        session.edit(lambda scene: with_up(scene, choose(scene)))

    def my_up(_: Scene) -> torch.Tensor:
        return -session.painter.camera().world_from_cam[0, :3, 1]

    def floor(scene: Scene) -> torch.Tensor:
        return floor_direction(
            scene.gaussians.means,
            scene.up,
            tolerance=0.01 * session.stage.pivot_distance,
            generator=torch.Generator().manual_seed(0),
        )

    gui.add_button("Up is up in my view").on_click(lambda _: set_up(my_up))
    gui.add_button("Up is across the floor").on_click(lambda _: set_up(floor))
    gui.add_button("Turn it upside down").on_click(lambda _: set_up(lambda scene: -scene.up))

    def origin_here() -> None:
        point = looked_at(session.gaussians, session.painter.camera(), near=session.stage.near)
        if point is None:
            session.client.add_notification(
                "Origin", "Nothing is in the middle of the view", auto_close_seconds=4
            )
        else:
            session.edit(lambda scene: with_origin(scene, point))

    gui.add_button("Origin in the middle of my view").on_click(lambda _: origin_here())
