"""Repeatability of the CPU kernels, and agreement with gsplat where it runs."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from cosmorama.reconstruct.cameras import Cameras, look_at, pinhole_intrinsics
from cosmorama.reconstruct.gaussians import Gaussians
from cosmorama.reconstruct.rasterize import rasterize, reference
from cosmorama.reconstruct.rasterize.gsplat_backend import median_of_hits


def _scene(device="cpu", n=2000, width=75, height=61):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    gaussians = Gaussians(
        normal(n, 3), normal(n, 4), normal(n, 3) * 0.5 - 2.5, normal(n) * 2, normal(n, 16, 3) * 0.3
    )
    position = torch.tensor([[0.3, -0.2, -4.0], [-1.0, 0.5, -3.5]])
    intrinsics = pinhole_intrinsics(60.0, width, height).repeat(2, 1, 1)
    return gaussians.to(device), Cameras(
        look_at(position, torch.zeros_like(position)), intrinsics, width, height
    ).to(device)


def _everything(gaussians, cameras, **options):
    leaves = {name: value.detach().clone().requires_grad_() for name, value in gaussians.tensors().items()}
    poses = cameras.world_from_cam.clone().requires_grad_()
    views = Cameras(poses, cameras.intrinsics, cameras.width, cameras.height)
    features = torch.linspace(0, 1, 2 * len(gaussians), device=poses.device).view(-1, 2)
    images = rasterize(Gaussians(**leaves), views, features=features, **options)
    images.info["means2d"].retain_grad()
    loss = (images.color**2).sum() + images.alpha.sum() + images.depth.sum() + images.features.sum()
    loss.backward()
    values = [images.color, images.alpha, images.depth, images.median_depth, images.features]
    return [*values, *(leaf.grad for leaf in leaves.values()), poses.grad, images.info["means2d"].grad]


def test_same_bits_for_any_number_of_threads_and_every_call():
    scene, before = _scene(), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            results.append(_everything(*scene))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_several_threads_may_render_at_once():
    scene = _scene()
    alone = rasterize(*scene).color
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: rasterize(*scene).color, range(8)))
    assert all(torch.equal(alone, image) for image in images)


def test_a_forked_process_can_render():
    scene = _scene()
    alone = rasterize(*scene).alpha.sum().item()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(2)
        os.write(writer, repr(rasterize(*scene).alpha.sum().item()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert float(os.read(reader, 100)) == pytest.approx(alone, rel=1e-5)


def test_a_second_process_does_not_compile():
    rasterize(*_scene())
    script = """
import torch
from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.gaussians import gaussians_from_points
from cosmorama.reconstruct.rasterize import rasterize
from cosmorama.reconstruct.rasterize.cpu import blend, projection, tiles
import cosmorama.reconstruct.rasterize.cpu.autograd
kernels = [projection.project, tiles.count_pairs, tiles.append_pairs, tiles.sort_tiles, blend.blend]
assert not any(kernel.signatures for kernel in kernels), "importing compiles"
splats = gaussians_from_points(torch.rand(5, 3) + torch.tensor([0, 0, 1]), torch.rand(5, 3), torch.ones(5))
rasterize(splats, Cameras(torch.eye(4)[None], pinhole_intrinsics(9, 9, 9)[None], 9, 9))
assert not any(kernel.stats.cache_misses for kernel in kernels), "the cache is not used"
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_projection_agrees_with_gsplat():
    from gsplat.cuda._torch_impl import _fully_fused_projection

    gaussians, cameras = _scene()
    exact = Gaussians(**{name: value.double() for name, value in gaussians.tensors().items()})
    views = Cameras(
        cameras.world_from_cam.double(), cameras.intrinsics.double(), cameras.width, cameras.height
    )
    ours = reference.project(exact, views)
    compensated = reference.project(exact, views, antialiased=True)
    radii, means2d, depths, conics, compensations = _fully_fused_projection(
        exact.means,
        exact.covariances,
        views.cam_from_world,
        views.intrinsics,
        75,
        61,
        calc_compensations=True,
    )
    seen = ours.visible
    assert 1000 < seen.sum() < seen.numel()
    assert ((radii > 0).all(-1) | ~seen).all()
    torch.testing.assert_close(ours.means2d[seen], means2d[seen])
    torch.testing.assert_close(ours.depths[seen], depths[seen])
    torch.testing.assert_close(ours.conics[seen], conics[seen])
    opaque = exact.opacities.expand_as(depths)
    torch.testing.assert_close(compensated.opacities[seen], (opaque * compensations)[seen])
    info = rasterize(gaussians, cameras).info
    torch.testing.assert_close(info["means2d"][seen].double(), means2d[seen], rtol=1e-5, atol=1e-4)
    assert ((info["radii"] > 0).all(-1) == seen).float().mean() > 0.999


def test_gsplats_strategy_reads_the_info():
    from gsplat import DefaultStrategy

    gaussians, cameras = _scene()
    names = ("means", "quats", "scales", "opacities", "sh")
    params = dict(zip(names, (torch.nn.Parameter(value) for value in gaussians.tensors().values())))
    optimizers = {name: torch.optim.Adam([value]) for name, value in params.items()}
    for absgrad in (False, True):
        strategy = DefaultStrategy(absgrad=absgrad)
        state = strategy.initialize_state()
        images = rasterize(Gaussians(*params.values()), cameras, absgrad=absgrad)
        strategy.step_pre_backward(params, optimizers, state, 1, images.info)
        images.color.sum().backward()
        strategy.step_post_backward(params, optimizers, state, 1, images.info)
        seen = (images.info["radii"] > 0).all(-1).sum(0)
        assert torch.equal(state["count"], seen.float())
        assert (state["grad2d"][seen > 0] > 0).float().mean() > 0.5


def test_median_of_hits():
    alpha = torch.tensor([0.3, 0.3, 0.3, 0.9, 0.2, 0.5, 0.5])
    depth = torch.arange(1.0, 8.0)
    pixel = torch.tensor([1, 1, 1, 3, 4, 5, 5])
    assert median_of_hits(alpha, depth, pixel, 7).tolist() == [0, 2, 0, 4, 0, 6, 0]
    assert median_of_hits(alpha[:0], depth[:0], pixel[:0], 2).tolist() == [0, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="gsplat rasterizes on CUDA only")
@pytest.mark.parametrize("antialiased", [False, True])
def test_gsplat_agrees_with_the_cpu(antialiased):
    """Splats at the thresholds may differ between float32 implementations, so a few pixels are allowed to."""
    cpu = _everything(*_scene(), antialiased=antialiased)
    gpu = _everything(*_scene("cuda"), antialiased=antialiased)
    for ours, theirs in zip(cpu, gpu):
        scale = float(ours.abs().max())
        close = (ours - theirs.cpu()).abs() <= 1e-3 * scale
        assert close.float().mean() > 0.999
