"""Depth edges at the photo's edges, without stray pixels."""

import torch

from cosmorama.pipeline.depth import FAR_DEPTH_M
from cosmorama.pipeline.depth.random_walker import walk_to_sides
from cosmorama.pipeline.depth.silhouettes import align_depth, settle_depth
from cosmorama.pipeline.depth.sky import without_islands

H, W = 40, 60
GREEN, RED = torch.tensor([0.1, 0.7, 0.2]), torch.tensor([0.8, 0.1, 0.1])


def _box() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Depth of a red box before a green wall, the photo, and where the box is."""
    box = torch.zeros(H, W, dtype=torch.bool)
    box[10:30, 20:40] = True
    photo = torch.where(box[..., None], RED, GREEN)
    return torch.where(box, 1.0, 3.0), photo, box


def test_stray_pixels_beside_an_edge_go_with_their_kind() -> None:
    depth, photo, _ = _box()
    spoilt = depth.clone()
    spoilt[12:28:4, 42] = 1.0
    spoilt[12:28:4, 37] = 3.0
    assert torch.equal(settle_depth(spoilt, photo), depth)


def test_thin_things_of_their_own_colour_stay() -> None:
    depth, photo, _ = _box()
    depth[:10, 30], photo[:10, 30] = 1.0, RED  # a pole, a pixel wide
    assert torch.equal(settle_depth(depth, photo), depth)


def test_a_gleam_on_a_rim_stays_with_what_gleams_and_a_pole_stays() -> None:
    depth, photo, _ = (v.repeat_interleave(4, 0).repeat_interleave(4, 1) for v in _box())
    depth[:40, 90:93], photo[:40, 90:93] = 1.0, RED
    photo[60:100, 154:157] = GREEN + 0.1  # beside the box's right edge, more like the wall than like the box
    frayed = depth.clone()
    frayed[60:100, 154:157] = 3.0
    frayed[60:100:3, 157:160] = 3.0
    settled = walk_to_sides(frayed, depth, photo, radius=6)
    assert (frayed != depth).sum() > 150
    assert torch.equal(settled, depth)


def test_in_doubt_a_pixel_goes_with_the_thing_in_front() -> None:
    depth, photo, _ = (v.repeat_interleave(4, 0).repeat_interleave(4, 1) for v in _box())
    photo[40:120, 160:162] = torch.tensor(
        [0.5, 0.4, 0.9]
    )  # a rim like neither, half-way up the network's ramp
    smooth = depth.clone()
    smooth[40:120, 160:162] = 1 / (0.9 * 1.0 + 0.1 / 3)
    settled = walk_to_sides(depth, smooth, photo, radius=6)
    assert (settled[44:116, 160:162] == 1.0).all()
    assert torch.equal(settled[:, 166:], depth[:, 166:])


def test_where_there_is_a_third_side_nothing_is_settled() -> None:
    depth, photo, _ = _box()
    depth[:, 40:50] = 1.5
    frayed = depth.clone()
    frayed[12:28:4, 39] = 3.0
    assert torch.equal(walk_to_sides(frayed, depth, photo, radius=6), frayed)


def test_away_from_edges_nothing_changes() -> None:
    depth = torch.linspace(2, 4, W).expand(H, W).contiguous()
    assert torch.equal(settle_depth(depth, torch.rand(H, W, 3)), depth)


def test_a_misplaced_silhouette_moves_to_the_photo_s_edge_and_the_sky_stays_far() -> None:
    depth, photo, box = (v.repeat_interleave(4, 0).repeat_interleave(4, 1) for v in _box())
    sky = torch.zeros_like(box)
    sky[:16] = True
    photo[sky] = torch.tensor([0.9, 0.9, 1.0])
    misplaced = depth.roll(3, 1)
    aligned = align_depth(misplaced, photo, far=sky)
    assert (aligned[sky] == FAR_DEPTH_M).all()

    def wrong(candidate: torch.Tensor) -> int:
        return int(((candidate < 1.7) != box)[40:].sum())

    assert wrong(misplaced) == 6 * 80
    assert wrong(aligned) < 0.1 * 6 * 80


def test_a_soft_step_is_closed_and_what_is_inside_stays_whole() -> None:
    depth, photo, box = (v.repeat_interleave(4, 0).repeat_interleave(4, 1) for v in _box())
    photo[70:80, 100:140] = GREEN  # a stripe on the box in the wall's colour
    blurred = torch.nn.functional.avg_pool2d(depth[None, None], 5, 1, 2, count_include_pad=False)[0, 0]
    aligned = align_depth(blurred, photo, far=torch.zeros_like(box))
    assert ((aligned / depth).log().abs() > 0.05).float().mean() < 0.005
    assert (aligned[70:80, 100:140] < 1.05).all()


def test_a_small_piece_of_sky_inside_a_thing_gets_the_thing_s_depth() -> None:
    depth, _, box = _box()
    sky = torch.zeros_like(box)
    sky[:6] = True
    sky[15:18, 30:33] = True
    spoilt = torch.where(sky, FAR_DEPTH_M, depth)
    mended, far = without_islands(spoilt, sky)
    assert far[:6].all()
    assert not far[6:].any()
    assert torch.allclose(mended[15:18, 30:33], torch.tensor(1.0))
    assert torch.equal(mended[far], spoilt[far])


def test_a_picture_of_nothing_but_sky_stays_sky() -> None:
    depth, sky = torch.full((H, W), FAR_DEPTH_M), torch.ones(H, W, dtype=torch.bool)
    assert without_islands(depth, sky)[1].all()
