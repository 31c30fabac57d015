"""Fitting: quality rises, resuming changes nothing, what cannot be fitted says so."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cosmorama.reconstruct.cameras import Cameras, look_at, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.fit import (
    FitConfig,
    FitError,
    GradientGrowth,
    LearningRates,
    Losses,
    McmcGrowth,
    Views,
    evaluate,
    fit_gaussians,
)
from cosmorama.reconstruct.fit.refine import corrected_cameras, rotation_from_vector
from cosmorama.reconstruct.fit.schedule import divisor_at, sh_degree_at, step_generator, view_order
from cosmorama.reconstruct.gaussians import Gaussians, gaussians_from_points
from cosmorama.reconstruct.rasterize import rasterize

SIZE = 48
GROWTHS = {
    "none": FitConfig().growth,
    "gradient": GradientGrowth(max_splats=160, threshold=1e-5, every=10, start=0.0, stop=0.9),
    "mcmc": McmcGrowth(max_splats=160, every=10, start=0.0, stop=0.9),
}


def ring(count: int, height: float = 0.6) -> Cameras:
    angles = torch.arange(count) * 2 * torch.pi / count
    positions = torch.stack([3 * angles.cos(), torch.full((count,), -height), 3 * angles.sin()], dim=-1)
    poses = look_at(positions, torch.zeros(count, 3))
    return Cameras(poses, pinhole_intrinsics(1.1 * SIZE, SIZE, SIZE).repeat(count, 1, 1), SIZE, SIZE)


@pytest.fixture(scope="module")
def truth() -> Gaussians:
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(200, 3, generator=generator) - 0.5
    rgb = torch.rand(200, 3, generator=generator)
    return gaussians_from_points(points, rgb, torch.full((200,), 0.07), opacity=0.8)


@pytest.fixture(scope="module")
def start(truth: Gaussians) -> Gaussians:
    generator = torch.Generator().manual_seed(4)
    shaken = truth.means + 0.05 * torch.randn(200, 3, generator=generator)
    return gaussians_from_points(
        shaken[:100], torch.full((100, 3), 0.5), torch.full((100,), 0.1), opacity=0.3
    )


def views_of(gaussians: Gaussians, cameras: Cameras) -> Views:
    with torch.no_grad():
        return Views(cameras, rasterize(gaussians, cameras).color.clamp(0, 1))


@pytest.mark.parametrize("growth", GROWTHS)
def test_held_out_views_get_better(truth: Gaussians, start: Gaussians, growth: str):
    train, held_out = views_of(truth, ring(10)), views_of(truth, ring(5, 1.0))
    config = FitConfig(iterations=100, growth=GROWTHS[growth], sh_degree=1, resolutions=((0.2, 2),))
    before = evaluate(start, held_out, config)
    result = fit_gaussians(start, train.cameras, train.images, config=config, held_out=held_out)
    after = evaluate(result.gaussians, held_out, config)
    assert after.psnr > before.psnr + 3
    assert after.ssim > before.ssim
    assert result.iterations == 100
    assert result.curve[-1][1] == pytest.approx(after.psnr)
    assert len(result.gaussians) == 100 if growth == "none" else 100 < len(result.gaussians) <= 160
    assert result.gaussians.sh_degree == 1


def test_same_seed_same_bits_other_seed_other_bits(truth: Gaussians, start: Gaussians):
    train = views_of(truth, ring(4))
    config = FitConfig(iterations=12)
    a, b, c = (
        fit_gaussians(start, train.cameras, train.images, config=config, seed=s).gaussians for s in (0, 0, 1)
    )
    assert torch.equal(a.means, b.means)
    assert not torch.equal(a.means, c.means)


class _Killed(Exception):
    pass


@pytest.mark.parametrize("growth", GROWTHS)
def test_resuming_gives_the_same_bits(truth: Gaussians, start: Gaussians, growth: str, tmp_path: Path):
    train = views_of(truth, ring(6))
    rates = LearningRates(poses=1e-3, exposures=1e-3)
    config = FitConfig(
        iterations=50, growth=GROWTHS[growth], sh_degree=1, checkpoint_every=17, learning_rates=rates,
        resolutions=((0.3, 2),),
    )  # fmt: skip
    whole = fit_gaussians(start, train.cameras, train.images, config=config)

    def kill(done: int, total: int, **details: object) -> None:
        if done >= 30:
            raise _Killed

    checkpoint = tmp_path / "fit.safetensors"
    with pytest.raises(_Killed):
        fit_gaussians(
            start, train.cameras, train.images, config=config, checkpoint=checkpoint, on_progress=kill
        )
    assert checkpoint.exists()
    resumed = fit_gaussians(
        start, train.cameras, train.images, config=config, checkpoint=checkpoint, resume=True
    )
    assert resumed.splat_counts == whole.splat_counts
    for name, value in whole.gaussians.tensors().items():
        assert torch.equal(value, resumed.gaussians.tensors()[name]), name
    assert torch.equal(whole.cameras.world_from_cam, resumed.cameras.world_from_cam)
    assert whole.exposures is not None
    assert resumed.exposures is not None
    assert torch.equal(whole.exposures, resumed.exposures)


def test_a_checkpoint_of_other_settings_is_refused(truth: Gaussians, start: Gaussians, tmp_path: Path):
    train = views_of(truth, ring(3))
    given = {"checkpoint": tmp_path / "fit.safetensors", "resume": True}
    fit_gaussians(start, train.cameras, train.images, config=FitConfig(iterations=3), **given)
    with pytest.raises(InputError, match="cannot be resumed"):
        fit_gaussians(start, train.cameras, train.images, config=FitConfig(iterations=4), **given)


def test_frozen_parameters_stay(truth: Gaussians, start: Gaussians):
    train = views_of(truth, ring(4))
    config = FitConfig(iterations=10, learning_rates=LearningRates(means=0, log_scales=0), sh_degree=0)
    fitted = fit_gaussians(start, train.cameras, train.images, config=config).gaussians
    assert torch.equal(fitted.means, start.means)
    assert torch.equal(fitted.log_scales, start.log_scales)
    assert not torch.equal(fitted.sh, start.sh)


def test_step_sizes_fall_so_that_no_view_has_the_last_word(truth: Gaussians):
    """Two photos that contradict each other: the mean is right, not what was shown last."""
    train = views_of(truth, ring(1))
    cameras = train.cameras[[0, 0]]
    images = torch.stack([0.6 * train.images[0], train.images[0]])
    leaning = []
    for last in (1.0, 0.02):
        rates = LearningRates(means=0, quats=0, log_scales=0, opacity_logits=0, sh0=0.05, last=last)
        config = FitConfig(iterations=60, learning_rates=rates, sh_degree=0, losses=Losses(l1=1, ssim=0))
        fitted = fit_gaussians(truth, cameras, images, config=config).gaussians
        shown = rasterize(fitted, cameras[[0]]).color[0]
        short = fit_gaussians(truth, cameras, images, config=replace(config, iterations=59)).gaussians
        leaning.append(float((shown - rasterize(short, cameras[[0]]).color[0]).abs().mean()))
    assert leaning[1] < 0.2 * leaning[0]


def test_what_is_seen_through_a_crack_is_not_fitted_to_noise():
    """A wall of nearly opaque splats before another, and a photo that has neither's colour."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 24), torch.linspace(-1, 1, 24), indexing="ij")
    wall = torch.stack([x, y, torch.full_like(x, 2.0)], dim=-1).reshape(-1, 3)
    points, hidden = torch.cat([wall, 1.5 * wall]), torch.arange(2 * len(wall)) >= len(wall)
    walls = gaussians_from_points(
        points, torch.full_like(points, 0.5), torch.full((len(points),), 0.08), opacity=0.99
    )
    camera = Cameras(torch.eye(4)[None], pinhole_intrinsics(1.2 * SIZE, SIZE, SIZE)[None], SIZE, SIZE)
    image = torch.rand(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    moved = {}
    for faint in (0.0, 0.05):
        rates = LearningRates(means=0, quats=0, log_scales=0, opacity_logits=0, sh0=0.02)
        config = FitConfig(iterations=20, learning_rates=rates, sh_degree=0, skip_faint=faint)
        fitted = fit_gaussians(walls, camera, image, config=config).gaussians
        apart = (fitted.sh - walls.sh).abs().flatten(1).amax(1)
        moved[faint] = float(apart[hidden].mean()), float(apart[~hidden].mean())
    assert moved[0.0][0] > 0.05
    assert moved[0.05][0] < 0.1 * moved[0.0][0]
    assert moved[0.05][1] > 0.9 * moved[0.0][1]


def test_progress_may_end_the_fit(truth: Gaussians, start: Gaussians):
    train = views_of(truth, ring(4))
    result = fit_gaussians(
        start,
        train.cameras,
        train.images,
        config=FitConfig(iterations=100),
        on_progress=lambda *a, **k: a[0] >= 20,
    )
    assert result.iterations == 20


def test_poses_are_refined(truth: Gaussians):
    train = views_of(truth, ring(8))
    wrong = corrected_cameras(
        train.cameras, 0.02 * torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    )
    frozen = LearningRates(means=0, quats=0, log_scales=0, opacity_logits=0, sh0=0, sh_rest=0, poses=3e-3)
    config = FitConfig(iterations=160, learning_rates=frozen, sh_degree=0)
    result = fit_gaussians(truth, wrong, train.images, config=config)
    points = truth.means.expand(8, -1, -1)
    right = train.cameras.project(points)[0]
    before = (wrong.project(points)[0] - right).norm(dim=-1).mean()
    after = (result.cameras.project(points)[0] - right).norm(dim=-1).mean()
    assert before > 0.5
    assert after < 0.3 * before


def test_exposures_are_refined(truth: Gaussians):
    train = views_of(truth, ring(4))
    gains = torch.tensor([0.7, 0.9, 1.1, 1.3])
    images = (train.images * gains[:, None, None, None]).clamp(0, 1)
    frozen = LearningRates(means=0, quats=0, log_scales=0, opacity_logits=0, sh0=0, sh_rest=0, exposures=1e-2)
    config = FitConfig(iterations=150, learning_rates=frozen, sh_degree=0, losses=Losses(l1=1, ssim=0))
    exposures = fit_gaussians(truth, train.cameras, images, config=config).exposures
    assert exposures is not None
    torch.testing.assert_close(exposures.mean(0), torch.eye(3, 4), atol=1e-5, rtol=0)
    found = exposures[:, :, :3].diagonal(dim1=1, dim2=2).mean(1)
    assert (found.diff() > 0.05).all()


def test_masked_pixels_do_not_matter(truth: Gaussians, start: Gaussians):
    train = views_of(truth, ring(3))
    weights = torch.ones(3, SIZE, SIZE)
    weights[:, :, 20:] = 0
    spoilt = train.images.clone()
    spoilt[:, :, 20 + 6 :] = 0.77  # beyond the reach of SSIM's window around what counts
    config = FitConfig(iterations=6)
    fits = [
        fit_gaussians(start, train.cameras, images, config=config, pixel_weights=weights).gaussians
        for images in (train.images, spoilt)
    ]
    torch.testing.assert_close(fits[0].means, fits[1].means, atol=1e-6, rtol=0)


def test_depth_pulls_splats_to_the_surface():
    wall = gaussians_from_points(
        torch.tensor([[0.0, 0, 4.0]]), torch.full((1, 3), 0.5), torch.tensor([3.0]), opacity=0.99
    )
    camera = Cameras(torch.eye(4)[None], pinhole_intrinsics(40, SIZE, SIZE)[None], SIZE, SIZE)
    image = views_of(wall, camera).images
    config = FitConfig(
        iterations=100,
        losses=Losses(l1=0, ssim=0, depth=1),
        learning_rates=LearningRates(means=1e-2),
        sh_degree=0,
    )
    depths = torch.full((1, SIZE, SIZE), 3.0)
    fitted = fit_gaussians(wall, camera, image, config=config, depths=depths).gaussians
    assert abs(float(fitted.means[0, 2]) - 3) < 0.3


def test_perceptual_function_is_called_with_weight_and_view(truth: Gaussians, start: Gaussians):
    train, calls = views_of(truth, ring(4)), []

    def distance(rendering: torch.Tensor, image: torch.Tensor, view: int) -> torch.Tensor:
        calls.append((view, float((image - train.images[view]).abs().max())))
        return (rendering - image).square().mean()

    config = FitConfig(iterations=8, losses=Losses(perceptual=1, perceptual_every=2))
    fit_gaussians(start, train.cameras, train.images, config=config, perceptual=distance)
    assert len(calls) == 4
    assert max(error for _, error in calls) == 0


def test_view_weights_decide_between_contradicting_views(truth: Gaussians, start: Gaussians):
    camera = ring(1)[[0, 0]]
    images = torch.stack([torch.ones(SIZE, SIZE, 3), torch.zeros(SIZE, SIZE, 3)])
    config = FitConfig(
        iterations=120, losses=Losses(l1=1, ssim=0), learning_rates=LearningRates(sh0=0.05), sh_degree=0
    )
    means = [
        fit_gaussians(start, camera, images, config=config, view_weights=weights).gaussians.sh.mean()
        for weights in (torch.tensor([1.0, 0.05]), lambda progress: torch.tensor([0.05, 1.0]))
    ]
    assert means[0] > means[1] + 0.5


def test_non_finite_loss_stops_and_keeps_the_state(truth: Gaussians, start: Gaussians, tmp_path: Path):
    train = views_of(truth, ring(3))
    config = FitConfig(iterations=20, losses=Losses(perceptual=1))
    calls = iter(range(100))

    def breaks(rendering: torch.Tensor, image: torch.Tensor, view: int) -> torch.Tensor:
        return rendering.mean() * (float("nan") if next(calls) == 7 else 0.0)

    checkpoint = tmp_path / "fit.safetensors"
    with pytest.raises(FitError, match=r"step 7: the loss of view \d is nan"):
        fit_gaussians(
            start, train.cameras, train.images, config=config, perceptual=breaks, checkpoint=checkpoint
        )
    resumed = fit_gaussians(
        start, train.cameras, train.images, config=config, checkpoint=checkpoint, resume=True,
        perceptual=lambda rendering, image, view: 0.0 * rendering.mean(),
    )  # fmt: skip
    assert resumed.iterations == 20
    assert resumed.gaussians.means.isfinite().all()


def test_a_view_without_splats_stops(truth: Gaussians, start: Gaussians):
    train = views_of(truth, ring(3))
    away = train.cameras.world_from_cam.clone()
    away[1, :3, :3] = away[1, :3, :3] @ torch.diag(torch.tensor([-1.0, 1, -1]))
    cameras = replace(train.cameras, world_from_cam=away)
    with pytest.raises(FitError, match="view 1 shows none of the 100 splats"):
        fit_gaussians(start, cameras, train.images, config=FitConfig(iterations=10))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(2, SIZE, SIZE, 3)}, "do not fit images"),
        ({"images": torch.full((3, SIZE, SIZE, 3), float("nan"))}, "not finite"),
        ({"pixel_weights": torch.zeros(3, SIZE, SIZE)}, "view 0 is empty"),
        ({"pixel_weights": torch.ones(3, SIZE, 5)}, "pixel_weights must have shape"),
        ({"view_sampling": torch.ones(2)}, "view_sampling must hold 3"),
        ({"gaussians": None}, "no splats"),
    ],
)
def test_what_does_not_fit_is_refused(start: Gaussians, change: dict, message: str):
    given = {"gaussians": start, "cameras": ring(3), "images": torch.zeros(3, SIZE, SIZE, 3), **change}
    if given["gaussians"] is None:
        given["gaussians"] = start[:0]
    with pytest.raises(InputError, match=message):
        fit_gaussians(**given)


def test_views_are_shown_as_often_as_asked():
    order = view_order(torch.tensor([3.0, 1.0, 0.0]), 400, step_generator(0, 0))
    counts = order.bincount(minlength=3)
    assert counts[2] == 0
    assert abs(int(counts[0]) - 300) <= 10
    blocks = view_order(torch.ones(7), 70, step_generator(0, 0)).reshape(10, 7)
    assert (blocks.sort(1).values == torch.arange(7)).all()
    assert not (blocks == blocks[0]).all()


def test_schedules():
    resolutions = ((0.2, 4), (0.5, 2))
    assert [divisor_at(p, resolutions) for p in (0, 0.19, 0.2, 0.49, 0.5, 1)] == [4, 4, 2, 2, 1, 1]
    config = FitConfig(sh_degree=2, sh_warmup=0.3)
    assert [sh_degree_at(p, config) for p in (0, 0.29, 0.31, 0.61, 0.99)] == [0, 0, 1, 2, 2]
    assert sh_degree_at(0, FitConfig(sh_degree=3, sh_warmup=0)) == 3


def test_rotation_vectors():
    vector = torch.tensor([[0.3, -0.2, 0.5], [0, 0, 0]])
    rotation = rotation_from_vector(vector)
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close((rotation[0] @ vector[0]), vector[0])
    trace = rotation[0].diagonal().sum()
    torch.testing.assert_close(torch.arccos((trace - 1) / 2), vector[0].norm())
