"""Which way of showing a scene is better here: splats drawn by the browser, or frames rendered by us."""

from __future__ import annotations

from dataclasses import dataclass

SPLATS, FRAMES = "splats", "frames"
SMOOTH_MS = 60.0
"""A browser that draws a picture in this time is left alone: its own camera never lags."""
_BETTER = 1.5
"""How much faster frames must be before they are worth the lag and the JPEG."""
_MS_PER_RENDERED_SPLAT = 1e-3
_SOFTWARE = ("swiftshader", "llvmpipe", "software", "basic render", "none")


def choose_mode(
    splats: int,
    *,
    software_gl: bool,
    browser_ms: float | None = None,
    render_ms: float | None = None,
) -> str:
    """``SPLATS`` or ``FRAMES``.

    Args:
        splats: in the scene.
        software_gl: the browser has no GPU.
        browser_ms: measured time of one picture in the browser while it drew these splats.
        render_ms: measured time of one picture by our rasterizer.
    """
    if browser_ms is None:
        browser_ms = expected_browser_ms(splats, software_gl)
    if render_ms is None:
        render_ms = 10 + splats * _MS_PER_RENDERED_SPLAT
    return FRAMES if browser_ms > SMOOTH_MS and browser_ms > _BETTER * render_ms else SPLATS


def expected_browser_ms(splats: int, software_gl: bool) -> float:
    """Rough time of a picture before anything is measured.

    viser in software GL takes 125 ms for 50,000 splats and 5 s for 200,000; a GPU draws a million in a few
    tens of ms.
    """
    if not software_gl:
        return splats * 2e-5
    return 2.5e-3 * splats * max(1.0, splats / 50_000) ** 1.7


def is_software(renderer: str) -> bool:
    """Whether the name of a WebGL renderer is that of one without a GPU."""
    return any(word in renderer.lower() for word in _SOFTWARE)


@dataclass
class ModePicker:
    """What is known of one browser, and the choice that follows from it."""

    wanted: str = "auto"
    """``auto``, or the mode that the visitor asks for."""
    software_gl: bool = True
    """Until the browser says otherwise: splats that it cannot draw would freeze it."""
    browser_ms: float | None = None
    render_ms: float | None = None
    _measured_for: int = 0
    _rendered_before: bool = False

    def drew(self, milliseconds: float, splats: int) -> None:
        """The browser has drawn this many splats in this time."""
        near = self._measured_for and 0.5 < splats / self._measured_for < 2 and self.browser_ms
        self.browser_ms = 0.5 * (self.browser_ms or 0) + 0.5 * milliseconds if near else milliseconds
        self._measured_for = splats

    def rendered(self, milliseconds: float) -> None:
        """We have rendered a picture in this time; the first one, which may compile, does not count."""
        if not self._rendered_before:
            self._rendered_before = True
            return
        self.render_ms = milliseconds if self.render_ms is None else 0.7 * self.render_ms + 0.3 * milliseconds

    def mode(self, splats: int) -> str:
        """The mode for a scene of this size."""
        if self.wanted != "auto":
            return self.wanted
        known = bool(self._measured_for) and 0.5 < splats / self._measured_for < 2
        return choose_mode(
            splats,
            software_gl=self.software_gl,
            browser_ms=self.browser_ms if known else None,
            render_ms=self.render_ms,
        )


def describe(mode: str, splats: int, sh_degree: int) -> str:
    """One line for people."""
    if not splats:
        return "No splats yet"
    if mode == FRAMES:
        return f"Frames rendered here and streamed · {splats:,} splats"
    colour = "recoloured as you move" if sh_degree else "the same colour from all sides"
    return f"Splats drawn by your browser, {colour} · {splats:,} splats"
