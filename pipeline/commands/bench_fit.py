"""``cosmorama bench fit``: how well and how fast a capture is fitted."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Literal

from ..fit_options import FitOptions


@dataclass(frozen=True)
class BenchFit(FitOptions):
    """Fit a capture with every 8th photo held out and print one JSON object; nothing is written."""

    downscale: int = 4
    """By how much to shrink the photos."""
    start: Literal["auto", "cloud", "stereo"] = "stereo"
    """Where the first splats come from; stereo: a cold start, without a sparse cloud."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where to fit."""

    def run(self) -> None:
        """Measure."""
        from ..fit import fit_and_report
        from ..progress import Reporter

        _, report = fit_and_report(self, Reporter())
        json.dump(report, sys.stdout, indent=1)
        print(flush=True)
