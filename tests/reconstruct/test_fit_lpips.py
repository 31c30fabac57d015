"""LPIPS with a stand-in for its package, which would bring torchvision."""

import sys
from types import ModuleType

import pytest
import torch

from cosmorama.reconstruct.fit.learned_distance import find_lpips


class _MeanDifference(torch.nn.Module):
    def __init__(self, net: str, verbose: bool):
        super().__init__()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        assert a.shape == (1, 3, 5, 7)
        assert a.min() == -1
        return (a - b).abs().mean()


def _install(monkeypatch: pytest.MonkeyPatch, network: object) -> None:
    module = ModuleType("lpips")
    module.LPIPS = network  # type: ignore
    monkeypatch.setitem(sys.modules, "lpips", module)


def test_pictures_reach_the_network_as_it_wants_them(monkeypatch: pytest.MonkeyPatch):
    _install(monkeypatch, _MeanDifference)
    distance = find_lpips()
    assert distance is not None
    assert distance(torch.zeros(5, 7, 3), torch.full((5, 7, 3), 0.25)) == pytest.approx(0.5)


def test_none_without_the_package_or_its_weights(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    assert find_lpips() is None

    def unreachable(**_: object) -> None:
        raise OSError("no route to the weights")

    _install(monkeypatch, unreachable)
    assert find_lpips() is None
