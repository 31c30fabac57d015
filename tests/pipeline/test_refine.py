"""Close-ups of the photo for the last stage."""

import torch

from cosmorama.pipeline.photo import Photo
from cosmorama.pipeline.refine import close_ups


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
