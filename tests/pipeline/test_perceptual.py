"""The DINOv2 loss, with a stand-in for the network: what it compares, and what it computes once."""

import pytest
import torch

from cosmorama.pipeline import perceptual


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []

    def features(images: torch.Tensor, *, layers: tuple[int, ...]) -> list[torch.Tensor]:
        seen.append(images)
        return [
            torch.nn.functional.avg_pool2d(images.permute(0, 3, 1, 2), 14).permute(0, 2, 3, 1) for _ in layers
        ]

    monkeypatch.setattr(perceptual, "dinov2_features", features)
    return seen


def test_distance_is_zero_for_equal_pictures_and_has_a_gradient(calls: list[torch.Tensor]):
    distance = perceptual.dinov2_distance(side_px=56)
    image, other = torch.rand(40, 30, 3), torch.rand(40, 30, 3).requires_grad_()
    assert float(distance(image, image, 0)) == pytest.approx(0, abs=1e-5)
    value = distance(other, image, 0)
    value.backward()
    assert float(value.detach()) > 0.001
    assert other.grad is not None
    assert other.grad.abs().sum() > 0
    assert {tuple(c.shape) for c in calls} == {(1, 56, 42, 3)}


def test_features_of_a_photo_are_computed_once_per_view_and_size(calls: list[torch.Tensor]):
    distance = perceptual.dinov2_distance(side_px=28)
    image = torch.rand(28, 28, 3)
    for view in (0, 0, 1):
        distance(image, image, view)
    assert len(calls) == 2 + 3
    distance(image[::2, ::2], image[::2, ::2], 0)
    assert len(calls) == 2 + 3 + 2
