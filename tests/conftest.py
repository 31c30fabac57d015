"""Shapes written in signatures are checked at run time in tests (jaxtyping with beartype), and only there."""

from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

_CHECKED = (
    "cameras",
    "depth_completion",
    "depth_edges",
    "gaussians",
    "lift",
    "motion",
    "spherical_harmonics",
    "transform",
)
install_import_hook(
    [f"cosmorama.reconstruct.{name}" for name in _CHECKED],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def demo_photo() -> Path:
    return Path(__file__).parent.parent / "assets" / "demo.jpg"
