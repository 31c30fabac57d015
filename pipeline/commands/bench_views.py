"""``cosmorama bench views``: how long generating a group of views takes."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class BenchViews:
    """Time 8 views of 128x128 in 20 steps, from noise to pictures, memory encoded too."""

    model: Path | None = None
    """views.safetensors; default an untrained network of the preset, which is as fast."""
    preset: Literal["cpu", "gpu", "cluster"] = "cpu"
    views: int = 8
    steps: int = 20
    repeats: int = 3
    """The fastest counts."""
    device: str = "cpu"
    threads: int | None = None
    """CPU threads; default all."""
    json: bool = False
    """Print one JSON object on stdout."""

    def run(self) -> None:
        """Measure."""
        import torch

        from ..diffusion.conditions import empty_conditions
        from ..diffusion.model import ViewModel, build_network, load_view_model
        from ..diffusion.sheets import sample_views
        from ..diffusion.text import TOKENS
        from ..diffusion.training import preset
        from ..latents.codec import Codec

        if self.threads:
            torch.set_num_threads(self.threads)
        if self.model:
            model = load_view_model(self.model, device=self.device)
        else:
            network = build_network(preset(self.preset).network).eval().requires_grad_(False).to(self.device)
            model = ViewModel(network, "v")
        codec = Codec().eval().requires_grad_(False)
        conditions = empty_conditions(1, self.views, codec.config.channels, 16, 16, tokens=TOKENS)
        pictures = torch.full((self.views, 128, 128, 3), 0.5)
        times = []
        for _ in range(self.repeats):
            started = time.perf_counter()
            codec.encode(pictures)
            codec.decode(sample_views(model, conditions.to(self.device), steps=self.steps, seed=0).cpu())
            times.append(time.perf_counter() - started)
        seconds = min(times)
        report = {
            f"seconds_{self.views}_views_{self.steps}_steps": round(seconds, 2),
            "parameters": sum(p.numel() for p in model.network.parameters()),
            "threads": torch.get_num_threads(),
            "device": self.device,
        }
        for name, value in report.items():
            print(f"{name}: {value}", file=sys.stderr)
        if self.json:
            print(json.dumps(report))
