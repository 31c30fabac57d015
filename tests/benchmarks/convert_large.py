"""Convert many splats between all formats with the real command line; print the time and peak memory of each.

    python tests/benchmarks/convert_large.py FOLDER [--count 5000000] [--formats .spz .sog]

First writes a .ply of a made-up scene with harmonics of degree 3 into FOLDER (kept, and used again), then for every
format runs ``cosmorama export`` from .ply to it and from it back to .ply, one at a time. Prints a Markdown table. The
memory is the largest resident set of any one process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from cosmorama.reconstruct.files import SPLAT_SUFFIXES, write_splats
from cosmorama.reconstruct.files.roundtrip import sample_splats
from cosmorama.reconstruct.files.splat_file import PHOTO_UP


def export(source: Path, target: Path) -> tuple[float, float]:
    """Seconds and peak gigabytes of one ``cosmorama export``."""
    code = "from cosmorama.pipeline.cli import main; main()"
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, "export", str(source), str(target), "--force"])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"export of {source} to {target} failed with {process.returncode}")
    return time.perf_counter() - start, used.ru_maxrss / 1e6


def main() -> None:
    """Run every pair."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=5_000_000)
    parser.add_argument("--formats", nargs="+", default=[s for s in SPLAT_SUFFIXES if s != ".ply"])
    args = parser.parse_args()
    source = args.folder / f"{args.count}.ply"
    if not source.exists():
        write_splats(source, sample_splats(args.count), up=torch.tensor(PHOTO_UP), metres_per_unit=1.0)
    print(
        "| format | size, MB | from .ply, s | peak, GB | to .ply, s | peak, GB |\n|" + " --- |" * 6,
        flush=True,
    )
    for suffix in args.formats:
        target, back = args.folder / f"{args.count}{suffix}", args.folder / "back.ply"
        written = export(source, target)
        read = export(target, back)
        cells = [target.stat().st_size / 1e6, *written, *read]
        print("| " + " | ".join([suffix, *(f"{cell:.3g}" for cell in cells)]) + " |", flush=True)
        target.unlink()
        back.unlink()


if __name__ == "__main__":
    main()
