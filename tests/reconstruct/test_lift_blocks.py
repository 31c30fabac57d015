import torch

from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.lift_blocks import lift_blocks
from cosmorama.reconstruct.rasterize import rasterize

SIZE = 64
CAMERA = Cameras(torch.eye(4)[None], pinhole_intrinsics(60.0, SIZE, SIZE)[None], SIZE, SIZE)
WHOLE = torch.ones(SIZE, SIZE, dtype=torch.bool)


def lifted(image, depth, mask=WHOLE):
    return lift_blocks(image, depth, CAMERA, mask=mask, sigma_px=0.75, max_stretch=12.0)


def slanted() -> torch.Tensor:
    """Depth of a wall that recedes to the right."""
    across = torch.arange(SIZE).float()[None].expand(SIZE, SIZE)
    return 1 / (0.6 - 0.005 * across)


def test_an_even_wall_takes_few_splats_and_looks_the_same():
    image = torch.full((SIZE, SIZE, 3), 0.4)
    few = lifted(image, slanted())
    assert len(few) < SIZE * SIZE / 5  # the rim is left fine
    seen = rasterize(few, CAMERA)
    inner = slice(4, -4)
    assert seen.alpha[0, inner, inner].min() > 0.97
    assert (seen.color[0] - image)[inner, inner].abs().max() < 0.02
    x, _, z = few.means.unbind(-1)
    column = x / z * 60 + SIZE / 2 - 0.5
    assert (1 / z - (0.6 - 0.005 * column)).abs().max() < 1e-4  # all on the wall


def test_texture_and_edges_keep_a_splat_per_pixel():
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(SIZE, SIZE, 3, generator=generator)
    assert len(lifted(noise, slanted())) == SIZE * SIZE
    depth = torch.full((SIZE, SIZE), 3.0)
    depth[20:44, 21:43] = 1.0
    flat = torch.full((SIZE, SIZE, 3), 0.4)
    splats = lifted(flat, depth)
    assert set(splats.means[:, 2].round(decimals=3).tolist()) == {1.0, 3.0}
    one = lift(flat, depth, CAMERA).scales.amax()
    wide = splats.scales.amax(-1) > 1.5 * one
    x, y = (splats.means[:, :2] / splats.means[:, 2:] * 60 + SIZE / 2).unbind(-1)
    from_edge = torch.maximum((x - 32).abs() - 11, (y - 32).abs() - 12).abs()
    assert from_edge[wide].min() > 2


def test_only_masked_pixels_are_lifted():
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[8:41, 8:40] = True
    splats = lifted(torch.full((SIZE, SIZE, 3), 0.4), torch.full((SIZE, SIZE), 2.0), mask)
    x, y = (splats.means[:, :2] / 2 * 60 + SIZE / 2).unbind(-1)
    assert ((x > 8) & (x < 40) & (y > 8) & (y < 41)).all()
    assert 32 * 33 / 16 <= len(splats) < 32 * 33 / 3
