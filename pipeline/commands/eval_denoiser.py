"""``cosmorama eval denoiser``: the view generator's network alone, on held-out samples."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class EvalDenoiser:
    """Squared error of denoised held-out samples at five noise levels: what `train views` logs in curve.jsonl."""

    data: tyro.conf.Positional[Path]
    """Folder of `cosmorama train views-data`."""
    model: Path | None = None
    """views.safetensors; default the shipped one."""
    groups: int = 48
    """Groups of views to judge."""
    device: str = "cpu"
    json: bool = False
    """Print one JSON object on stdout."""

    def run(self) -> None:
        """Evaluate."""
        import time

        from ..device import pick_device
        from ..diffusion.generator import shipped_model
        from ..diffusion.held_out import held_out_errors
        from ..diffusion.model import load_view_model
        from ..diffusion.shards import Shards
        from ..diffusion.sources import HELD_OUT

        model = load_view_model(self.model or shipped_model(), device=pick_device(self.device))
        started = time.perf_counter()
        scores = held_out_errors(model, Shards(self.data / HELD_OUT), groups=self.groups)
        parameters = sum(p.numel() for p in model.network.parameters())
        print(
            f"{parameters / 1e6:.1f} million parameters; squared error per cell and channel", file=sys.stderr
        )
        for name, values in scores.items():
            print(f"{name:>13}  " + "  ".join(f"{value:8.4f}" for value in values), file=sys.stderr)
        if self.json:
            seconds = round(time.perf_counter() - started, 1)
            print(json.dumps({"parameters": parameters, "groups": self.groups, "seconds": seconds, **scores}))
