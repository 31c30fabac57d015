import pytest
import torch
from torch.nn import functional as F

from cosmorama.reconstruct.windows import window_max, window_min


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 4, 9, 22])
@pytest.mark.parametrize("size", [(31, 47), (7, 5), (1, 9)])
def test_extremes_are_those_of_pooling(radius, size):
    value = torch.randn(size, generator=torch.Generator().manual_seed(radius))
    expected = F.max_pool2d(value[None], 2 * radius + 1, 1, radius)[0]
    assert torch.equal(window_max(value, radius), expected)
    assert torch.equal(window_min(-value, radius), -expected)


def test_infinite_and_unknown_values_go_through():
    value = torch.zeros(9, 9)
    value[4, 4], value[0, 0] = torch.inf, -torch.inf
    widest = window_max(value, 1)
    assert (widest[3:6, 3:6] == torch.inf).all()
    assert widest[0, 0] == 0
    value[8, 8] = torch.nan
    assert window_max(value, 2)[6:, 6:].isnan().all()
