import torch

from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.depth_completion import background_support, complete_depth
from cosmorama.reconstruct.depth_edges import depth_edges, sharpen_depth, widen_foreground
from cosmorama.reconstruct.gaussians import rotation_from_wxyz
from cosmorama.reconstruct.lift import MAX_STRETCH, SIGMA_PX, lift
from cosmorama.reconstruct.rasterize import rasterize

W, H, FOCAL = 64, 48, 60.0
CAMERA = Cameras(torch.eye(4)[None], pinhole_intrinsics(FOCAL, W, H)[None], W, H)


def box_before_wall() -> tuple[torch.Tensor, torch.Tensor]:
    """A red box 1 m away before a blue wall 3 m away."""
    depth = torch.full((H, W), 3.0)
    depth[14:34, 20:44] = 1.0
    image = torch.zeros(H, W, 3)
    image[..., 2] = 0.8
    image[14:34, 20:44] = torch.tensor([0.9, 0.1, 0.1])
    return image, depth


def floor() -> torch.Tensor:
    """Depth of a plane 1.5 m below a camera that looks down on it a little."""
    _, directions = CAMERA.rays()
    normal = torch.tensor([0.0, -0.9, -0.43588989])
    return (-1.5 / (directions[0] @ normal)).abs()


def test_splats_show_the_picture_from_its_own_camera():
    image, depth = box_before_wall()
    seen = rasterize(lift(image, depth, CAMERA), CAMERA)
    assert seen.alpha[0, 2:-2, 2:-2].min() > 0.97
    inner = torch.ones(H, W, dtype=torch.bool)
    inner[10:38, 16:48] = False
    inner[17:31, 23:41] = True
    inner[[0, 1, -2, -1]] = inner[:, [0, 1, -2, -1]] = False
    assert (seen.color[0] - image)[inner].abs().max() < 0.05
    assert (seen.depth[0] - depth)[inner].abs().max() < 0.05


def test_nothing_spans_a_depth_edge():
    image, depth = box_before_wall()
    splats = lift(image, depth, CAMERA)
    assert set(splats.means[:, 2].round(decimals=4).tolist()) == {1.0, 3.0}
    footprint = SIGMA_PX * splats.means[:, 2] / FOCAL
    assert (splats.scales.amax(-1) <= 1.3 * footprint).all()


def test_from_the_side_there_is_a_gap_not_rubber():
    image, depth = box_before_wall()
    splats = lift(image, depth, CAMERA)
    pose = torch.eye(4)
    pose[0, 3] = 0.5
    seen = rasterize(splats, Cameras(pose[None], CAMERA.intrinsics, W, H))
    depths = seen.median_depth[0][seen.alpha[0] > 0.9]
    between = (depths > 1.1) & (depths < 2.9)
    assert between.float().mean() < 0.005
    assert (seen.alpha[0] < 0.2).any()  # what the box hid is not known yet


def test_discs_lie_on_the_surface_they_show():
    splats = lift(torch.rand(H, W, 3), floor(), CAMERA)
    normals = rotation_from_wxyz(splats.quats)[:, :, 2]
    assert ((normals @ torch.tensor([0.0, -0.9, -0.43588989])).abs() > 0.98).float().mean() > 0.95
    ratio = splats.scales.amax(-1) / splats.scales[:, 1]
    assert ratio.max() <= MAX_STRETCH * 1.001


def test_mask_selects_pixels():
    image, depth = box_before_wall()
    mask = torch.rand(H, W) > 0.5
    splats = lift(image, depth, CAMERA, mask=mask)
    assert len(splats) == mask.sum()
    assert torch.allclose(splats.means, CAMERA.unproject(depth[None])[0][mask])


def test_edges_are_found_at_steps_and_not_on_slopes():
    _, depth = box_before_wall()
    edges = depth_edges(depth)
    assert edges[14, 25]
    assert edges[13, 25]
    assert not edges[5, 5]
    assert not depth_edges(floor()).any()


def test_sharpening_closes_ramps_where_the_colour_changes():
    image, depth = box_before_wall()
    blurred = torch.nn.functional.avg_pool2d(depth[None, None], 5, 1, 2, count_include_pad=False)[0, 0]
    assert ((blurred > 1.1) & (blurred < 2.9)).sum() > 300
    sharp = sharpen_depth(blurred, image)
    wrong = (sharp / depth).log().abs() > 0.1
    assert wrong.float().mean() < 0.01


def test_sharpening_leaves_slopes_alone():
    depth = floor()
    assert torch.allclose(sharpen_depth(depth, torch.rand(H, W, 3)), depth)


def test_holes_are_filled_from_behind():
    _, depth = box_before_wall()
    known = torch.ones(H, W, dtype=torch.bool)
    known[14:34, 44:52] = False  # the strip that a step to the left would uncover beside the box
    support = background_support(depth, known)
    assert not support[20:28, 40:44].any()  # the box's rim is on the near side
    filled = complete_depth(depth, known, support)
    assert torch.allclose(filled[~known], torch.tensor(3.0), rtol=0.08)
    assert torch.equal(filled[known], depth[known])


def test_inverse_depth_of_a_plane_goes_on_smoothly():
    depth = floor()
    known = torch.ones(H, W, dtype=torch.bool)
    known[20:28, 30:36] = False
    filled = complete_depth(depth, known, known)
    assert ((filled / depth)[~known].log().abs() < 0.03).all()


def test_depth_goes_on_to_the_far_corner_of_a_wide_margin():
    known = torch.zeros(88, 134, dtype=torch.bool)
    known[12:76, 19:115] = True
    filled = complete_depth(torch.where(known, 3.0, 0.0), known, known)
    assert torch.allclose(filled, torch.tensor(3.0))


def test_a_silhouette_s_mixed_pixels_go_with_the_foreground() -> None:
    _, depth = box_before_wall()
    wide = widen_foreground(depth, pixels=2)
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    away = (20 - x).clamp(min=0) + (x - 43).clamp(min=0) + (14 - y).clamp(min=0) + (y - 33).clamp(min=0)
    assert torch.equal(wide, torch.where(away <= 2, 1.0, 3.0))


def test_slopes_have_no_foreground_to_widen() -> None:
    assert torch.equal(widen_foreground(floor()), floor())
