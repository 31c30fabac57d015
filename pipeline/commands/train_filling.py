"""``cosmorama train filling``: learn how guesses are mixed to fill what a scene does not show."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from .given import with_given


@dataclass(frozen=True)
class TrainFilling:
    """Learn how guesses are mixed to fill what a scene does not show; the view generator starts from that.

    OUT gets the samples (made once), checkpoint.safetensors, metrics.jsonl and filling.safetensors. Killed and started
    again, it goes on where it was.
    """

    world: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER...")]
    """Folders of `cosmorama train world --shots around`; not read again once the samples are made."""
    out: Path
    """Folder of the run."""
    size: tuple[int, int] = (128, 128)
    """Width and height of the pictures, multiples of 8."""
    start: Path | None = None
    """Filling weights to go on from, with all of them free; default the closed form of these samples."""
    learning_rate: float | None = None
    """At its highest; it falls to zero over the last steps."""
    steps: int | None = None
    """Optimiser steps in all."""
    minutes: float | None = None
    """End this leg after so many minutes, for going on later."""
    threads: int | None = None
    """CPU threads; default all."""
    seed: int = 0

    def run(self) -> None:
        """Train."""
        import torch

        from ..diffusion.filling import filling_from_file
        from ..diffusion.filling_training import FillingTraining, train_filling

        if self.threads:
            torch.set_num_threads(self.threads)
        start = filling_from_file(self.start) if self.start else None
        samples = self._samples()
        base = FillingTraining()
        loop = with_given(
            base.loop,
            steps=self.steps,
            minutes=self.minutes,
            seed=self.seed,
            learning_rate=self.learning_rate,
        )
        config = replace(base, loop=loop)
        scores = train_filling(
            samples[False], samples.get(True), self.out, config, start=start, on_progress=_print
        )
        print(json.dumps({"held_out_psnr": scores}), file=sys.stderr)

    def _samples(self):  # by whether they are held out
        from ...reconstruct.errors import InputError
        from ..diffusion.filling_training import collect_samples, load_samples, save_samples
        from ..diffusion.sources import world_scenes
        from ..world import WorldDataset

        paths = {False: self.out / "samples.safetensors", True: self.out / "held_out.safetensors"}
        if paths[False].exists():
            return {split: load_samples(path) for split, path in paths.items() if path.exists()}
        width, height = self.size
        worlds = [WorldDataset(folder) for folder in self.world]
        scenes = (s for world in worlds for s in world_scenes(world, width=width, height=height))
        samples = collect_samples(scenes, seed=self.seed, on_progress=_print_scenes)
        if False not in samples:
            raise InputError(f"{', '.join(map(str, self.world))}: no shot of 8 views to learn from")
        self.out.mkdir(parents=True, exist_ok=True)
        for split, part in samples.items():
            save_samples(paths[split], part)
        return samples


def _print(done: int, total: int, **scalars: object) -> None:
    print(json.dumps({"step": done, "of": total, **scalars}), file=sys.stderr, flush=True)


def _print_scenes(done: int) -> None:
    if done % 20 == 0:
        print(json.dumps({"scenes": done}), file=sys.stderr, flush=True)
