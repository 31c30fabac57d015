"""``cosmorama bench fit``: how well and how fast a capture is fitted."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class BenchFit:
    """Fit a capture with every 8th photo held out and print one JSON object; nothing is written."""

    capture: Annotated[Path, tyro.conf.Positional]
    """Folder of the capture, or its transforms.json."""
    downscale: int = 4
    """By how much to shrink the photos."""
    iterations: int = 3000
    """Steps; each shows one photo."""
    splats: int = 40_000
    """How many there may be in the end."""
    growth: Literal["gradient", "mcmc", "none"] = "gradient"
    """How splats are added."""
    start: Literal["auto", "cloud", "stereo"] = "stereo"
    """Where the first splats come from; stereo: a cold start, without a sparse cloud."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where to fit."""
    seed: int = 0
    """Decides everything that is random."""

    def run(self) -> None:
        """Measure."""
        from ..fit import fit_and_report
        from ..fit_options import FitOptions
        from ..progress import Reporter

        options = FitOptions(
            self.capture, downscale=self.downscale, iterations=self.iterations, splats=self.splats,
            growth=self.growth, start=self.start, device=self.device, seed=self.seed,
        )  # fmt: skip
        _, report = fit_and_report(options, Reporter())
        json.dump(report, sys.stdout, indent=1)
        print(flush=True)
