"""What a wider lens shows around a photo."""

import torch
from told_depth import ToldDepth

from cosmorama.pipeline.depth import FAR_DEPTH_M
from cosmorama.pipeline.growth import frame
from cosmorama.pipeline.growth.frame import grow_frame
from cosmorama.pipeline.growth.pieces import show
from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.mesh.grid import DepthPicture
from cosmorama.reconstruct.rasterize import rasterize

W, H = 96, 64
HOME = Cameras(torch.eye(4)[None], pinhole_intrinsics(90.0, W, H)[None], W, H)
DOWN, ACROSS = (round(frame.MARGIN * side) for side in (H, W))
INSIDE = (slice(DOWN, DOWN + H), slice(ACROSS, ACROSS + W))


def photo_of(image: torch.Tensor, depth: torch.Tensor) -> DepthPicture:
    return DepthPicture(image, depth, HOME, torch.ones(H, W, dtype=torch.bool))


def wall(depth: float = 3.0) -> DepthPicture:
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    stripes = 0.5 + 0.3 * torch.sin((columns + 0.5 * rows) * (2 * torch.pi / 9))
    return photo_of(stripes[..., None].expand(H, W, 3).contiguous(), torch.full((H, W), depth))


def grown(photo: DepthPicture, estimator: ToldDepth):
    surface = lift(photo.image, photo.depth, HOME)
    return grow_frame(surface, photo, estimator)


def test_a_wider_lens_sees_no_void_and_the_photo_stays():
    photo = wall()
    estimator = ToldDepth(3.0)
    growth = grown(photo, estimator)
    (piece,) = growth.pieces
    assert torch.equal(piece.image[INSIDE], photo.image)
    assert not piece.mask[INSIDE].any()
    assert piece.mask.sum() == piece.mask.numel() - H * W
    assert len(growth.gaussians) == piece.mask.numel()
    assert show(growth.gaussians, piece.camera)[0].known.all()
    assert piece.image[piece.mask].std() > 0.15  # stripes go on, where a filling alone would be grey
    assert estimator.calls[0][1] == HOME.intrinsics[0, 0, 0]
    assert torch.equal(estimator.calls[0][0], piece.image)


def test_its_views_are_its_corners_at_the_photos_size():
    growth = grown(wall(), ToldDepth(3.0))
    assert growth.images.shape == (4, H, W, 3)
    shown = rasterize(growth.gaussians, growth.cameras).color
    error, of_others = ((x - growth.images).abs().mean() for x in (shown, shown.flip(0)))
    assert error < 0.1  # stripes are blurred a little before splats are fitted
    assert of_others > 2 * error
    assert torch.equal(growth.support[0][:DOWN], torch.zeros(DOWN, W))
    assert torch.equal(growth.support[3][: H - DOWN, : W - ACROSS], torch.ones(H - DOWN, W - ACROSS))


def test_depth_goes_on_from_the_photos():
    """The estimate of the wider picture is a third too small on the left and right on the right."""
    size = (H + 2 * DOWN, W + 2 * ACROSS)
    factor = torch.linspace(0.67, 1.0, W)
    factor = torch.cat([factor[:1].expand(ACROSS), factor, factor[-1:].expand(ACROSS)])
    growth = grown(wall(), ToldDepth(3.0 * factor.expand(size)))
    # one factor for all would be wrong by a fifth at both sides
    assert torch.allclose(growth.pieces[0].depth, torch.tensor(3.0), rtol=0.11)


def test_sky_stays_sky_and_nothing_is_scaled_by_it():
    photo = wall()
    photo.depth[: H // 2] = FAR_DEPTH_M
    size = (H + 2 * DOWN, W + 2 * ACROSS)
    depth, far = torch.full(size, 2.0), torch.zeros(size, dtype=torch.bool)
    depth[: DOWN + H // 2], far[: DOWN + H // 2] = FAR_DEPTH_M, True
    piece = grown(photo, ToldDepth(depth, far)).pieces[0]
    assert (piece.depth[: DOWN + H // 2 - 4] == FAR_DEPTH_M).all()
    assert torch.allclose(piece.depth[DOWN + H // 2 + 4 :], torch.tensor(3.0), rtol=0.02)


def test_the_rims_of_things_before_the_sky_are_where_the_things_are():
    photo, size = wall(), (H + 2 * DOWN, W + 2 * ACROSS)
    told = torch.full(size, 2.0)  # two thirds of what is known
    told[: DOWN // 2] = FAR_DEPTH_M
    piece = grown(photo, ToldDepth(told, told == FAR_DEPTH_M)).pieces[0]
    solid = piece.depth < FAR_DEPTH_M
    assert bool(solid[DOWN // 2 - 1].all())  # the last pixels before the sky, which are mixed
    assert torch.allclose(piece.depth[solid], torch.tensor(3.0), rtol=0.02)


def test_of_sky_alone_there_is_a_frame_too():
    photo = wall(FAR_DEPTH_M)
    size = (H + 2 * DOWN, W + 2 * ACROSS)
    piece = grown(photo, ToldDepth(FAR_DEPTH_M, torch.ones(size, dtype=torch.bool))).pieces[0]
    assert (piece.depth == FAR_DEPTH_M).all()


def test_what_the_photos_edge_cuts_off_goes_on():
    """A box at the photo's left edge; nobody takes it for something before the wall that ends there."""
    box = (slice(20, 48), slice(0, 30))
    depth, image = torch.full((H, W), 3.0), torch.zeros(H, W, 3)
    depth[box], image[..., 2], image[box] = 1.5, 0.8, torch.tensor([0.9, 0.1, 0.1])
    told = torch.full((H + 2 * DOWN, W + 2 * ACROSS), 3.0)
    told[DOWN + 20 : DOWN + 48, : ACROSS + 30] = 1.5
    piece = grown(photo_of(image, depth), ToldDepth(told)).pieces[0]
    left = (slice(DOWN + 28, DOWN + 40), slice(0, ACROSS))
    assert (piece.image[left] - torch.tensor([0.9, 0.1, 0.1])).abs().mean() < 0.1
    assert torch.allclose(piece.depth[left], torch.tensor(1.5), rtol=0.04)
