"""``cosmorama bench view``: what the viewer costs, as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class BenchView:
    """Measure the viewer on a random room: time to the first picture, memory, work per picture."""

    splats: int = 200_000
    """Size of the scene."""
    chromium: str = "/usr/bin/chromium"
    """Browser to open it with; left out if it is missing."""

    def run(self) -> None:
        """Measure and print one JSON object."""
        from ...viewer.benchmark import benchmark

        print(json.dumps(benchmark(self.splats, chromium=self.chromium), indent=1))
