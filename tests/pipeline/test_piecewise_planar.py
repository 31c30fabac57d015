"""Depth evened out: dents go, planes and steps stay."""

import torch

from cosmorama.pipeline.depth.piecewise_planar import even_out

H, W = 90, 120
NO_SKY = torch.zeros(H, W, dtype=torch.bool)
GREEN, RED = torch.tensor([0.1, 0.7, 0.2]), torch.tensor([0.8, 0.1, 0.1])


def _floor() -> torch.Tensor:
    """Log-depth of a floor that runs from 2 m to 6 m and is turned a little."""
    y, x = torch.meshgrid(torch.linspace(0, 1, H), torch.linspace(0, 1, W), indexing="ij")
    return -torch.log(1 / 6 + 0.3 * y + 0.03 * x)


def _dents() -> torch.Tensor:
    """Waves of 3 % at the grid of the features, some 13 pixels apart."""
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    return 0.03 * torch.sin(x / 2.1) * torch.sin(y / 2.1)


def _box() -> torch.Tensor:
    box = torch.zeros(H, W, dtype=torch.bool)
    box[30:70, 40:80] = True
    return box


def test_a_plane_stays_as_it_is() -> None:
    photo = torch.full((H, W, 3), 0.5)
    torch.testing.assert_close(even_out(_floor(), NO_SKY, photo), _floor(), atol=2e-3, rtol=0)


def test_dents_go() -> None:
    photo = torch.full((H, W, 3), 0.5)
    after = even_out(_floor() + _dents(), NO_SKY, photo) - _floor()
    assert after[5:-5, 5:-5].std() < 0.3 * _dents().std()


def test_a_thing_before_the_floor_keeps_its_outline_and_loses_its_dents() -> None:
    box = _box()
    truth = torch.where(box, 0.3, _floor())
    photo = torch.where(box[..., None], RED, GREEN)
    after = even_out(truth + _dents(), NO_SKY, photo)
    across = (after[31:69, 80] - after[31:69, 79]) - (truth[31:69, 80] - truth[31:69, 79])
    assert across.abs().max() < 0.1
    assert (after - truth)[35:65, 45:75].std() < 0.4 * _dents().std()
    assert (after - truth).abs().mean() < 0.5 * _dents().abs().mean()


def test_a_step_that_the_photo_does_not_show_stays_too() -> None:
    box = _box()
    truth = torch.where(box, 0.3, _floor())
    after = even_out(truth, NO_SKY, torch.full((H, W, 3), 0.5))
    assert (after - truth).abs().max() < 0.05


def test_what_sky_says_does_not_reach_the_ground() -> None:
    sky = torch.zeros(H, W, dtype=torch.bool)
    sky[:30] = True
    photo = torch.where(sky[..., None], torch.tensor([0.6, 0.7, 0.9]), GREEN)
    answers = [even_out(torch.where(sky, nonsense, _floor()), sky, photo)[32:] for nonsense in (0.0, 5.0)]
    torch.testing.assert_close(answers[0], answers[1], atol=0.02, rtol=0)
    torch.testing.assert_close(answers[0], _floor()[32:], atol=0.02, rtol=0)


def test_a_landscape_s_foreground_may_be_a_hundred_times_nearer_than_most_of_it() -> None:
    near = _box()
    truth = torch.where(near, 0.0, 4.6)
    photo = torch.where(near[..., None], RED, GREEN)
    torch.testing.assert_close(even_out(truth, NO_SKY, photo), truth, atol=0.02, rtol=0)


def test_scale_does_not_matter_and_chance_has_no_say() -> None:
    photo = torch.rand(H, W, 3, generator=torch.Generator().manual_seed(0))
    dented = _floor() + _dents()
    once = even_out(dented, NO_SKY, photo)
    assert torch.equal(once, even_out(dented, NO_SKY, photo))
    torch.testing.assert_close(even_out(dented + 2.0, NO_SKY, photo), once + 2.0, atol=1e-4, rtol=0)


def test_all_sky_and_tiny_pictures_come_back_finite() -> None:
    log_depth, photo = torch.randn(4, 5), torch.rand(4, 5, 3)
    for far in (torch.ones(4, 5, dtype=torch.bool), torch.zeros(4, 5, dtype=torch.bool)):
        assert even_out(log_depth, far, photo).isfinite().all()
