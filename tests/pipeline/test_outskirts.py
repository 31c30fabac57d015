from dataclasses import replace
from pathlib import Path

import torch
from told_depth import ToldDepth

from cosmorama.pipeline.benchmark import voids as voids_of
from cosmorama.pipeline.generators.inpaint import InpaintGenerator
from cosmorama.pipeline.growth.frame import grow_frame
from cosmorama.pipeline.growth.grow import grow
from cosmorama.pipeline.growth.layers import grow_layers
from cosmorama.pipeline.growth.outskirts import (
    RING,
    RING_SCALE,
    TURNED,
    crack_cameras,
    grow_outskirts,
    ring_cameras,
)
from cosmorama.pipeline.growth.pieces import show
from cosmorama.pipeline.trajectories import plan_trajectory, reach_of
from cosmorama.reconstruct.cameras import Cameras, look_at, pinhole_intrinsics, turned
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.mesh.grid import DepthPicture
from cosmorama.reconstruct.rasterize import rasterize
from cosmorama.reconstruct.scene import Scene
from cosmorama.reconstruct.transforms_json import images_from_cameras

W, H = 96, 64
HOME = Cameras(torch.eye(4)[None], pinhole_intrinsics(90.0, W, H)[None], W, H)


def box_before_wall():
    depth = torch.full((H, W), 3.0)
    depth[20:48, 30:66] = 1.5
    image = torch.zeros(H, W, 3)
    image[..., 2] = 0.8
    image[20:48, 30:66] = torch.tensor([0.9, 0.1, 0.1])
    return DepthPicture(image, depth, HOME, torch.ones(H, W, dtype=torch.bool))


def beside(x, y):
    """A camera that looks at the middle of the scene from somewhere to the side."""
    focus = torch.tensor([[0.0, 0.0, 3.0]])
    return Cameras(look_at(torch.tensor([[x, y, 0.0]]), focus), HOME.intrinsics, W, H)


def voids(gaussians, camera):
    return float((~show(gaussians, camera)[0].known).float().mean())


def test_who_leaves_the_path_looks_into_no_void():
    photo = box_before_wall()
    reach = reach_of(photo.depth)
    path = plan_trajectory("orbit", HOME, reach, 5)[[1, 3]]
    growth = grow(lift(photo.image, photo.depth, HOME), photo, path, InpaintGenerator(), seed=0)
    calls = []
    around = grow_outskirts(growth, photo, reach, on_view=lambda *call: calls.append(call[:2]))
    far = [beside(sign * 0.55 * reach.step, y) for sign in (-1, 1) for y in (-0.3, 0.0)]
    before, after = ([voids(g, camera) for camera in far] for g in (growth.gaussians, around.gaussians))
    assert min(before) > 0.02
    assert max(after) < 0.005
    views = 1 + len(RING) + len(crack_cameras(HOME, reach)) + len(TURNED)
    assert calls == [(n + 1, views) for n in range(views)]
    assert len(around.pieces) == len(growth.pieces) + views
    assert around.images is growth.images  # these pictures are nothing to be fitted to

    taller = replace(
        HOME, intrinsics=HOME.intrinsics + torch.tensor([[0.0] * 3, [0, 0, 12.0], [0.0] * 3]), height=H + 24
    )
    assert voids(growth.gaussians, taller) > 0.1
    assert voids(around.gaussians, taller) < 0.005  # a window of another shape than the photo

    left = rasterize(around.gaussians, far[0]).color[0]
    beside_box = left[30:40, 2:20]
    assert (beside_box - torch.tensor([0.0, 0.0, 0.8])).abs().mean() < 0.1  # wall, not box


def test_what_is_coarse_does_not_come_apart_seen_from_near():
    photo = box_before_wall()
    reach = reach_of(photo.depth)
    surface = lift(photo.image, photo.depth, HOME)
    growth = grow(surface, photo, plan_trajectory("orbit", HOME, reach, 2), InpaintGenerator(), seed=0)
    around = grow_outskirts(growth, photo, reach)
    intrinsics = HOME.intrinsics * torch.tensor([[3.0], [3.0], [1.0]])
    intrinsics[:, 0, 2] = 2.35 * W  # mostly what lies beyond the photo's left edge
    near = replace(HOME, intrinsics=intrinsics)
    assert rasterize(growth.gaussians, near).alpha.mean() < 0.5
    assert rasterize(around.gaussians, near).alpha.mean() > 0.99


def test_no_cracks_open_on_wide_paths():
    photo = box_before_wall()
    blocks = 1.2 + 4 * torch.rand(H // 8, W // 8, generator=torch.Generator().manual_seed(0))
    photo.depth[:] = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)
    reach = reach_of(photo.depth)
    surface = lift(photo.image, photo.depth, HOME)
    growth = grow_frame(surface, photo, ToldDepth(3.0))
    around = grow_outskirts(growth, photo, reach)
    last = around.pieces[-len(crack_cameras(HOME, reach)) - len(TURNED) :]
    count = len(around.gaussians) - sum(int(piece.mask.sum()) for piece in last)
    before_last_look = around.gaussians[torch.arange(count)]
    for kind in ("orbit", "spiral"):
        path = plan_trajectory(kind, HOME, reach, 13, extent=1.8)
        before, after = (
            float((rasterize(gaussians, path).alpha < 0.5).float().mean())
            for gaussians in (before_last_look, around.gaussians)
        )
        assert before > 0.004  # there were some
        assert after < 0.2 * before


def test_where_a_wider_picture_is_known_it_is_gone_on_from():
    photo = box_before_wall()
    surface = lift(photo.image, photo.depth, HOME)
    layers = grow_layers(surface, photo, reach_of(photo.depth), ToldDepth(3.0), only_sky=False)
    calls = []
    grown = grow_outskirts(
        layers.growth,
        photo,
        reach_of(photo.depth),
        around=layers.around,
        on_view=lambda *call: calls.append(call),
    )
    assert len(calls) == len(RING) + len(crack_cameras(HOME, reach_of(photo.depth))) + len(TURNED)
    wide = layers.around.camera
    before, after = (
        rasterize(g, wide).color[0, 3:-3, 3:-3] for g in (layers.growth.gaussians, grown.gaussians)
    )
    assert (before - after).abs().mean() < 0.001  # nothing hides it


def test_the_ring_hides_nothing_of_the_photo():
    photo = box_before_wall()
    growth = grow(lift(photo.image, photo.depth, HOME), photo, HOME, InpaintGenerator(), seed=0)
    around = grow_outskirts(growth, photo, reach_of(photo.depth))
    before, after = (rasterize(g, HOME).color[0] for g in (growth.gaussians, around.gaussians))
    assert (before - after).abs().mean() < 0.004


def test_who_turns_the_head_looks_into_no_void():
    photo = box_before_wall()
    growth = grow(lift(photo.image, photo.depth, HOME), photo, HOME, InpaintGenerator(), seed=0)
    around = grow_outskirts(growth, photo, reach_of(photo.depth))
    for pose in turned([(-40.0, 0.0), (35.0, 5.0), (0.0, 20.0), (0.0, -20.0)]):
        camera = replace(HOME, world_from_cam=pose[None])
        assert voids(growth.gaussians, camera) > 0.2
        assert voids(around.gaussians, camera) < 0.02
        blue = rasterize(around.gaussians, camera).color[0, ..., 2]
        assert blue.mean() > 0.5  # the wall goes on


def test_voids_are_what_a_wide_path_shows_nothing_of():
    photo = box_before_wall()
    surface = lift(photo.image, photo.depth, HOME)
    views = images_from_cameras(HOME, image=Path("photo.png"))
    bare = voids_of(Scene(surface, views=views))
    growth = grow(surface, photo, HOME, InpaintGenerator(), seed=0)
    around = grow_outskirts(growth, photo, reach_of(photo.depth))
    assert bare > 0.05
    assert voids_of(Scene(around.gaussians, views=views)) < 0.1 * bare


def test_growing_stops_when_told():
    photo = box_before_wall()
    growth = grow(lift(photo.image, photo.depth, HOME), photo, HOME, InpaintGenerator(), seed=0)
    around = grow_outskirts(growth, photo, reach_of(photo.depth), on_view=lambda *_: True)
    assert len(around.pieces) == len(growth.pieces) + 1


def test_ring_cameras_see_further_than_the_photo():
    reach = reach_of(box_before_wall().depth)
    cameras = ring_cameras(HOME, reach)
    assert (cameras.width, cameras.height) == (round(RING_SCALE * W), round(RING_SCALE * H))
    widest = plan_trajectory("orbit", HOME, reach, 60).positions[:, 0].abs().max()
    assert cameras.positions[:, 0].abs().max() > 1.5 * widest
    edge = HOME.unproject(torch.full((1, H, W), 3.0))[0][H // 2, [0, -1]]
    pixels, _ = cameras[[4]].project(edge[None])
    assert ((pixels[0, :, 0] > 0) & (pixels[0, :, 0] < cameras.width)).all()


def test_holes_may_be_taken_for_wider():
    photo = box_before_wall()
    surface = lift(photo.image, photo.depth, HOME)
    camera = beside(0.4, 0.0)
    plain, wide = (show(surface, camera, overlap=n)[0].known for n in (0, 3))
    assert (plain | ~wide).all()
    grown = torch.nn.functional.max_pool2d((~plain).float()[None], 7, 1, 3)[0] > 0
    assert torch.equal(~wide, grown)
