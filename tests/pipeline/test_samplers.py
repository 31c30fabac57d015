import numpy as np
import pytest
import torch

from cosmorama.pipeline.diffusion.objectives import OBJECTIVES, network_target, scalings, wrap_network
from cosmorama.pipeline.diffusion.prior import Prior
from cosmorama.pipeline.diffusion.samplers import (
    SAMPLER_NAMES,
    ancestral,
    dpmpp_2m,
    euler,
    heun,
    lms,
    rk4,
    sampler_by_name,
)
from cosmorama.pipeline.diffusion.schedules import (
    SCHEDULES,
    NoiseDistribution,
    sampling_sigmas,
    shift_for_views,
)
from cosmorama.pipeline.diffusion.weightings import WEIGHTINGS, loss_weights

MEAN, STD = 0.7, 0.6


def gaussian_denoiser(x, sigma):
    """The exact posterior mean for data N(MEAN, STD^2)."""
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def gaussian_flow(x, sigma_from, sigma_to):
    """The exact solution of the probability flow ODE for that data."""
    return MEAN + (x - MEAN) * ((STD**2 + sigma_to**2) / (STD**2 + sigma_from**2)) ** 0.5


def log_steps(n, first=8.0, last=0.05):
    return torch.logspace(np.log10(first), np.log10(last), n + 1, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "solver", "order"),
    [
        ("euler", euler, 1),
        ("heun", heun, 2),
        ("rk4", rk4, 4),
        ("lms1", lambda *a: lms(*a, order=1), 1),
        ("lms2", lambda *a: lms(*a, order=2), 2),
        ("lms3", lambda *a: lms(*a, order=3), 3),
        ("lms4", lambda *a: lms(*a, order=4), 4),
        ("dpmpp_2m", dpmpp_2m, 2),
        ("ancestral, eta 0", lambda *a: ancestral(*a, eta=0.0), 1),
    ],
)
def test_order_of_convergence(name, solver, order):
    x = torch.tensor([-9.0, -2.0, 3.0, 11.0], dtype=torch.float64)
    exact = gaussian_flow(x, 8.0, 0.05)
    errors = [(solver(gaussian_denoiser, x, log_steps(n)) - exact).abs().max().item() for n in (80, 160, 320)]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(orders - order) < 0.25), (name, orders)


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_reaches_the_denoisers_answer_at_zero_and_reports_every_step(name):
    sigmas = sampling_sigmas("karras", 12, sigma_max=20.0)
    x = 20.0 * torch.randn(5, generator=torch.Generator().manual_seed(0))
    calls = []
    last = []

    def denoiser(x, sigma):
        x0 = gaussian_denoiser(x, sigma)
        last[:] = [x0]
        return x0

    out = sampler_by_name(name)(
        denoiser,
        x,
        sigmas,
        generator=torch.Generator().manual_seed(1),
        callback=lambda i, n, x0: calls.append((i, n)),
    )
    assert torch.equal(out, last[0]) or torch.allclose(out, last[0], atol=1e-6)
    assert calls == [(i + 1, 12) for i in range(12)]


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_samples_follow_a_mixture_of_gaussians(name):
    centres, std = torch.tensor([-1.5, 0.5]), 0.2
    weights = torch.tensor([0.3, 0.7])

    def denoiser(x, sigma):
        variance = std**2 + sigma**2
        responsibility = torch.softmax(weights.log() - (x[:, None] - centres) ** 2 / (2 * variance), dim=1)
        means = (std**2 * x[:, None] + sigma**2 * centres) / variance
        return (responsibility * means).sum(1)

    sigmas = sampling_sigmas("karras", 60, sigma_max=20.0)
    noise = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    out = sampler_by_name(name)(denoiser, 20.0 * noise, sigmas, generator=torch.Generator().manual_seed(1))
    left = out < -0.5
    assert abs(left.float().mean() - 0.3) < 0.035
    for side, centre in ((left, -1.5), (~left, 0.5)):
        assert abs(out[side].mean() - centre) < 0.03
        assert abs(out[side].std() - std) < 0.035


def test_ancestral_noise_is_seeded():
    sigmas = sampling_sigmas("karras", 8)
    x = torch.full((3,), 80.0)
    first, again, other = (
        ancestral(gaussian_denoiser, x, sigmas, generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (euler, "EulerDiscreteScheduler", {"use_karras_sigmas": True}),
        (heun, "HeunDiscreteScheduler", {"use_karras_sigmas": True}),
        (ancestral, "EulerAncestralDiscreteScheduler", {}),
        (dpmpp_2m, "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    ],
)
def test_agrees_with_diffusers(ours, theirs, options):
    diffusers = pytest.importorskip("diffusers", reason="compares with diffusers' schedulers")
    scheduler = getattr(diffusers, theirs)(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, **options
    )
    scheduler.set_timesteps(12)
    variance_exploding = theirs != "DPMSolverMultistepScheduler"
    sigmas = scheduler.sigmas.double()
    if theirs == "HeunDiscreteScheduler":  # it lists every inner sigma twice
        sigmas = torch.cat([sigmas[:1], sigmas[1:-1:2], sigmas[-1:]])
    noise = torch.randn(4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mine = ours(gaussian_denoiser, noise * sigmas[0], sigmas, generator=torch.Generator().manual_seed(1))

    x = noise * sigmas[0]
    x = x if variance_exploding else x / (1 + sigmas[0] ** 2) ** 0.5
    random = {"generator": torch.Generator().manual_seed(1)} if ours is ancestral else {}
    for i, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[i].double()
        if variance_exploding:
            epsilon = (x - gaussian_denoiser(x, sigma)) / sigma
        else:
            exploding = x * (1 + sigma**2) ** 0.5
            epsilon = (exploding - gaussian_denoiser(exploding, sigma)) / sigma
        scheduler.scale_model_input(x, t)
        x = scheduler.step(epsilon, t, x, **random).prev_sample
    torch.testing.assert_close(mine, x, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives_recover_x0_from_their_own_target(objective):
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    sigma = torch.tensor([0.03, 0.1, 0.5, 1.0, 7.0, 80.0], dtype=torch.float64)
    target = network_target(objective, x0, noise, sigma)
    out = wrap_network(lambda scaled, level: target, objective)(x0 + sigma[:, None] * noise, sigma)
    torch.testing.assert_close(out, x0)


def test_targets_are_the_ones_of_the_papers():
    x0, noise = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    sigma = torch.tensor([0.75])
    phi = torch.atan(sigma)
    expected = {
        "epsilon": noise,
        "x0": x0,
        "v": phi.cos() * noise - phi.sin() * x0,
        "flow": noise - x0,
        "edm": -(phi.cos() * noise - phi.sin() * x0),
    }
    for objective, target in expected.items():
        torch.testing.assert_close(network_target(objective, x0, noise, sigma), target)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_network_sees_the_best_linear_estimate(objective):
    x0, noise = torch.randn(2, 50_000, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor(1.7)
    x = x0 + sigma * noise
    best = (x * x0).mean() / (x * x).mean()
    assert float(scalings(objective, sigma).c_in) == pytest.approx(float(best), abs=0.01)


@pytest.mark.parametrize("objective", ["v", "flow", "edm"])
def test_an_untrained_network_is_the_best_linear_denoiser_around_the_prior(objective):
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(1, 2, 3, 4, 4, generator=generator)
    spread = 0.2 + torch.rand(1, 2, 1, 4, 4, generator=generator)
    denoiser = wrap_network(lambda x, level: torch.zeros_like(x), objective, Prior(center, spread))
    x = torch.randn(center.shape, generator=generator)
    if objective != "flow":
        share = spread**2 / (spread**2 + 0.8**2)
        expected = center + share * (x - center)
        torch.testing.assert_close(denoiser(x, torch.tensor([0.8])), expected)
    torch.testing.assert_close(denoiser(x, torch.tensor([1e5])), center, atol=1e-3, rtol=0)


def test_weights_count_deviations_from_the_prior_in_its_own_units():
    sigma, spread = torch.tensor([0.3, 2.0]), torch.tensor([0.5, 0.5])
    law = NoiseDistribution(0.0, 1.5)
    for name in ("unit", "edm", "min_snr"):
        wide = loss_weights(name, sigma, objective="v", distribution=law, spread=spread)
        plain = loss_weights(name, sigma / spread, objective="v", distribution=law)
        torch.testing.assert_close(wide, plain / spread**2)


def test_weightings():
    sigma = torch.tensor([0.1, 1.0, 10.0])
    law = NoiseDistribution(0.0, 1.5)

    def weights(name, objective="v"):
        return loss_weights(name, sigma, objective=objective, distribution=law)

    torch.testing.assert_close(weights("min_snr"), torch.tensor([5.0, 1.0, 0.01]))
    torch.testing.assert_close(weights("edm"), torch.tensor([101.0, 2.0, 1.01]))
    torch.testing.assert_close(weights("unit", "epsilon"), sigma**-2)  # the noise's plain error
    torch.testing.assert_close(weights("unit", "v"), weights("edm"))
    torch.testing.assert_close(weights("elbo") * law.density(-2 * sigma.log()), sigma**-2)
    ratio = weights("sigmoid") / weights("elbo")
    assert ratio[0] < 0.01
    assert ratio[2] > 0.95
    assert set(WEIGHTINGS) == {"unit", "elbo", "min_snr", "edm", "sigmoid"}


def test_elbo_does_not_depend_on_how_noise_is_drawn():
    estimates = []
    for law in (NoiseDistribution(0.0, 2.0), NoiseDistribution(0.7, 1.6)):
        sigma = law.sample(200_000, generator=torch.Generator().manual_seed(0)).double()
        weights = loss_weights("elbo", sigma, objective="v", distribution=law)
        error = (STD**2 * sigma**2) / (STD**2 + sigma**2) * torch.exp(-(sigma.log() ** 2))
        estimates.append((weights * error).mean().item())
    assert estimates[0] == pytest.approx(estimates[1], rel=0.02)


def test_noise_distribution_density_and_shift():
    law = NoiseDistribution(0.3, 1.2)
    log_snr = torch.linspace(-30, 30, 6001)
    assert law.density(log_snr).sum().item() * 0.01 == pytest.approx(1.0, abs=1e-3)
    generator = torch.Generator().manual_seed(0)
    single, many = law.sample(4096, generator=generator), law.shifted(8).sample(4096, generator=generator)
    assert (many.log().mean() - single.log().mean()).item() == pytest.approx(0.5 * np.log(8), abs=0.01)
    assert single.log().std().item() == pytest.approx(1.2, rel=0.02)
    torch.testing.assert_close(shift_for_views(torch.tensor([1.0, 2.0]), 4), torch.tensor([2.0, 4.0]))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_fall_from_max_to_zero(schedule):
    sigmas = sampling_sigmas(schedule, 10, sigma_min=0.05, sigma_max=30.0)
    assert len(sigmas) == 11
    assert sigmas[0].item() == pytest.approx(30.0, rel=1e-4)
    assert sigmas[-2].item() == pytest.approx(0.05, rel=1e-4)
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    with pytest.raises(ValueError, match="at least one step"):
        sampling_sigmas(schedule, 0)
