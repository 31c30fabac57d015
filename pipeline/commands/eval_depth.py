"""``cosmorama eval depth``: an estimator against true depth."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class EvalDepth:
    """Compare predicted with true depth.

    The folder holds frame-*.color.jpg (or .png), frame-*.depth.png (16 bit, millimetres, 0 and 65535 unknown, the same
    size) and camera-intrinsics.txt (3x3, pixels). Each frame counts the same.
    """

    data: tyro.conf.Positional[Path]
    """The folder."""
    depth_model: str = "cosmorama"
    """cosmorama, or a depth model on the transformers hub, or a folder holding one."""
    weights: Path | None = None
    """A head.safetensors of `cosmorama train depth` in place of the shipped one, for all photos alike."""
    outdoors: Path | None = None
    """A file of `cosmorama train outdoors` in place of the shipped one."""
    device: str = "cpu"
    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> None:
        """Evaluate."""
        from ..depth import load_depth_estimator
        from ..depth.estimator import load_cosmorama_estimator
        from ..depth.evaluation import evaluate_folder
        from ..progress import Reporter

        if self.weights or self.outdoors:
            estimator = load_cosmorama_estimator(self.device, weights=self.weights, outdoors=self.outdoors)
        else:
            estimator = load_depth_estimator(self.depth_model, self.device)
        with Reporter().stage("depth") as advance:
            result = evaluate_folder(estimator, self.data, on_progress=advance)
        for name, title in (("median", "scaled to the true median"), ("metric", "as predicted")):
            values = "  ".join(f"{key} {value:.3f}" for key, value in result[name].items())
            print(f"{title:<26} {values}", file=sys.stderr)
        print(f"{result['frames']} frames, {result['seconds_per_frame']:.2f} s each", file=sys.stderr)
        if self.json:
            print(json.dumps(result))
