"""``cosmorama bench make``: how long the main job takes, what it needs, how well it shows the photo, what gapes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class BenchMake:
    """Run the main job in a fresh process per preset and print one JSON object."""

    photo: Path | None = None
    """Default: the demo photo."""
    presets: tuple[Literal["draft", "standard", "fine"], ...] = ("draft", "standard")
    repeats: int = 1
    """Runs per preset; the median by total time is reported."""

    def run(self) -> None:
        """Measure."""
        from ..benchmark import bench_make

        json.dump(bench_make(self.photo, self.presets, self.repeats), sys.stdout, indent=1)
        print(flush=True)
