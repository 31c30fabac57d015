"""The rest of a sky, from features that tell."""

import pytest
import torch

from cosmorama.pipeline.cli import main
from cosmorama.pipeline.depth.estimator import SKY
from cosmorama.pipeline.depth.whole_sky import (
    SkyProbe,
    fit_sky_probe,
    load_sky_probe,
    rest_of_sky,
    save_sky_probe,
)
from cosmorama.reconstruct.errors import InputError

H, W, C = 16, 20, 12
SKY_ROWS, CLOUD_ROWS = slice(0, 4), slice(4, 8)


def kinds():
    """Feature directions of sky, ground and trees."""
    return torch.eye(C)[:3] * 4


@pytest.fixture
def photo():
    """Tokens of sky, clouds that are told from it by little, and ground; found is the sky above the clouds."""
    sky, ground, _ = kinds()
    tokens = 0.3 * torch.randn(H, W, C, generator=torch.Generator().manual_seed(0))
    tokens[:8] += sky
    tokens[CLOUD_ROWS] += 0.5 * torch.eye(C)[5]
    tokens[8:] += ground
    far_logit, log_depth = torch.full((H, W), -2.0), torch.full((H, W), 1.0)
    far_logit[SKY_ROWS], log_depth[:8] = 3.0, 3.0
    return tokens, far_logit, log_depth


@pytest.fixture
def probe():
    sky, ground, trees = kinds()
    return SkyProbe((sky - ground - trees) / 16, torch.tensor(0.0))


def test_clouds_become_sky_and_ground_does_not(photo, probe):
    more = rest_of_sky(*photo, probe) > 0
    assert more[CLOUD_ROWS].all()
    assert not more[8:].any()


def test_what_does_not_look_like_sky_stays_what_it_is(photo, probe):
    tokens, far_logit, log_depth = photo
    tokens[CLOUD_ROWS] += 2 * kinds()[2]  # trees, as far away as the sky
    assert not (rest_of_sky(tokens, far_logit, log_depth, probe)[CLOUD_ROWS] > 0).any()


def test_what_does_not_hang_together_with_the_sky_stays_what_it_is(photo, probe):
    tokens, far_logit, log_depth = photo
    tokens[12:14, 5:9] = tokens[:2, 5:9]  # a puddle
    assert not (rest_of_sky(tokens, far_logit, log_depth, probe)[12:14] > 0).any()


@pytest.mark.parametrize("found", [-2.0, 3.0])
def test_of_no_sky_and_of_nothing_else_there_is_no_more(photo, probe, found):
    tokens, far_logit, log_depth = photo
    assert not (rest_of_sky(tokens, torch.full_like(far_logit, found), log_depth, probe) > 0).any()


def test_a_bright_wall_is_no_example_of_sky(photo, probe):
    tokens, far_logit, log_depth = photo
    assert not (rest_of_sky(tokens, far_logit, torch.full_like(log_depth, 1.0), probe) > 0).any()


def test_a_probe_tells_the_two_apart_and_comes_back_from_its_file(photo, tmp_path):
    tokens, far_logit, _ = photo
    far_logit[CLOUD_ROWS] = 0.0  # nobody is sure
    probe = fit_sky_probe(tokens.flatten(0, 1), far_logit.flatten())
    assert float(probe(tokens)[SKY_ROWS].min()) > 0 > float(probe(tokens)[8:].max())
    file = tmp_path / "sky.safetensors"
    save_sky_probe(file, probe)
    assert torch.equal(load_sky_probe(file)(tokens), probe(tokens))
    with pytest.raises(InputError, match="photos with sky"):
        fit_sky_probe(tokens.flatten(0, 1), torch.zeros(H * W))


def test_the_shipped_probe_is_of_dinov2s_size_and_other_files_are_refused():
    assert load_sky_probe(SKY).weight.shape == (384,)
    with pytest.raises(InputError, match="no probe"):
        load_sky_probe(SKY.with_name("outdoors.safetensors"))


def test_no_photos_is_one_line(tmp_path, monkeypatch, capsys):
    command = ["cosmorama", "train", "sky", "--photos", str(tmp_path), "--out", str(tmp_path / "sky")]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "holds no photos" in capsys.readouterr().err
