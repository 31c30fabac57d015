"""Time for one visitor: play, pause, speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .session import Session

FRAMES_PER_SECOND = 30.0


class Playback:
    """Runs a session's time in a thread of its own while it plays."""

    def __init__(self, session: Session) -> None:
        """Paused at the session's time."""
        self._session = session
        self._thread: threading.Thread | None = None
        self._playing = threading.Event()
        self.speed = 1.0
        self.on_time: Callable[[float], None] | None = None
        """Called with the time after each step."""

    @property
    def playing(self) -> bool:
        """Whether time runs."""
        return self._playing.is_set()

    def play(self) -> None:
        """Let time run, round and round."""
        if self._session.scene.motion is None or self.playing:
            return
        self._playing.set()
        self._thread = threading.Thread(target=self._run, name="playback", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Stop time where it is."""
        self._playing.clear()

    def _run(self) -> None:
        me, before = self._thread, time.monotonic()
        while self.playing and me is self._thread:
            motion = self._session.scene.motion
            if motion is None:
                self.pause()
                return
            now = time.monotonic()
            step = (now - before) * self.speed / max(motion.seconds, 0.1)
            before = now
            self._session.set_time((self._session.time + step) % 1.0)
            if self.on_time is not None:
                self.on_time(self._session.time)
            time.sleep(max(0.001, 1 / FRAMES_PER_SECOND - (time.monotonic() - now)))
