"""``cosmorama bench view``: what the viewer costs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class BenchView:
    """Measure the viewer on a random room: time to the first picture, memory, work, and how true its picture is."""

    splats: int = 200_000
    """Size of the scene."""
    chromium: str = "/usr/bin/chromium"
    """Browser to open it with; what needs it is left out if it is missing."""
    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> None:
        """Measure and print."""
        from ...viewer.benchmark import benchmark

        view = (sys.executable, "-m", "cosmorama.pipeline.cli", "view")
        report = {
            name: round(value, 3)
            for name, value in benchmark(view, self.splats, chromium=self.chromium).items()
        }
        if self.json:
            print(json.dumps(report, indent=1))
            return
        for name, value in report.items():
            print(f"{name:<40} {value:>12,}", file=sys.stderr)
