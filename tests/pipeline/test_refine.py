"""The last stage of a scene, and the close-ups of the photo that it shows."""

import torch

from cosmorama.pipeline.generators.inpaint import InpaintGenerator
from cosmorama.pipeline.growth.grow import grow
from cosmorama.pipeline.photo import Photo
from cosmorama.pipeline.presets import PRESETS
from cosmorama.pipeline.refine import close_ups, refine
from cosmorama.pipeline.trajectories import plan_trajectory, reach_of
from cosmorama.pipeline.watch import Nobody
from cosmorama.reconstruct.cameras import cat_cameras
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.mesh.grid import DepthPicture
from cosmorama.reconstruct.rasterize import rasterize


def test_close_ups_see_what_the_photo_sees_at_twice_the_size():
    torch.manual_seed(0)
    smooth = torch.rand(1, 3, 4, 6)
    image = torch.nn.functional.interpolate(smooth, (32, 48), mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)
    photo = Photo(image, focal_px=40.0, focal_source="given", original_size=(48, 32))
    intrinsics = photo.camera.intrinsics
    cameras, quarters = close_ups(photo)
    assert quarters.shape == (4, 32, 48, 3)
    assert (cameras.world_from_cam == photo.camera.world_from_cam).all()
    for quarter, k in zip(quarters, cameras.intrinsics, strict=True):
        rows, columns = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(48) + 0.5, indexing="ij")
        rays_x, rays_y = (columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1]
        x = rays_x * intrinsics[0, 0, 0] + intrinsics[0, 0, 2]
        y = rays_y * intrinsics[0, 1, 1] + intrinsics[0, 1, 2]
        grid = torch.stack([2 * x / 48 - 1, 2 * y / 32 - 1], dim=-1)[None]
        seen = torch.nn.functional.grid_sample(
            image.permute(2, 0, 1)[None], grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        assert (seen[0].permute(1, 2, 0) - quarter).abs().max() < 0.06


def test_the_steps_of_a_draft_bring_photo_and_close_ups_nearer_and_explain_the_views():
    torch.manual_seed(0)
    noise = torch.rand(1, 3, 16, 24) + torch.nn.functional.interpolate(torch.rand(1, 3, 4, 6), (16, 24))
    picture = torch.nn.functional.interpolate(noise / 2, (64, 96), mode="bicubic")[0].permute(1, 2, 0)
    photo = Photo(picture.clamp(0, 1), focal_px=90.0, focal_source="given", original_size=(96, 64))
    depth = torch.full((64, 96), 3.0)
    depth[20:48, 30:66] = 1.5
    shown = DepthPicture(photo.image, depth, photo.camera, torch.ones_like(depth, dtype=torch.bool))
    path = plan_trajectory("orbit", photo.camera, reach_of(depth), 4)[[1, 3]]
    growth = grow(lift(photo.image, depth, photo.camera), shown, path, InpaintGenerator(), seed=0)
    after = refine(growth, photo, PRESETS["draft"].iterations, 0, Nobody(), lambda *_, **__: None)
    close, quarters = close_ups(photo)
    cameras = cat_cameras([photo.camera, close, growth.cameras])
    images = torch.cat([photo.image[None], quarters, growth.images])
    psnr = [
        -10 * torch.log10((rasterize(g, cameras).color - images).square().mean((1, 2, 3)))
        for g in (growth.gaussians, after)
    ]
    assert psnr[1][0] > psnr[0][0] + 3
    assert psnr[1][1:5].mean() > psnr[0][1:5].mean() + 1
    assert psnr[1][5:].min() > 26
