"""Shapes written in signatures are checked at run time in tests (jaxtyping with beartype), and only there."""

from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook
from torch._C import DisableTorchFunction
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

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


class Elsewhere(TorchFunctionMode):
    """What a GPU would find, without one: tensors made without a device, random ones of a generator aside, are on none,
    and to use one with others fails."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in _device_constructors() and not kwargs.keys() & {"device", "generator"}:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)

    @staticmethod
    def as_usual(function):
        """The function as it is outside: for what is another one on a GPU anyway."""

        def call(*args, **kwargs):
            with DisableTorchFunction():
                return function(*args, **kwargs)

        return call


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()
