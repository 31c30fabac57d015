"""What things hide from a photo, as its own place would show it."""

import torch
from told_depth import ToldDepth

from cosmorama.pipeline.depth import FAR_DEPTH_M
from cosmorama.pipeline.generators.inpaint import fill_softly
from cosmorama.pipeline.growth.behind import ASIDE, SIDEWAYS, grow_behind
from cosmorama.pipeline.growth.hiding import RISE, hiding
from cosmorama.pipeline.growth.layers import grow_layers
from cosmorama.pipeline.growth.pieces import show
from cosmorama.pipeline.trajectories import plan_trajectory, reach_of
from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.mesh.grid import DepthPicture

W, H = 96, 64
HOME = Cameras(torch.eye(4)[None], pinhole_intrinsics(90.0, W, H)[None], W, H)
BOX = (slice(20, 48), slice(30, 66))
RED, BLUE = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.0, 0.0, 0.8])


def box_before(depth_behind: float) -> DepthPicture:
    depth, image = torch.full((H, W), depth_behind), BLUE.expand(H, W, 3).clone()
    depth[BOX], image[BOX] = 1.5, RED
    return DepthPicture(image, depth, HOME, torch.ones(H, W, dtype=torch.bool))


def behind(picture: DepthPicture, told: float, **options):
    surface, reach = lift(picture.image, picture.depth, HOME), reach_of(picture.depth)
    return grow_behind(surface, picture, reach, ToldDepth(told), **options)


def test_a_strip_of_the_nearer_thing_hides_as_much_as_one_steps_aside():
    picture = box_before(3.0)
    for aside in (0.1, 0.2):
        strip = hiding(picture, aside, sky=False)
        width = 90 * aside * (1 / 1.5 - 1 / 3.0)
        assert not strip[: BOX[0].start].any()
        assert not strip[:, : BOX[1].start].any()
        seen = int(strip[34, BOX[1]].sum()) / 2  # a strip on both sides
        assert 0.7 * width - 1 <= seen <= width + 1
        assert not strip[34, 48]
    assert hiding(picture, 10.0, sky=False)[BOX].all()
    assert not hiding(picture, 10.0, sky=True).any()


def test_a_floor_hides_nothing_however_near():
    rows = torch.arange(H)[:, None].expand(H, W)
    depth = 90.0 * 0.4 / (rows + 2.0)
    picture = DepthPicture(torch.rand(H, W, 3), depth, HOME, torch.ones(H, W, dtype=torch.bool))
    assert not hiding(picture, 2.0, sky=False).any()


def test_a_wall_alone_hides_nothing_and_nobody_is_asked():
    picture = DepthPicture(
        torch.rand(H, W, 3), torch.full((H, W), 3.0), HOME, torch.ones(H, W, dtype=torch.bool)
    )
    surface, estimator = lift(picture.image, picture.depth, HOME), ToldDepth(3.0)
    gaussians, piece = grow_behind(surface, picture, reach_of(picture.depth), estimator)
    assert len(gaussians) == len(surface)
    assert not piece.mask.any()
    assert not estimator.calls


def test_what_lies_behind_is_like_what_surrounds_it_and_goes_on_there():
    picture = box_before(3.0)
    gaussians, piece = behind(picture, told=3.0)
    assert torch.equal(piece.mask, hiding(picture, ASIDE * reach_of(picture.depth).step, sky=False))
    assert (piece.image[piece.mask] - BLUE).abs().max() < 0.1
    assert torch.allclose(piece.depth[piece.mask], torch.tensor(3.0), rtol=0.02)
    assert torch.equal(piece.depth[~piece.mask], picture.depth[~piece.mask])
    beside = int(piece.mask.sum()) + 2 * (36 + 28) + 4  # a pixel all around, so that no crack is left
    assert int(piece.mask.sum()) < len(gaussians) - H * W <= beside


def test_what_is_estimated_nearer_than_what_hides_it_lies_behind_all_the_same():
    picture = box_before(3.0)
    piece = behind(picture, told=0.7)[1]  # a factor of 4 between what is known and this
    assert (piece.depth[piece.mask] > picture.depth[piece.mask]).all()


def test_what_ends_at_a_rim_goes_on_behind_it_even_if_it_is_little_farther():
    """A post a little before a wall that is white beside it, and far before what is on its left."""
    picture, white = box_before(6.0), torch.tensor([0.9, 0.9, 0.9])
    picture.image[:, 30:60], picture.depth[:, 30:60] = RED, 1.5
    picture.image[:, 60:65], picture.depth[:, 60:] = white, 1.5 * 1.08
    piece = behind(picture, told=6.0)[1]
    rim = (slice(8, 56), slice(59, 60))
    assert piece.mask[rim].all()
    assert (piece.image[rim] - white).abs().mean() < 0.5 * (piece.image[rim] - BLUE).abs().mean()


def test_before_the_sky_there_is_sky_behind_even_if_it_does_not_look_like_it():
    picture = box_before(FAR_DEPTH_M)
    piece = behind(picture, told=2.0)[1]
    assert (piece.depth[piece.mask] == FAR_DEPTH_M).all()


def test_behind_a_thing_before_a_hill_before_the_sky_is_the_hill():
    picture = box_before(FAR_DEPTH_M)
    hill = (slice(10, H), slice(0, W))
    green, inside = torch.tensor([0.1, 0.5, 0.1]), picture.depth < 2
    picture.image[hill], picture.depth[hill] = green, 12.0
    picture.image[inside], picture.depth[inside] = RED, 1.5
    piece = behind(picture, told=12.0)[1]
    strip = (slice(21, 24), slice(34, 62))  # at the upper edge of the box, above which the hill ends
    assert piece.mask[strip].all()
    assert (piece.image[strip] - green).abs().mean() < 0.1
    assert torch.allclose(piece.depth[strip], torch.tensor(12.0), rtol=0.1)


def test_the_sky_alone_can_be_asked_for():
    assert not behind(box_before(3.0), told=3.0, only_sky=True)[1].mask.any()
    picture = box_before(FAR_DEPTH_M)
    picture.depth[48:], picture.image[48:] = 3.0, BLUE / 2  # the box stands before the sky, and on a wall
    hidden = behind(picture, told=3.0)[1].mask
    gaussians, piece = behind(picture, told=3.0, only_sky=True)
    assert piece.mask[22, 32]
    assert (piece.depth[piece.mask] == FAR_DEPTH_M).all()
    assert hidden[46, 30]
    assert not piece.mask[46, 30]
    seen = gaussians.opacities[: H * W].view(H, W)
    through = (seen < 0.9 * seen.amax()) & ~piece.mask
    assert not through.any()


def test_on_the_path_nothing_gapes_any_more():
    photo = box_before(3.0)
    reach = reach_of(photo.depth)
    surface = lift(photo.image, photo.depth, HOME)
    layers = grow_layers(surface, photo, reach, ToldDepth(3.0), only_sky=False)
    path = plan_trajectory("orbit", HOME, reach, 5)[[1, 3]]
    before, after = (
        float((~show(gaussians, path)[0].known).float().mean())
        for gaussians in (surface, layers.growth.gaussians)
    )
    assert before > 0.03
    assert after < 0.1 * before
    assert layers.around.mask.all()
    assert [int(piece.mask.sum()) > 0 for piece in layers.growth.pieces] == [True, True]


def test_level_things_go_on_to_the_side():
    wall, floor = torch.tensor([0.8, 0.8, 0.7]), torch.tensor([0.3, 0.2, 0.1])
    image = torch.where((torch.arange(H) < 33)[:, None, None], wall, floor).repeat(1, W, 1)
    known = torch.ones(H, W, dtype=torch.bool)
    known[24:37, 26:50] = False
    near_floor = (slice(30, 32), slice(34, 42))  # the floor is nearer than the wall is on either side
    off = [
        float((fill_softly(image, known, sideways=n)[near_floor] - wall).abs().mean()) for n in (1, SIDEWAYS)
    ]
    assert off[0] > 0.2
    assert off[1] < 0.5 * off[0]


def test_one_sees_less_above_things_than_beside_them():
    strip = hiding(box_before(3.0), 0.25, sky=False)
    beside, above = int(strip[34, : W // 2].sum()), int(strip[: H // 2, 48].sum())
    assert beside > 0
    assert above <= round(RISE * beside) + 1


def test_plains_that_reach_to_the_sky_hide_nothing():
    depth = torch.full((H, W), FAR_DEPTH_M)
    rows = torch.arange(H)
    depth[30:] = (90.0 / (rows[30:] - 27.0))[:, None]
    depth[20:40, 30:40] = 5.0  # somebody
    picture = DepthPicture(torch.rand(H, W, 3), depth, HOME, torch.ones(H, W, dtype=torch.bool))
    assert hiding(picture, 1.0, sky=True)[:, 60:].any()
    hides = hiding(picture, 1.0, sky=True, distant=12.0)
    assert hides[25, 30:40].all()
    assert not hides[:, :30].any()
    assert not hides[:, 40:].any()
