"""``cosmorama bench rasterize``: how fast splats are rendered and differentiated on this CPU, as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class BenchRasterize:
    """Measure the CPU rasterizer on random scenes; one JSON object on stdout."""

    threads: int = 2
    """Threads to use."""
    repeats: int = 15
    """Of every measurement; the fastest counts."""
    scaling: bool = True
    """Also measure over splats (10k to 1M) and pixels (128 to 1024 a side)."""

    def run(self) -> None:
        """Measure and print."""
        import torch

        from ...reconstruct.rasterize.benchmark import benchmark

        def report(done: int, total: int) -> None:
            print(f"measuring {done + 1} of {total}", file=sys.stderr)

        torch.set_num_threads(self.threads)
        print(json.dumps(benchmark(repeats=self.repeats, scaling=self.scaling, on_progress=report), indent=1))
