"""The closer look at four parts of a photo."""

import pytest
import torch

from cosmorama.pipeline.depth.closer import DETAIL_WEIGHT, LAYOUT_WEIGHT, SHARE, look_closer
from cosmorama.pipeline.depth.upsample import resize_map

ROWS, COLUMNS = 24, 36
FINE = (round(ROWS / SHARE), round(COLUMNS / SHARE))


@pytest.fixture
def truth() -> torch.Tensor:
    """Log-depth at the fine size: a slope with thin bars before it."""
    slope = torch.linspace(1, 2, FINE[0])[:, None] + torch.linspace(0, 0.5, FINE[1])
    slope[:, ::7] -= 0.6
    return slope


def test_parts_that_say_the_same_change_nothing(truth: torch.Tensor) -> None:
    whole = resize_map(truth, (ROWS, COLUMNS), antialias=True)
    photo = resize_map(whole, FINE)[..., None].expand(-1, -1, 3)  # a photo whose brightness is its depth
    out = look_closer(whole, torch.zeros_like(whole) > 0, photo, lambda part: part[..., 0])
    torch.testing.assert_close(out, photo[..., 0], atol=0.01, rtol=0)


def test_detail_comes_from_the_parts_and_their_level_from_the_whole(truth: torch.Tensor) -> None:
    whole = resize_map(truth, (ROWS, COLUMNS), antialias=True)
    photo, levels = truth[..., None].expand(-1, -1, 3), iter((5.0, -3.0, 0.5, 40.0))
    out = look_closer(whole, torch.zeros_like(whole) > 0, photo, lambda part: part[..., 0] + next(levels))
    before, after = (resize_map(whole, FINE) - truth).abs().mean(), (out - truth).abs().mean()
    assert after < (1 - 0.9 * DETAIL_WEIGHT) * before
    assert abs(float(out.median() - whole.median())) < 0.05


def test_what_is_large_comes_more_from_the_whole() -> None:
    whole = torch.zeros(ROWS, COLUMNS)
    bend = torch.linspace(-1, 1, FINE[1]).square().expand(FINE)  # which the parts see and the whole does not
    photo = bend[..., None].expand(-1, -1, 3)
    out = look_closer(whole, torch.zeros_like(whole) > 0, photo, lambda part: part[..., 0])
    beside = slice(FINE[1] // 8, FINE[1] * 3 // 8)
    share = (out.diff(dim=1) / bend.diff(dim=1))[:, beside].median()
    assert share == pytest.approx(LAYOUT_WEIGHT, abs=0.1)


def test_sky_does_not_move_the_parts(truth: torch.Tensor) -> None:
    whole = resize_map(truth, (ROWS, COLUMNS), antialias=True)
    far = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    far[: ROWS * 3 // 4] = True
    whole[far] += 3.0  # the whole says that sky is far, the parts do not
    photo = truth[..., None].expand(-1, -1, 3)
    out = look_closer(whole, far, photo, lambda part: part[..., 0])
    ground = slice(FINE[0] * 7 // 8, None)
    assert (out[ground] - resize_map(whole, FINE)[ground]).mean().abs() < 0.05


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (640, 480)])
def test_photos_of_any_size(size: tuple[int, int]) -> None:
    whole = torch.rand(ROWS, COLUMNS)
    out = look_closer(whole, whole > 2, torch.rand(*size, 3), lambda part: part[..., 0])
    assert out.shape == FINE
    assert out.isfinite().all()
