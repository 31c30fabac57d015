import torch

from cosmorama.pipeline.blur import blur, blur_by
from cosmorama.pipeline.diffusion.baselines import TeleaGenerator
from cosmorama.pipeline.generators import Memory, ViewRequest
from cosmorama.pipeline.generators.blend import blend_generated
from cosmorama.pipeline.generators.inpaint import InpaintGenerator, fill_holes
from cosmorama.pipeline.growth.consensus import in_consensus, trust_in
from cosmorama.pipeline.growth.grow import grow
from cosmorama.pipeline.growth.pieces import BEHIND, show
from cosmorama.reconstruct.cameras import Cameras, cat_cameras, pinhole_intrinsics
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.mesh.grid import DepthPicture

W, H = 64, 48
CAMERA = Cameras(torch.eye(4)[None], pinhole_intrinsics(60.0, W, H)[None], W, H)


def box_before_wall():
    depth = torch.full((H, W), 3.0)
    depth[14:34, 20:44] = 1.0
    image = torch.zeros(H, W, 3)
    image[..., 2] = 0.8
    image[14:34, 20:44] = torch.tensor([0.9, 0.1, 0.1])
    return image, depth


def sideways(*shifts: float) -> Cameras:
    poses = torch.eye(4).repeat(len(shifts), 1, 1)
    poses[:, 0, 3] = torch.tensor(shifts)
    return Cameras(poses, CAMERA.intrinsics.repeat(len(shifts), 1, 1), W, H)


def pictured(image, depth):
    return DepthPicture(image, depth, CAMERA, depth > 0)


def grown(cameras):
    image, depth = box_before_wall()
    return grow(lift(image, depth, CAMERA), pictured(image, depth), cameras, InpaintGenerator(), seed=0)


def test_holes_behind_the_box_are_filled_with_wall():
    cameras = sideways(0.3, -0.3)
    growth = grown(cameras)
    seen, _ = show(growth.gaussians, cameras)
    assert seen.coverage[:, 2:-2, 4:-4].min() > 0.6
    revealed = growth.support < 0.3
    assert revealed.any(dim=(1, 2)).all()
    filled = growth.images[revealed]
    assert (filled[:, 2] > 0.6).float().mean() > 0.95  # blue wall, not red box
    assert (filled[:, 0] < 0.3).float().mean() > 0.95


def test_what_is_grown_hides_nothing_of_the_photo():
    image, depth = box_before_wall()
    before = lift(image, depth, CAMERA)
    growth = grown(sideways(0.3, -0.3))
    new = growth.gaussians[len(before) :]
    pixels, z = CAMERA.project(new.means[None])
    x, y = pixels[0].long().unbind(-1)
    inside = (x >= 0) & (x < W) & (y >= 0) & (y < H)
    assert inside.any()
    assert (z[0][inside] >= (BEHIND - 1e-3) * depth[y[inside], x[inside]].clamp_max(3.0 / BEHIND)).all()
    changed = (show(growth.gaussians, CAMERA)[0].color - show(before, CAMERA)[0].color).abs()
    assert changed[0, 3:-3, 3:-3].mean() < 0.01


def test_the_floor_goes_on_beyond_the_photo():
    def floor_and_wall(camera):
        origins, rays = (v[0] for v in camera.rays())
        floor, wall = (0.8 - origins[..., 1]) / rays[..., 1], (6.0 - origins[..., 2]) / rays[..., 2]
        return torch.where((floor > 0) & (floor < wall), floor, wall)

    depth = floor_and_wall(CAMERA)
    image = torch.full((H, W, 3), 0.5)
    down = torch.tensor(0.35)
    pose = torch.eye(4)
    pose[1:3, 1:3] = torch.tensor([[down.cos(), down.sin()], [-down.sin(), down.cos()]])
    camera = Cameras(pose[None], CAMERA.intrinsics, W, H)
    growth = grow(lift(image, depth, CAMERA), pictured(image, depth), camera, InpaintGenerator(), seed=0)
    piece, hidden = growth.pieces[0], growth.support[0] < 0.3
    assert hidden.float().mean() > 0.2
    off = (piece.depth[hidden] / floor_and_wall(camera)[hidden]).log().abs()
    assert (off < 0.1).float().mean() > 0.9


def test_gaps_in_a_surface_that_comes_apart_are_closed_at_its_depth():
    image, depth = torch.rand(H, W, 3), torch.full((H, W), 3.0)
    every_third = torch.zeros(H, W, dtype=torch.bool)
    every_third[::3] = True
    sparse = lift(image, depth, CAMERA, mask=every_third)
    _, before = show(sparse, CAMERA)
    assert before[0, 9:39, 9:55].min() < 0.7
    growth = grow(sparse, pictured(image, depth), CAMERA, InpaintGenerator(), seed=0)
    memory, after = show(growth.gaussians, CAMERA)
    assert after[0, 9:39, 9:55].min() > 0.9
    assert torch.allclose(memory.depth[0, 9:39, 9:55], torch.tensor(3.0), rtol=0.05)


def test_the_scene_remembers_what_it_was_given():
    growth = grown(sideways(0.3, 0.3))  # the same camera twice
    assert growth.pieces[0].mask.sum() > 50
    assert growth.pieces[1].mask.sum() < 0.1 * growth.pieces[0].mask.sum()


class Guesses:
    """Each picture of a group is one grey; its covered pixels are the memory's."""

    name, licences, group_size, soft = "guesses (test)", (), 8, False

    def __init__(self, *greys):
        self.greys = torch.tensor(greys)

    def __call__(self, request, *, on_progress=None):
        pictures = self.greys[:, None, None, None].expand(len(self.greys), H, W, 3)
        return torch.where(request.memory.known[..., None], request.memory.color, pictures)


def test_pictures_of_a_group_meet_in_the_middle():
    image, depth = box_before_wall()
    cameras = sideways(0.3, 0.3, 0.3)
    growth = grow(lift(image, depth, CAMERA), pictured(image, depth), cameras, Guesses(0.2, 0.3, 0.7), seed=0)
    revealed = growth.support[0] < 0.1
    assert revealed.sum() > 50
    assert (growth.images[:, revealed] - 0.4).abs().max() < 0.03  # nobody's own guess
    alone = grow(lift(image, depth, CAMERA), pictured(image, depth), cameras[[0]], Guesses(0.2), seed=0)
    assert (alone.images[0, revealed] - 0.2).abs().max() < 1e-4


def test_who_knows_what_is_beside_a_hole_counts_more():
    unknown = torch.ones(H, W, dtype=torch.bool)
    own = DepthPicture(torch.full((H, W, 3), 0.2), torch.full((H, W), 3.0), CAMERA, unknown)
    pictures = torch.stack([torch.full((H, W, 3), 0.2), torch.full((H, W, 3), 0.8)])
    holes = torch.ones(2, H, W, dtype=torch.bool)
    holes[1, :, :10] = False  # the second picture knows what lies left of its hole
    image = in_consensus(own, unknown, pictures, trust_in(holes), cat_cameras([CAMERA, CAMERA]), 0).image
    assert image[:, 16:].mean() > 0.75
    assert image[:, :5].mean() < 0.25  # there it has no guess to give


def test_texture_is_not_averaged():
    unknown = torch.ones(H, W, dtype=torch.bool)
    stripes = torch.arange(W).remainder(2).float()[None, :, None].expand(H, W, 3) * 0.2
    own = DepthPicture(stripes + 0.2, torch.full((H, W), 3.0), CAMERA, unknown)
    pictures = torch.stack([stripes + 0.2, 0.8 - stripes])
    same = cat_cameras([CAMERA, CAMERA])
    image = in_consensus(own, unknown, pictures, trust_in(unknown.expand(2, H, W)), same, 0).image
    assert image.mean() > 0.45  # half of the way from 0.3 to 0.7
    contrast = (image[:, 1::2] - image[:, 0::2]).mean()
    assert contrast > 0.15  # the mean of the two has none


def test_covered_pixels_are_returned_as_they_were():
    color = torch.rand(1, H, W, 3)
    coverage = torch.ones(1, H, W)
    coverage[:, 10:20, 10:20] = 0
    depth = torch.where(coverage > 0, 2.0, 0.0)
    request = ViewRequest(
        CAMERA, Memory(color * coverage[..., None], depth, coverage), color[:0], CAMERA[:0], seed=0
    )
    picture = InpaintGenerator()(request)
    assert torch.equal(picture[coverage > 0], color[coverage > 0])
    assert picture[0, 10:20, 10:20].min() > 0.05


def test_filling_takes_colours_from_the_source_only():
    color = torch.zeros(H, W, 3)
    color[:, : W // 2] = torch.tensor([0.0, 1.0, 0.0])
    source = torch.zeros(H, W, dtype=torch.bool)
    source[:, : W // 2] = True
    filled = fill_holes(color, source, 5.0)
    assert torch.allclose(filled, torch.tensor([0.0, 1.0, 0.0]).expand_as(filled), atol=0.02)


def test_fillings_are_softer_the_further_in():
    stripes = (torch.arange(W) // 4 % 2).float()[None, :, None].expand(H, W, 3)
    sigma = torch.linspace(0, 16, H)[:, None].expand(H, W)
    soft = blur_by(stripes, sigma)
    assert torch.equal(soft[0], stripes[0])
    contrast = soft[:, 24:40].std(dim=(1, 2))
    assert (contrast[1:] < contrast[:-1] + 1e-3).all()
    assert contrast[H // 2] < 0.1 * contrast[0]
    row = H // 2
    same = blur(stripes.permute(2, 0, 1)[None], float(sigma[row, 0]))[0, :, row].T
    assert (soft[row] - same)[24:40].abs().max() < 0.03
    assert torch.equal(blur_by(stripes, torch.zeros(H, W)), stripes)


def test_generated_pixels_meet_the_known_ones_without_a_seam():
    ramp = torch.linspace(0.2, 0.8, W).expand(1, H, W)[..., None].expand(1, H, W, 3)
    known = torch.zeros(1, H, W, dtype=torch.bool)
    known[:, :, : W // 2] = True
    out = blend_generated(ramp, known, ramp - 0.15)
    assert torch.equal(out[known], ramp[known])
    seam = (out - ramp)[0, :, W // 2]
    assert seam.abs().max() < 0.04
    far = (out - ramp)[0, :, -4:]
    assert (far + 0.15).abs().max() < 0.08  # an error at the rim says little about what is far away
    nothing = torch.zeros_like(known)
    assert torch.equal(blend_generated(ramp, nothing, ramp - 0.15), ramp - 0.15)


class Disagreeing:
    """Each picture of a group has another colour where nothing is known."""

    name, licences, group_size, soft = "disagreeing (test)", (), 2, False

    def __call__(self, request, *, on_progress=None):
        colors = torch.tensor([[0.1, 0.9, 0.1], [0.9, 0.1, 0.9]])[:, None, None]
        known = (request.memory.coverage > 0.5)[..., None]
        return torch.where(known, request.memory.color, colors)


def test_pictures_of_a_group_agree_where_they_overlap():
    image, depth = box_before_wall()
    cameras = sideways(0.3, 0.3)  # the same camera twice
    growth = grow(lift(image, depth, CAMERA), pictured(image, depth), cameras, Disagreeing(), seed=0)
    new = growth.support[0] < 0.3
    assert new.any()
    difference = (growth.images[0] - growth.images[1])[new].abs().mean()
    assert difference < 0.08


def test_what_hides_a_wide_hole_lends_it_no_colour():
    width, height = 192, 128
    camera = Cameras(torch.eye(4)[None], pinhole_intrinsics(160.0, width, height)[None], width, height)
    depth, image = torch.full((height, width), 4.0), torch.zeros(height, width, 3)
    image[..., 2] = 0.8
    depth[32:96, 60:140], image[32:96, 60:140] = 1.0, torch.tensor([0.9, 0.1, 0.1])
    pose = camera.world_from_cam.clone()
    pose[:, 0, 3] = 0.2
    moved = Cameras(pose, camera.intrinsics, width, height)
    memory, _ = show(lift(image, depth, camera), moved)
    request = ViewRequest(moved, memory, image[None], camera, 0, photo_depths=depth[None])
    hole = (memory.coverage[0] < 0.05) & (torch.arange(width) < 150)
    assert hole.sum() > 64 * 15
    red, plain = (g(request)[0][hole][:, 0].mean() for g in (InpaintGenerator(), TeleaGenerator()))
    assert plain > 0.1
    assert red < 0.3 * plain
