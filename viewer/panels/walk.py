"""Walking: home, speed, ways to look, the ground, the known cameras, and how the scene is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..session import Session

_LOOKS = {"Around me": "walk", "At the scene from outside": "orbit"}
_MODES = {"Choose for me": "auto", "Splats in the browser": "splats", "Frames from here": "frames"}


def build(session: Session) -> None:
    """Controls and keys."""
    gui = session.client.gui
    gui.add_button("Back to the photo (H)").on_click(lambda _: session.go_home())
    speed = gui.add_slider(
        "Speed", min=0.1, max=10.0, step=0.1, initial_value=1.0, hint="Shift is three times"
    )
    look = gui.add_dropdown("Look", tuple(_LOOKS), hint="What dragging does")
    stand = gui.add_checkbox("Stay on the ground", True, hint="Your eyes keep their height above the floor")
    cameras = gui.add_checkbox("Show cameras", False, hint="Click one to fly there")
    drawn = gui.add_dropdown("Drawn as", tuple(_MODES))
    text = gui.add_markdown(session.mode_text)
    gui.add_markdown("**?** shows all keys · **Ctrl+K** all commands")

    def say_mode() -> None:
        text.content = session.mode_text

    def other_look() -> None:
        look.value = next(name for name in _LOOKS if name != look.value)

    speed.on_update(lambda _: session.page.tell(speed=float(speed.value)))
    look.on_update(lambda _: session.page.tell(look=_LOOKS[look.value]))
    stand.on_update(lambda _: session.page.tell(stand=stand.value))
    cameras.on_update(lambda _: session.frustums.set_visible(cameras.value))
    drawn.on_update(lambda _: session.want_mode(_MODES[drawn.value]))
    session.on_change.append(say_mode)

    def toggle_stand() -> None:
        stand.value = not stand.value

    gui.add_command("Back to the photo", hotkey="H").on_trigger(lambda _: session.go_home())
    gui.add_command("Walk or orbit", hotkey="O").on_trigger(lambda _: other_look())
    gui.add_command("Stay on the ground", hotkey="G").on_trigger(lambda _: toggle_stand())
