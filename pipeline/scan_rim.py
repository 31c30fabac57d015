"""The dark rim that slide scanners leave around photos, a few pixels wide.

Left in, it stays in the scene as a black wire where the photo ended, and everything beyond is continued from black.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

WIDEST_PX, WIDEST = 8, 0.012
"""No rim is wider, in pixels or in lengths of the side across it."""
DARK, DARKER = 0.6, 0.9
"""A side has a rim if its outermost line is at most ``DARK`` times as bright as the lines further in, and the rim ends
where lines are more than ``DARKER`` times as bright."""
EVEN = 0.8
"""And it is no rim where brightness goes on rising that much further in: that is how light falls."""


def without_rim(rgb: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """The photo with the lines of a dark rim replaced by the first line inside it; the same array if there is none."""
    for side in range(4):
        turned = np.rot90(rgb, side)
        width = _rim_width(turned)
        if width:
            turned = turned.copy()
            turned[:width] = turned[width]
            rgb = np.rot90(turned, -side)
    return np.ascontiguousarray(rgb)


def _rim_width(rgb: Float[np.ndarray, "h w 3"]) -> int:
    """Lines at the top that belong to a rim."""
    widest = min(WIDEST_PX, round(WIDEST * len(rgb)))
    brightness = rgb[: 2 * widest + 1].mean(-1)
    inside, further = brightness[widest] + 1e-3, brightness[-1] + 1e-3
    ratios = np.median(brightness[:widest] / inside, axis=1)
    if not widest or ratios[0] > DARK or np.median(inside / further) < EVEN:
        return 0
    bright = np.nonzero(ratios > DARKER)[0]
    return int(bright[0]) if len(bright) else widest
