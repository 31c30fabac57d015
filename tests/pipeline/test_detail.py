"""Texture of filled holes."""

import torch

from cosmorama.pipeline.generators.detail import LIMIT, add_detail


def _striped(height: int = 48, width: int = 96) -> torch.Tensor:
    columns = torch.arange(width).float()
    stripes = 0.5 + 0.06 * torch.sin(columns * 1.6)
    return stripes[None, :, None].expand(height, width, 3).contiguous()


def test_a_fogged_strip_gets_the_texture_beside_it() -> None:
    truth = _striped()
    hidden = torch.zeros(48, 96, dtype=torch.bool)
    hidden[:, 78:] = True
    filled = torch.where(hidden[..., None], 0.5, truth)
    out = add_detail(filled, truth, ~hidden, hidden)
    assert torch.equal(out[:, :78], filled[:, :78])
    spread = out[:, 82:].std()
    assert 0.5 * truth.std() < spread < 1.2 * truth.std()
    assert abs(float(out[:, 78:].mean()) - 0.5) < 0.01


def test_texture_is_relative_to_brightness_and_limited() -> None:
    truth = _striped()
    truth[:, 60] = 1.0  # a bright line is no texture
    hidden = torch.zeros(48, 96, dtype=torch.bool)
    hidden[:, 66:] = True
    filled = torch.where(hidden[..., None], 0.1, truth)
    change = (add_detail(filled, truth, ~hidden, hidden) - filled)[hidden].abs()
    assert 0 < float(change.max()) <= LIMIT * 0.1 + 1e-6


def test_nothing_known_or_nothing_hidden_changes_nothing() -> None:
    picture, nothing = _striped(), torch.zeros(48, 96, dtype=torch.bool)
    assert torch.equal(add_detail(picture, picture, nothing, ~nothing), picture)
    assert torch.equal(add_detail(picture, picture, ~nothing, nothing), picture)
