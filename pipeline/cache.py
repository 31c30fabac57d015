"""Where downloaded weights and parsed models are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """``$COSMORAMA_CACHE``, else ``$XDG_CACHE_HOME/cosmorama``, else ``~/.cache/cosmorama``; created on first use."""
    if explicit := os.environ.get("COSMORAMA_CACHE"):
        path = Path(explicit)
    else:
        base = os.environ.get("XDG_CACHE_HOME")
        path = (Path(base) if base else Path.home() / ".cache") / "cosmorama"
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
    return path
