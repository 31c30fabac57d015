"""``cosmorama train world``: make a synthetic world to learn from."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class TrainWorld:
    """Make furnished rooms and open scenes with exact depth, normals, instances and poses, as shards."""

    out: Path
    """Folder for the shards; run again to go on where it stopped."""
    scenes: int = 100
    """How many scenes there shall be in all."""
    frames: int = 32
    """Frames per scene."""
    size: str = "256"
    """Frame size in pixels: N or WIDTHxHEIGHT."""
    both_aspects: bool = False
    """Swap width and height in half of the scenes."""
    outdoor_share: float = 0.35
    """Share of scenes in the open."""
    shots: Literal["mixed", "around", "single", "close"] = "mixed"
    """Paths and single views; groups of 8 views around a home camera (what `train views` learns from); or only single
    views, close-ups and tilts among them (what `train depth` learns from), or most of these filled by one thing."""
    photos: Path | None = None
    """Folder of pictures to hang on walls."""
    seed: int = 0
    """Scene i depends on (seed, i) alone."""
    workers: int = 2
    """Processes."""
    sheet: Path | None = None
    """Also write a contact sheet of the first scenes here."""
    json: bool = False
    """Print one JSON object on stdout."""

    def run(self) -> None:
        """Generate what is missing."""
        from ..progress import Reporter
        from ..world.catalogue import find_furniture
        from ..world.generate import WorldSpec, generate_world
        from ..world.sheet import write_sheet

        width, height = parse_size(self.size)
        spec = WorldSpec(
            seed=self.seed,
            frames=self.frames,
            width=width,
            height=height,
            both_aspects=self.both_aspects,
            outdoor_share=self.outdoor_share,
            shots=self.shots,
            photos=str(self.photos) if self.photos else None,
        )
        print(f"furniture: {find_furniture()} (Sweet Home 3D models, CC0 and CC-BY 3.0)", file=sys.stderr)
        print(
            f"{self.scenes} scenes of {self.frames} frames at {width}x{height} into {self.out}",
            file=sys.stderr,
        )
        start = time.perf_counter()
        with Reporter().stage("frames") as advance:

            def show(done: int, total: int) -> None:
                rate = done / max(time.perf_counter() - start, 1e-6)
                advance(done, total, frames=done, per_second=rate, seconds_left=(total - done) / rate)

            made = generate_world(spec, self.out, scenes=self.scenes, workers=self.workers, on_progress=show)
        seconds = time.perf_counter() - start
        print(f"{made} frames, {made / seconds:.1f} a second", file=sys.stderr)
        if self.sheet:
            write_sheet(self.out, self.sheet)
        if self.json:
            rate = made / seconds if made else 0.0
            print(
                json.dumps(
                    {"frames": made, "frames_per_second": rate, "seconds": seconds, "out": str(self.out)}
                )
            )


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from ``N`` or ``WIDTHxHEIGHT``.

    Raises:
        InputError: when it is neither, or outside 16..4096.
    """
    from ...reconstruct.errors import InputError

    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isdigit() for p in parts):
        raise InputError(f"--size wants N or WIDTHxHEIGHT, not {text!r}")
    width, height = int(parts[0]), int(parts[-1])
    if not (16 <= width <= 4096 and 16 <= height <= 4096):
        raise InputError(f"--size must lie in 16..4096 pixels, not {text!r}")
    return width, height
