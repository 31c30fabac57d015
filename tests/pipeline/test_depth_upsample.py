"""Edges stay sharp and go where the photo's edges are."""

import torch

from cosmorama.pipeline.depth.upsample import resize_map, upsample_depth

NEAR, FAR = 0.0, 1.0


def _step_photo(size: int, edge: float) -> torch.Tensor:
    """Dark left of the edge (a share of the width), bright right of it."""
    x = (torch.arange(size) + 0.5) / size
    return torch.where(x < edge, 0.1, 0.9)[None, :, None].expand(size, size, 3).clone()


def test_step_stays_a_step_and_lands_on_the_photo_edge() -> None:
    edge = 0.53  # not on a coarse pixel's border
    coarse = torch.full((24, 24), FAR)
    coarse[:, :12] = NEAR
    coarse[:, 12] = 0.6  # the half-way depth that networks give at edges
    photo = _step_photo(240, edge)
    up = upsample_depth(coarse, _step_photo(24, edge), photo)
    truth = torch.where(photo[..., 0] < 0.5, NEAR, FAR)
    between = ((up > 0.1) & (up < 0.9)).float().mean()
    wrong = ((up - truth).abs() > 0.5).float().mean()
    smooth = resize_map(coarse, (240, 240))
    assert wrong < 0.5 * ((smooth - truth).abs() > 0.5).float().mean() + 0.005
    assert between < 0.2 * ((smooth > 0.1) & (smooth < 0.9)).float().mean() + 0.03


def test_slopes_are_left_alone() -> None:
    slope = torch.linspace(0, 1.2, 24).expand(20, 24).contiguous()
    generator = torch.Generator().manual_seed(0)
    photo = torch.rand(100, 130, 3, generator=generator)
    up = upsample_depth(slope, torch.rand(20, 24, 3, generator=generator), photo)
    assert torch.allclose(up, resize_map(slope, (100, 130)))


def test_no_new_depths_at_edges() -> None:
    generator = torch.Generator().manual_seed(1)
    coarse = (torch.rand(16, 16, generator=generator) > 0.5).float() * 2
    photo = torch.rand(67, 91, 3, generator=generator)
    up = upsample_depth(coarse, torch.rand(16, 16, 3, generator=generator), photo)
    assert up.shape == (67, 91)
    assert set(up.unique().tolist()) <= {0.0, 2.0}
