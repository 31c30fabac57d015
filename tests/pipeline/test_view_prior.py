"""The prior's spread: measured per channel, kept with the weights, and what an untrained denoiser makes of it."""

from dataclasses import replace

import pytest
import torch

from cosmorama.pipeline.diffusion.conditions import CONDITION_NAMES, empty_conditions
from cosmorama.pipeline.diffusion.model import ViewModel, build_network, load_view_model, save_view_model
from cosmorama.pipeline.diffusion.prior import Spread, measure_spread, prior_of
from cosmorama.pipeline.diffusion.shards import Shards, ShardWriter
from cosmorama.pipeline.diffusion.sheets import sample_views
from cosmorama.pipeline.diffusion.transformer import TransformerConfig
from cosmorama.pipeline.diffusion.unet import UNetConfig
from cosmorama.reconstruct.errors import InputError

NETWORK = TransformerConfig(channels=4, width=32, depth=1, head_channels=16)
SPREAD = Spread(seen=(0.1, 0.1, 0.1, 0.1), unseen=(2.0, 1.0, 0.5, 0.1), nothing=(3.0, 1.0, 1.0, 0.2))


def remembered(views=3, covered=0.0):
    conditions = empty_conditions(1, views, 4, 8, 8)
    kept = torch.tensor([[name == "memory" for name in CONDITION_NAMES]])
    memory = torch.full_like(conditions.memory_latents, 0.7)
    coverage = torch.full_like(conditions.memory_coverage, covered)
    return replace(conditions, kept=kept, memory_latents=memory, memory_coverage=coverage)


def test_spread_is_that_of_the_conditions():
    for covered, expected in ((0.0, SPREAD.unseen), (1.0, SPREAD.seen)):
        prior = prior_of(remembered(covered=covered), SPREAD)
        torch.testing.assert_close(prior.spread[0, 0, :, 0, 0], torch.tensor(expected))
        assert (prior.center == 0.7).all()
    prior = prior_of(empty_conditions(1, 3, 4, 8, 8), SPREAD)
    torch.testing.assert_close(prior.spread[0, 0, :, 0, 0], torch.tensor(SPREAD.nothing))
    assert (prior.center == 0).all()


def test_samples_of_an_untrained_model_have_the_priors_spread():
    model = ViewModel(build_network(NETWORK).eval().requires_grad_(False), "v", SPREAD)
    samples = torch.cat([sample_views(model, remembered(), steps=30, seed=seed) for seed in range(8)])
    std = (samples - 0.7).square().mean((0, 1, 3, 4)).sqrt()
    torch.testing.assert_close(std, torch.tensor(SPREAD.unseen), rtol=0.12, atol=0)
    mean = sample_views(model, remembered(), steps=1, seed=0)
    assert (mean - 0.7).abs().max() < 0.3


def test_spread_is_measured_and_kept(tmp_path):
    generator = torch.Generator().manual_seed(0)
    writer = ShardWriter(tmp_path / "data", "scenes")
    for index in range(4):
        sizes = torch.tensor([2.0, 1.0, 0.5, 0.25])[:, None, None]
        latents = sizes * torch.randn(3, 4, 16, 16, generator=generator)
        coverage = torch.zeros(1, 3, 4, 16, 16)
        coverage[..., 8:] = 1
        memory = torch.where(coverage[:, :, :1] > 0, latents + 0.1, 0.0)
        given = torch.tensor([[True, False, False]])
        writer.add(
            str(index),
            {"latents": latents, "memory_latents": memory, "memory_coverage": coverage, "given": given},
        )
    writer.flush()
    spread = measure_spread(Shards(tmp_path / "data"))
    torch.testing.assert_close(
        torch.tensor(spread.unseen), torch.tensor([2.0, 1.0, 0.5, 0.25]), rtol=0.1, atol=0
    )
    torch.testing.assert_close(torch.tensor(spread.seen), torch.full((4,), 0.1), rtol=0.05, atol=0)
    save_view_model(tmp_path / "views.safetensors", build_network(NETWORK), "v", spread)
    assert load_view_model(tmp_path / "views.safetensors").spread == spread


def test_training_from_earlier_weights_starts_at_the_prior(tmp_path):
    from cosmorama.pipeline.diffusion.training import begin_with

    trained = build_network(NETWORK)
    torch.nn.init.normal_(trained.final.weight)
    save_view_model(tmp_path / "views.safetensors", trained, "v")
    network = build_network(NETWORK)
    begin_with(network, tmp_path / "views.safetensors")
    assert not network.final.weight.any()
    torch.testing.assert_close(
        network.views.latents.weight, trained.views.latents.weight, atol=1e-3, rtol=1e-3
    )


def test_training_goes_on_from_a_model_as_it_is(tmp_path):
    from cosmorama.pipeline.diffusion.training import go_on_from

    trained = build_network(NETWORK)
    torch.nn.init.normal_(trained.final.weight)
    save_view_model(tmp_path / "views.safetensors", trained, "v", SPREAD)
    network = build_network(NETWORK)
    assert go_on_from(network, tmp_path / "views.safetensors", "v") == SPREAD
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value.half().float())
    with pytest.raises(InputError, match="objective"):
        go_on_from(network, tmp_path / "views.safetensors", "epsilon")
    with pytest.raises(InputError, match="another network"):
        go_on_from(
            build_network(replace(NETWORK, width=2 * NETWORK.width)), tmp_path / "views.safetensors", "v"
        )


def test_a_new_joint_transformer_changes_nothing_before_it_is_trained(tmp_path):
    from cosmorama.pipeline.diffusion.training import go_on_from

    small = UNetConfig(channels=4, widths=(32, 64), head_channels=16)
    trained = build_network(small)
    torch.nn.init.normal_(trained.final.weight)
    save_view_model(tmp_path / "views.safetensors", trained, "v", SPREAD)
    network = build_network(replace(small, joint_blocks=1, joint_width=32, joint_head_channels=16))
    go_on_from(network, tmp_path / "views.safetensors", "v")
    conditions = empty_conditions(2, 3, 4, 8, 8)
    x = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    before = trained(x, torch.zeros(2), conditions).prediction
    assert before.abs().mean() > 0.1
    torch.testing.assert_close(
        network(x, torch.zeros(2), conditions).prediction, before, atol=0.02, rtol=0.02
    )
    torch.nn.init.normal_(network.joint.leave.weight)
    assert (network(x, torch.zeros(2), conditions).prediction - before).abs().mean() > 0.1
    with pytest.raises(InputError, match="another network"):
        go_on_from(build_network(NETWORK), tmp_path / "views.safetensors", "v")
