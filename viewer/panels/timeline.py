"""The timeline of a scene that moves; invisible for one that does not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..session import Session

_SPEEDS = {"¼×": 0.25, "½×": 0.5, "1×": 1.0, "2×": 2.0}
_SLIDER_SECONDS = 0.1


def build(session: Session) -> None:
    """Play, pause, speed and scrub."""
    gui, playback = session.client.gui, session.playback
    moves = session.scene.motion is not None
    folder = gui.add_folder("Time", visible=moves)
    with folder:
        play = gui.add_button("Play (P)")
        scrub = gui.add_slider("Time", min=0.0, max=1.0, step=0.001, initial_value=0.0)
        speed = gui.add_dropdown("Speed", tuple(_SPEEDS), initial_value="1×")
    shown_at = [0.0]

    def set_playing(playing: bool) -> None:
        if playing:
            playback.play()
        else:
            playback.pause()
        play.label = "Pause (P)" if playback.playing else "Play (P)"

    def follow(value: float) -> None:
        if time.monotonic() - shown_at[0] > _SLIDER_SECONDS:
            shown_at[0] = time.monotonic()
            scrub.value = round(value, 3)

    def scrubbed(by_visitor: bool) -> None:
        if by_visitor:
            set_playing(False)
            session.set_time(float(scrub.value))

    def changed() -> None:
        folder.visible = session.scene.motion is not None
        play.label = "Pause (P)" if playback.playing else "Play (P)"

    def set_speed(name: str) -> None:
        playback.speed = _SPEEDS[name]

    play.on_click(lambda _: set_playing(not playback.playing))
    scrub.on_update(lambda event: scrubbed(event.client is not None))
    speed.on_update(lambda _: set_speed(speed.value))
    playback.on_time = follow
    session.on_change.append(changed)
    gui.add_command("Play or pause", hotkey="P").on_trigger(lambda _: set_playing(not playback.playing))
