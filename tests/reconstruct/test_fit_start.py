"""The first splats: stereo over photos of a known wall, and clouds thinned out."""

import numpy as np
import pytest
import torch

from cosmorama.reconstruct.cameras import Cameras, look_at, pinhole_intrinsics
from cosmorama.reconstruct.captures import Capture, SparseCloud
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.fit import FitConfig, fit_capture, splats_from_points, splats_from_views
from cosmorama.reconstruct.fit.initialise import neighbour_distance
from cosmorama.reconstruct.fit.stereo import choose_neighbours, stereo_depths, viewing_distance
from cosmorama.reconstruct.fit.stereo import lookup as stereo_lookup
from cosmorama.reconstruct.rasterize.cpu import simd
from cosmorama.reconstruct.rasterize.cpu.parallel import kernel
from cosmorama.reconstruct.views import Views, as_bytes

WIDTH, HEIGHT = 96, 72


def texture(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Enough detail to be matched, without repeating."""
    g = torch.Generator().manual_seed(0)
    total = torch.zeros(*x.shape, 3)
    for _ in range(24):
        fx, fy, phase = (torch.randn(3, generator=g) * 5).tolist()
        total += torch.sin(fx * x + fy * y + phase)[..., None] * torch.rand(3, generator=g)
    return (0.5 + total / 14).clamp(0, 1)


def photos(count: int = 7) -> tuple[Views, torch.Tensor]:
    """Photos of a wall at z = 3 with a box in front of it at z = 2; and their depths."""
    offsets = torch.linspace(-0.6, 0.6, count)
    positions = torch.stack([offsets, 0.3 * torch.sin(5 * offsets), torch.zeros(count)], dim=-1)
    poses = look_at(positions, torch.tensor([0.0, 0, 3]).expand(count, 3))
    cameras = Cameras(poses, pinhole_intrinsics(90, WIDTH, HEIGHT).repeat(count, 1, 1), WIDTH, HEIGHT)
    origins, directions = cameras.rays()
    hits = {z: origins + ((z - origins[..., 2:]) / directions[..., 2:]) * directions for z in (2.0, 3.0)}
    box = (hits[2.0][..., :2].abs() < 0.35).all(-1)
    images = torch.where(
        box[..., None],
        texture(1.7 * hits[2.0][..., 0] + 5, hits[2.0][..., 1]),
        texture(*hits[3.0][..., :2].unbind(-1)),
    )
    depth = torch.where(
        box, (2 - origins[..., 2]) / directions[..., 2], (3 - origins[..., 2]) / directions[..., 2]
    )
    return Views(cameras, as_bytes(images)), depth


def test_stereo_finds_the_depths():
    views, truth = photos()
    maps = stereo_depths(views.cameras, views.images.float() / 255)
    assert maps.consistent.float().mean() > 0.6
    error = ((maps.depth - truth).abs() / truth)[maps.consistent]
    assert error.median() < 0.01
    assert (error < 0.05).float().mean() > 0.97


def test_stereo_follows_a_slanted_floor():
    height, width = 72, 96
    positions = torch.tensor([[x, -1.0, z] for x in (-0.5, 0.0, 0.5) for z in (-0.4, 0.0, 0.4)])
    poses = look_at(positions, torch.tensor([0.0, 0, 2.5]).expand(9, 3))
    cameras = Cameras(poses, pinhole_intrinsics(80, width, height).repeat(9, 1, 1), width, height)
    origins, directions = cameras.rays()
    distance = -origins[..., 1] / directions[..., 1]
    seen = (directions[..., 1] > 0) & (distance < 8)
    floor = origins + distance[..., None] * directions
    images = torch.where(seen[..., None], texture(2 * floor[..., 0], 2 * floor[..., 2]), torch.tensor(0.5))
    maps = stereo_depths(cameras, images)
    known = maps.consistent & seen
    assert known.float().sum() / seen.float().sum() > 0.5
    error = (maps.depth - distance).abs() / distance
    assert error[known].median() < 0.01
    assert (error[known] < 0.05).float().mean() > 0.95


def test_lookup_is_bilinear():
    image = torch.rand(7, 9, generator=torch.Generator().manual_seed(0))
    points = torch.rand(16, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([7.999, 5.999])
    found = np.zeros(16, np.float32)
    _look_up(image.numpy(), *(p.contiguous().numpy() for p in points.T), found)
    expected = stereo_lookup(image, points + 0.5)
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-6)


@kernel
def _look_up(image, x, y, found):
    simd.store(found, 0, simd.lookup(image, image.shape[1], simd.load(x, 0), simd.load(y, 0)))


def test_first_splats_lie_on_the_surfaces():
    views, _ = photos()
    splats = splats_from_views(views, count=1500)
    assert 500 < len(splats) <= 1500
    z = splats.means[:, 2]
    off = torch.minimum((z - 2).abs(), (z - 3).abs())
    assert off.median() < 0.015
    assert (off < 0.15).float().mean() > 0.9
    assert ((z - 2).abs() < 0.1).float().mean() > 0.05


def test_nothing_is_put_where_photos_were_cut_out():
    views, depth = photos()
    white = torch.where((depth > 2.4)[..., None], torch.tensor(255, dtype=torch.uint8), views.images)
    cut_out = Views(views.cameras, white)
    splats = splats_from_views(cut_out, count=800, background=(1.0, 1.0, 1.0))
    assert ((splats.means[:, 2] - 2).abs() < 0.2).float().mean() > 0.95
    assert (splats.means[:, :2].abs() < 0.5).float().mean() > 0.95


def test_cold_start_fits_held_out_photos():
    views, _ = photos(9)
    config = FitConfig(iterations=60, sh_degree=0)
    fit = fit_capture(Capture(views, [str(i) for i in range(9)]), config, first_splats=1500, hold_out_every=4)
    assert fit.scores is not None
    assert len(fit.train) == 6
    assert len(fit.held_out) == 3
    assert fit.scores.psnr > 20
    assert fit.scores.ssim > 0.6


def test_viewing_distance_and_neighbours():
    views, _ = photos()
    distance = viewing_distance(views.cameras)
    assert distance == pytest.approx(3, rel=0.1)
    chosen = choose_neighbours(views.cameras, distance, 3)
    assert chosen.shape == (7, 3)
    assert not (chosen == torch.arange(7)[:, None]).any()
    outwards = views.cameras.world_from_cam.clone()
    outwards[:, :3, :3] = torch.eye(3)
    parallel = viewing_distance(Cameras(outwards, views.cameras.intrinsics, WIDTH, HEIGHT))
    assert 0.5 < parallel < 5


def test_photos_that_do_not_match_are_refused():
    views, _ = photos(4)
    noise = Views(views.cameras, torch.full_like(views.images, 128))
    with pytest.raises(InputError, match="do not match"):
        splats_from_views(noise, count=100)
    with pytest.raises(InputError, match="2 photos are too few"):
        splats_from_views(views[[0, 1]], count=100)


def test_clouds_are_thinned_out_evenly():
    g = torch.Generator().manual_seed(0)
    points = torch.rand(20_000, 3, generator=g)
    splats = splats_from_points(points, points, count=1000)
    assert 600 < len(splats) <= 1000
    torch.testing.assert_close(splats.sh[:, 0] * 0.28209479 + 0.5, splats.means, atol=1e-5, rtol=0)
    kept = splats_from_points(points[:50], points[:50], count=1000)
    assert torch.equal(kept.means, points[:50])


def test_neighbour_distance_is_a_slow_loops():
    points = torch.rand(40, 3)
    expected = []
    for i in range(40):
        others = sorted(float((points[i] - points[j]).norm()) for j in range(40) if j != i)[:3]
        expected.append((sum(d * d for d in others) / 3) ** 0.5)
    torch.testing.assert_close(neighbour_distance(points), torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_start_from_the_cloud_or_say_that_there_is_none():
    views, _ = photos(4)
    capture = Capture(views, ["a", "b", "c", "d"])
    with pytest.raises(InputError, match="no sparse cloud"):
        fit_capture(capture, FitConfig(iterations=1), start="cloud")
    cloud = SparseCloud(torch.rand(30, 3) + torch.tensor([-0.5, -0.5, 2.5]), torch.rand(30, 3))
    fit = fit_capture(
        Capture(views, ["a", "b", "c", "d"], cloud), FitConfig(iterations=1), start="cloud", hold_out_every=0
    )
    assert len(fit.result.gaussians) == 30
    assert fit.scores is None
