from dataclasses import replace

import pytest
import torch

from cosmorama.pipeline.diffusion.conditions import (
    CONDITION_NAMES,
    cat_conditions,
    empty_conditions,
    plucker_maps,
    subcells,
)
from cosmorama.pipeline.diffusion.guidance import guided
from cosmorama.pipeline.diffusion.layers import attend
from cosmorama.pipeline.diffusion.model import ViewModel, build_network, load_view_model, save_view_model
from cosmorama.pipeline.diffusion.transformer import TransformerConfig
from cosmorama.pipeline.diffusion.unet import UNetConfig
from cosmorama.reconstruct.cameras import Cameras, look_at, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError

CONFIGS = {
    "transformer": TransformerConfig(channels=4, width=64, depth=2, head_channels=16),
    "unet": UNetConfig(channels=4, widths=(32, 64), head_channels=16),
    "joined_unet": UNetConfig(
        channels=4, widths=(32, 64), head_channels=16, joint_blocks=2, joint_width=32, joint_head_channels=16
    ),
}


def random_network(kind):
    """A small network without the zeros of an untrained one, so that nothing is equal by accident."""
    torch.manual_seed(0)
    network = build_network(CONFIGS[kind]).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def random_conditions(batch=2, views=3, height=6, width=4):
    generator = torch.Generator().manual_seed(1)
    empty = empty_conditions(batch, views, 4, height, width, tokens=5)
    filled = {
        name: torch.randn(value.shape, generator=generator)
        for name, value in empty.tensors().items()
        if value.is_floating_point()
    }
    given = torch.zeros(batch, views, dtype=torch.bool)
    given[:, 0] = True
    return replace(empty, **filled, given=given, kept=torch.ones_like(empty.kept))


def random_latents(conditions, seed=2):
    return torch.randn(conditions.given_latents.shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=CONFIGS, scope="module")
def network(request):
    return random_network(request.param)


def test_swapping_views_swaps_outputs(network):
    conditions = random_conditions(views=4)
    x, level = random_latents(conditions), torch.tensor([0.1, -0.4])
    order = torch.tensor([0, 3, 2, 1])
    plain = network(x, level, conditions).prediction
    swapped = network(x[:, order], level, conditions.select_views(order)).prediction
    torch.testing.assert_close(swapped, plain[:, order], atol=1e-5, rtol=1e-5)
    assert (plain[:, 1] - plain[:, 3]).abs().mean() > 0.05


def test_views_see_each_other(network):
    conditions = random_conditions()
    x, level = random_latents(conditions), torch.tensor([0.1, -0.4])
    changed = x.clone()
    changed[:, 2] += 1.0
    difference = network(changed, level, conditions).prediction - network(x, level, conditions).prediction
    assert difference[:, 1].abs().mean() > 1e-4


@pytest.mark.parametrize("name", CONDITION_NAMES)
def test_each_condition_matters_until_it_is_dropped(network, name):
    conditions = random_conditions()
    x, level = random_latents(conditions), torch.tensor([0.1, -0.4])
    fields = {
        "rays": ("rays",), "given": ("given_latents",), "time": ("times",), "text": ("text",),
        "memory": ("memory_latents", "memory_depth", "memory_coverage"),
    }[name]  # fmt: skip

    def change(field):
        other = replace(conditions, **{field: getattr(conditions, field).flip(0) + 0.3})
        kept = (network(x, level, c).prediction for c in (conditions, other))
        dropped = (network(x, level, c.without(name)).prediction for c in (conditions, other))
        return [(a - b).abs().max().item() for a, b in (kept, dropped)]

    for field in fields:
        with_it, without_it = change(field)
        assert with_it > 1e-4
        assert without_it == 0.0


def test_dropping_is_per_sample(network):
    conditions = random_conditions()
    x, level = random_latents(conditions), torch.tensor([0.1, -0.4])
    kept = conditions.kept.clone()
    kept[1, CONDITION_NAMES.index("memory")] = False
    mixed = network(x, level, replace(conditions, kept=kept)).prediction
    torch.testing.assert_close(mixed[0], network(x, level, conditions).prediction[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        mixed[1], network(x, level, conditions.without("memory")).prediction[1], atol=1e-5, rtol=1e-5
    )


def test_given_views_are_not_read_from_the_noisy_latents(network):
    conditions = random_conditions()
    x, level = random_latents(conditions), torch.tensor([0.1, -0.4])
    changed = x.clone()
    changed[:, 0] += 5.0
    torch.testing.assert_close(
        network(changed, level, conditions).prediction, network(x, level, conditions).prediction
    )


@pytest.mark.parametrize(("height", "width", "views"), [(5, 9, 1), (8, 4, 2), (3, 3, 5)])
def test_any_aspect_ratio_and_number_of_views(network, height, width, views):
    conditions = random_conditions(views=views, height=height, width=width)
    x = random_latents(conditions)
    out = network(x, torch.zeros(2), conditions, features_after=1)
    assert out.prediction.shape == x.shape
    assert out.prediction.isfinite().all()
    assert out.features is not None
    assert out.features.shape[:2] == (2, views)
    assert out.features.shape[-1] == network.feature_channels


def test_an_untrained_network_predicts_zero():
    conditions = random_conditions()
    for config in CONFIGS.values():
        out = build_network(config)(random_latents(conditions), torch.zeros(2), conditions)
        assert out.prediction.abs().max() == 0


def test_the_joint_transformer_joins_all_places_of_all_views_and_the_text():
    joint = random_network("joined_unet").joint
    conditions, embedding = random_conditions(batch=1, views=3), torch.randn(1, joint.modulation.in_features)
    x = torch.randn(3, 64, 3, 2, generator=torch.Generator().manual_seed(0))
    plain, changed = joint(x, embedding, conditions), x.clone()
    changed[2, :, 2, 1] += 1.0
    assert (joint(changed, embedding, conditions) - plain)[0, :, 0, 0].abs().mean() > 1e-4
    other_text = replace(conditions, text=-conditions.text)
    assert (joint(x, embedding, other_text) - plain)[0, :, 0, 0].abs().mean() > 1e-4


def test_attention_is_the_fused_kernels():
    q, k, v = torch.randn(3, 2, 4, 7, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attend(q, k, v), torch.nn.functional.scaled_dot_product_attention(q, k, v))


def test_guidance_is_the_weighted_sum_of_differences():
    model = ViewModel(random_network("transformer"), "v")
    conditions = random_conditions()
    x, sigma = random_latents(conditions), torch.tensor(1.5)
    full = model(x, sigma, conditions)
    scales = {"memory": 0.7, "text": 2.0, "rays": 0.0}
    expected = full + sum(
        scale * (full - model(x, sigma, conditions.without(name))) for name, scale in scales.items()
    )
    torch.testing.assert_close(guided(model, conditions, scales)(x, sigma), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(guided(model, conditions)(x, sigma), full)
    outside = guided(model, conditions, scales, sigma_range=(2.0, 9.0))(x, sigma)
    torch.testing.assert_close(outside, full)


def test_weights_survive_a_file(tmp_path):
    for kind in CONFIGS:
        network = random_network(kind)
        save_view_model(tmp_path / "m.safetensors", network, "flow")
        model = load_view_model(tmp_path / "m.safetensors")
        assert model.objective == "flow"
        conditions = random_conditions()
        x = random_latents(conditions)
        expected = network(x, torch.zeros(2), conditions).prediction
        torch.testing.assert_close(
            model.network(x, torch.zeros(2), conditions).prediction, expected, atol=0.03, rtol=0.03
        )
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no weights"):
        load_view_model(tmp_path / "bad.safetensors")


def test_plucker_maps_ignore_the_choice_of_world_and_scale():
    positions = torch.tensor([[0.0, 0.0, 0.0], [0.4, -0.1, 0.2], [-0.3, 0.2, 0.1]])
    poses = look_at(positions, torch.tensor([[0.0, 0.0, 3.0]]).expand(3, 3))
    cameras = Cameras(poses, pinhole_intrinsics(100, 128, 96).expand(3, 3, 3), 128, 96)
    maps = plucker_maps(cameras, height=12, width=16, world_from_reference=poses[0], scale=3.0)
    directions, moments = maps[:, :3], maps[:, 3:]
    assert maps.shape == (3, 6, 12, 16)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(3, 12, 16))
    torch.testing.assert_close((directions * moments).sum(1), torch.zeros(3, 12, 16), atol=1e-6, rtol=0)
    assert moments[0].abs().max() < 1e-6
    assert moments[1].abs().max() > 0.05

    turn = look_at(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 0.0]))
    scaled = poses.clone()
    scaled[:, :3, 3] *= 5
    moved = replace(cameras, world_from_cam=turn @ scaled)
    again = plucker_maps(moved, height=12, width=16, world_from_reference=turn @ scaled[0], scale=15.0)
    torch.testing.assert_close(again, maps, atol=1e-5, rtol=1e-5)


def test_subcells_average_what_is_known():
    values = torch.arange(64.0).reshape(8, 8)
    known = torch.ones(8, 8)
    known[:4, :4] = 0
    known[0, 4:] = 0
    out = subcells(values, known, 8)
    assert out.shape == (4, 1, 1)
    assert out[0] == 0
    assert out[1] == values[1:4, 4:].mean()
    assert out[3] == values[4:, 4:].mean()


def test_cat_conditions_joins_batches():
    a, b = random_conditions(), random_conditions().without("text")
    both = cat_conditions([a, b])
    assert len(both) == 4
    assert both.has("text").tolist() == [True, True, False, False]
