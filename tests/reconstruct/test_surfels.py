"""Splats as discs: their common plane, and losses that make discs of them."""

from dataclasses import replace

import known_scene as known
import torch

from cosmorama.reconstruct.fit import FitConfig, fit_gaussians
from cosmorama.reconstruct.fit.config import SurfaceLosses
from cosmorama.reconstruct.fit.surface import flatness_loss, surface_loss
from cosmorama.reconstruct.rasterize import rasterize
from cosmorama.reconstruct.surfels import (
    disc_normals,
    normals_from_depth,
    surface_features,
    surface_maps,
)

CAMERA = known.cameras(24, 96, 72)[3]


def _maps(splats):
    seen = rasterize(splats, CAMERA, features=surface_features(splats, CAMERA))
    return surface_maps(seen.features[0], seen.alpha[0], seen.depth[0], CAMERA), seen


def test_discs_face_the_way_of_the_surface():
    points, normals = known.surface_points(15_000, torch.Generator().manual_seed(0))
    splats = known.exact_splats(15_000)
    torch.testing.assert_close(splats.means, points)
    assert float((disc_normals(splats) * normals).sum(-1).abs().min()) > 0.999


def test_plane_depth_and_its_normals_are_true():
    maps, seen = _maps(known.exact_splats(15_000))
    _, truth = known.photos(CAMERA, samples=1)
    plane_error, median_error = ((d - truth[0]).abs().median() for d in (maps.depth, seen.median_depth[0]))
    assert float(plane_error) < 0.4 * float(median_error)
    by_truth = normals_from_depth(truth[0], CAMERA)
    smooth = by_truth.norm(dim=-1) > 0.5
    assert float((maps.normals * by_truth).sum(-1)[smooth].median()) > 0.98
    assert float((normals_from_depth(maps.depth, CAMERA) * by_truth).sum(-1)[smooth].median()) > 0.98


def test_what_lies_before_the_surface_counts_as_distortion():
    splats = known.exact_splats(15_000)
    towards = CAMERA.positions[0] - splats.means
    scattered = replace(splats, means=splats.means + torch.rand(len(splats), 1) * 0.3 * towards)
    assert float(_maps(scattered)[0].variance.median()) > 3 * float(_maps(splats)[0].variance.median())


def test_gradient_of_the_losses_points_the_right_way():
    splats = known.exact_splats(4000)
    tilted = splats.quats + 0.2 * torch.randn_like(splats.quats)
    quats, log_scales = tilted.requires_grad_(), (splats.log_scales + 0.0).requires_grad_()
    made = replace(splats, quats=quats, log_scales=log_scales)

    def loss(with_quats):
        changed = replace(made, quats=with_quats)
        seen = rasterize(changed, CAMERA, features=surface_features(changed, CAMERA))
        return surface_loss(changed, seen, CAMERA, SurfaceLosses(normal=1.0), 1.0)

    before = loss(quats)
    before.backward()
    assert quats.grad is not None
    step = 1e-3 * quats.grad / quats.grad.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    with torch.no_grad():
        assert float(loss(quats - step)) < float(before)


def test_fitting_with_the_losses_gives_discs():
    splats = known.exact_splats(1500)
    ball = replace(splats, log_scales=splats.log_scales.amax(1, keepdim=True).expand(-1, 3).contiguous())
    views = known.cameras(24, 96, 72)[[9, 12]]
    images, _ = known.photos(views, samples=1)
    config = FitConfig(iterations=40, surface=SurfaceLosses(start=0.5), sh_degree=0)
    flat = fit_gaussians(ball, views, images, config=config).gaussians
    plain = fit_gaussians(ball, views, images, config=replace(config, surface=None)).gaussians
    assert float(flatness_loss(flat, 0.1)) < 0.97 * float(flatness_loss(plain, 0.1))
