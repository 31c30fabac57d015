"""The photo that ``make demo`` and the benchmarks use when none is given."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def demo_photo() -> Path:
    """A CC0 photo that ships in assets."""
    return Path(str(files("cosmorama.assets"))) / "demo.jpg"
