"""Growth and the optimiser whose rows grow with it."""

import pytest
import torch

from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.fit import GradientGrowth, McmcGrowth
from cosmorama.reconstruct.fit.adam import BETA1, BETA2, EPSILON, RowAdam, _update, _update_cpu
from cosmorama.reconstruct.fit.growth_gradient import grow_by_gradient, reset_opacities
from cosmorama.reconstruct.fit.growth_mcmc import add_splats, relocate, shake, shared_opacity_and_scale
from cosmorama.reconstruct.gaussians import Gaussians, gaussians_from_points
from cosmorama.reconstruct.rasterize import rasterize


def splats(n: int, seed: int = 0) -> RowAdam:
    g = torch.Generator().manual_seed(seed)
    gaussians = gaussians_from_points(
        torch.rand(n, 3, generator=g) - 0.5,
        torch.rand(n, 3, generator=g),
        torch.full((n,), 0.05),
        opacity=0.5,
    )
    table = RowAdam(gaussians.tensors())
    for name in table.tensors:
        table.first[name] += torch.arange(n).reshape(n, *[1] * (table.first[name].ndim - 1)) + 1.0
        table.second[name] += 2.0
    table.steps += 5
    return table


def aligned(table: RowAdam) -> int:
    sizes = {len(t) for ts in (table.tensors, table.first, table.second) for t in ts.values()} | {
        len(table.steps)
    }
    assert len(sizes) == 1
    return sizes.pop()


def image_of(table: RowAdam) -> torch.Tensor:
    pose = torch.eye(4)
    pose[2, 3] = -2
    camera = Cameras(pose[None], pinhole_intrinsics(60, 64, 64)[None], 64, 64)
    with torch.no_grad():
        return rasterize(Gaussians(**table.tensors), camera).color


def test_adam_is_torchs_adam_where_all_rows_move():
    start = torch.randn(50, 3, 2)
    table = RowAdam({"x": start})
    theirs = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.01, betas=(BETA1, BETA2), eps=EPSILON)
    for step in range(20):
        gradient = torch.randn(50, 3, 2, generator=torch.Generator().manual_seed(step))
        theirs.grad = gradient.clone()
        table.leaves({"x": 1})["x"].grad = gradient.clone()
        optimizer.step()
        table.step({"x": torch.full((6,), 0.01)})
    torch.testing.assert_close(table.tensors["x"].detach(), theirs.detach(), atol=1e-5, rtol=1e-5)


def test_kernel_and_plain_torch_agree_and_leave_rows_out():
    g = torch.Generator().manual_seed(0)
    state = [torch.rand(40, 5, generator=g) for _ in range(4)]
    rate = torch.rand(5, generator=g)
    rows = torch.rand(40, generator=g) > 0.5
    steps = torch.randint(1, 2000, (40,), generator=g, dtype=torch.int32)
    a, b = [t.clone() for t in state], [t.clone() for t in state]
    _update(*a, rate, rows, steps)
    _update_cpu(*b, rate, rows, steps)
    for x, y, before in zip(a, b, state):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6)
        assert torch.equal(y[~rows], before[~rows])


def test_a_late_row_starts_like_a_first_one():
    table = RowAdam({"x": torch.zeros(2, 1)})
    only_first = torch.tensor([True, False])
    for rows in (only_first, only_first, ~only_first):
        table.leaves({"x": 1})["x"].grad = torch.ones(2, 1)
        before = table.tensors["x"].detach().clone()
        table.step({"x": torch.tensor([0.1])}, rows)
    moved = table.tensors["x"].detach() - before
    torch.testing.assert_close(moved, torch.tensor([[0.0], [-0.1]]))
    assert table.steps.tolist() == [2, 1]


def test_state_goes_through_a_checkpoint():
    table, other = splats(7), splats(3, seed=1)
    other.load({name: t.clone() for name, t in table.state().items()})
    assert all(torch.equal(t, other.state()[name]) for name, t in table.state().items())


@pytest.mark.parametrize("copies", [1, 2, 3, 10, 51, 80])
def test_relocation_keeps_opacity_at_the_centre_and_the_integral(copies: int):
    """Kheradmand et al. choose the scale so that the sum of the blended copies integrates to what one did."""
    opacity = torch.tensor([0.05, 0.5, 0.95])
    shared, factor = shared_opacity_and_scale(opacity, torch.full((3,), copies))
    n = min(copies, 51)
    torch.testing.assert_close(1 - (1 - shared.double()) ** n, opacity.double(), rtol=1e-4, atol=1e-6)
    x = torch.linspace(-8, 8, 20001, dtype=torch.float64)
    one = opacity.double()[:, None] * torch.exp(-0.5 * x**2)
    many = 1 - (1 - shared.double()[:, None] * torch.exp(-0.5 * (x / factor.double()[:, None]) ** 2)) ** n
    torch.testing.assert_close(many.sum(1), one.sum(1), rtol=1e-4, atol=0)


def test_relocating_dead_splats_hardly_changes_the_picture():
    table = splats(60)
    table.tensors["opacity_logits"][40:] = -9.0
    before = image_of(table)
    moved = relocate(table, McmcGrowth(), torch.Generator().manual_seed(0))
    assert moved == 20
    assert aligned(table) == 60
    after = image_of(table)
    assert (before - after).abs().mean() < 0.01
    assert (table.tensors["opacity_logits"].sigmoid() > 0.005).all()
    assert not table.first["means"][40:].any()
    assert not table.steps[40:].any()
    assert table.steps.any()


def test_adding_splats_hardly_changes_the_picture_and_stops_at_the_limit():
    table = splats(60)
    before = image_of(table)
    assert add_splats(table, McmcGrowth(rate=1.5, max_splats=80), torch.Generator().manual_seed(0)) == 20
    assert aligned(table) == 80
    assert (before - image_of(table)).abs().mean() < 0.01
    assert add_splats(table, McmcGrowth(rate=1.5, max_splats=80), torch.Generator().manual_seed(0)) == 0


def test_noise_moves_transparent_splats_only():
    table = splats(10)
    table.tensors["opacity_logits"][5:] = -9.0
    before = table.tensors["means"].clone()
    shake(table, 10.0, torch.Generator().manual_seed(0))
    moved = (table.tensors["means"] - before).norm(dim=-1)
    assert (moved[:5] == 0).all()
    assert (moved[5:] > 0).all()


def test_most_pulled_are_cloned_and_split_transparent_are_dropped():
    table = splats(10)
    table.tensors["opacity_logits"][9] = -9.0
    table.tensors["log_scales"][:2] = torch.log(torch.tensor(0.2))
    means = table.tensors["means"].clone()
    pull = torch.stack([torch.arange(10, 0, -1.0), torch.ones(10)], dim=1)
    config = GradientGrowth(threshold=0.5, split_scale=0.1, max_scale=10)
    grow_by_gradient(table, pull, config, budget=12, extent=1.0, generator=torch.Generator().manual_seed(0))
    assert aligned(table) == 12  # 9 are left, the 3 most pulled become 2 each: two are large, one is small
    new = table.tensors["means"]
    assert not torch.equal(new[:2], means[:2])
    assert torch.equal(new[2:9], means[2:9])
    assert torch.equal(new[9], means[2])
    torch.testing.assert_close(table.tensors["log_scales"][0].exp(), torch.full((3,), 0.2 / 1.6))
    torch.testing.assert_close(table.tensors["log_scales"][11].exp(), torch.full((3,), 0.2 / 1.6))
    shared = table.tensors["opacity_logits"].sigmoid()
    torch.testing.assert_close(1 - (1 - shared[[0, 1, 2, 9]]) ** 2, torch.full((4,), 0.5))
    assert table.first["means"][2:9, 0].tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert not table.first["means"][[0, 1, 9, 10, 11]].any()
    assert table.steps.tolist() == [0, 0, 5, 5, 5, 5, 5, 5, 5, 0, 0, 0]


def test_budget_and_threshold_limit_growth():
    for budget, threshold in ((10, 0.0), (100, 20.0)):
        table = splats(10)
        pull = torch.ones(10, 2)
        config = GradientGrowth(threshold=threshold)
        grow_by_gradient(table, pull, config, budget=budget, extent=1.0, generator=torch.Generator())
        assert aligned(table) == 10


def test_opacities_are_reset_now_and_then():
    table = splats(4)
    config = GradientGrowth(reset_opacity_every=10, min_opacity=0.01)
    reset_opacities(table, 8, config)
    assert table.tensors["opacity_logits"].sigmoid().max() > 0.4
    reset_opacities(table, 9, config)
    torch.testing.assert_close(table.tensors["opacity_logits"].sigmoid(), torch.full((4,), 0.02))
    assert not table.second["opacity_logits"].any()
    assert table.second["means"].all()
