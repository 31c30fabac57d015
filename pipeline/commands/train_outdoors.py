"""``cosmorama train outdoors``: parts of the depth head learnt from the open, and the probe that calls for them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class TrainOutdoors:
    """Fit the probe that tells the open from rooms, and write it with the parts of the depth head for the open.

    The parts come from `train depth --only` on a world in the open. Of several files the mean is taken.
    """

    rooms: Path
    """Folder of `cosmorama train world --outdoor-share 0`."""
    open: Path
    """Folder of `cosmorama train world --outdoor-share 1`."""
    parts: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")]
    """head.safetensors of `train depth --only`."""
    out: Path
    """The file that is written."""
    frames: int = 450
    """That the probe is fitted to, of each."""
    tokens: int = 192
    """Of each frame."""

    def run(self) -> None:
        """Fit and write."""
        import torch

        from ...reconstruct.errors import InputError
        from ..depth.estimator import CosmoramaEstimator, load_head
        from ..depth.frames import open_frames
        from ..depth.outdoor_head import fit_probe, load_outdoor_head, save_outdoor_head
        from ..training.checkpoints import load_weights

        files = [load_weights(path)[1] for path in self.parts]
        if not files or any(tensors.keys() != files[0].keys() for tensors in files):
            raise InputError("--parts are one or more files with the same parts of a depth head")
        parts = {name: torch.stack([tensors[name] for tensors in files]).mean(0) for name in files[0]}
        estimator = CosmoramaEstimator(load_head(), tokens=self.tokens)

        def pooled(folder: Path) -> list[torch.Tensor]:
            frames = open_frames(folder)
            count = max(1, min(self.frames, len(frames)))
            picks = torch.linspace(0, len(frames) - 1, count).round().int().tolist()
            return [estimator.pooled(frames[index].image) for index in picks]

        rooms, outdoors = pooled(self.rooms), pooled(self.open)
        probe = fit_probe(rooms, outdoors)
        save_outdoor_head(self.out, parts, probe, estimator.head)
        head = load_outdoor_head(self.out, estimator.head)
        taken = [
            (torch.stack(means) @ head.probe_weight + head.probe_bias > 0).float().mean().item()
            for means in (rooms, outdoors)
        ]
        print(json.dumps({"taken_for_open": {"rooms": taken[0], "open": taken[1]}}), file=sys.stderr)
