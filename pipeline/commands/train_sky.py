"""``cosmorama train sky``: what looks like sky to DINOv2, learnt from what the depth head says of photos."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainSky:
    """Fit the probe that finds the rest of a sky, and write it: ridge regression on what the head is sure of."""

    photos: Path
    """Folder of photos, those with sky and others."""
    out: Path
    """The file that is written."""
    long_side: int = 512
    """Size at which photos are looked at."""

    def run(self) -> None:
        """Fit and write."""
        import torch

        from ...reconstruct.errors import InputError
        from ..depth.estimator import load_cosmorama_estimator
        from ..depth.whole_sky import fit_sky_probe, save_sky_probe
        from ..latents.photos import SUFFIXES
        from ..photo import load_photo

        files = sorted(path for path in self.photos.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise InputError(f"{self.photos} holds no photos")
        estimator = load_cosmorama_estimator()
        said = [estimator.sky_said(load_photo(path, long_side=self.long_side).image) for path in files]
        tokens, far_logit = (torch.cat(values) for values in zip(*said, strict=True))
        probe = fit_sky_probe(tokens, far_logit)
        save_sky_probe(self.out, probe)
        right = ((probe(tokens) > 0) == (far_logit > 0)).float().mean().item()
        report = {"photos": len(files), "tokens": len(tokens), "agrees_with_the_head": right}
        print(json.dumps(report), file=sys.stderr)
