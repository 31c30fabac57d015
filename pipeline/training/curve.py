"""What a run scores on held-out data at its checkpoints: a file of one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ...reconstruct.files.atomic import atomic_write

CURVE = "curve.jsonl"


def add_to_curve(out: Path, step: int, scores: Mapping[str, object]) -> None:
    """Add the scores of a step; rows of later steps, left by a run that was killed after them, are dropped."""
    path, kept = out / CURVE, []
    if path.exists():
        kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] < step]
    with atomic_write(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in [*kept, json.dumps({"step": step, **scores})]))
