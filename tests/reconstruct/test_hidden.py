"""What hides holes from the photo, and what they may be continued from."""

import torch

from cosmorama.reconstruct import hidden
from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.depth_completion import background_support, complete_depth
from cosmorama.reconstruct.hidden import hider_depth, support_behind

W, H, FOCAL = 96, 64, 80.0
WALL, BOX = 4.0, 1.0
PHOTO = Cameras(torch.eye(4)[None], pinhole_intrinsics(FOCAL, W, H)[None], W, H)


def _seen_from(step: float, wall: float = WALL) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Cameras]:
    """Photo's depth, depth and known pixels from a step to the right, and the camera there; a box before a wall."""
    photo_depth = torch.full((H, W), wall)
    photo_depth[16:48, 30:70] = BOX
    shift_box, shift_wall = round(FOCAL * step / BOX), round(FOCAL * step / wall)
    depth, known = torch.full((H, W), wall), torch.ones(H, W, dtype=torch.bool)
    known[16:48, max(0, 30 - shift_wall) : 70 - shift_wall] = False  # the wall that the photo does not show
    known[:, W - shift_wall :] = False  # what lies beyond the photo's edge
    depth[16:48, max(0, 30 - shift_box) : 70 - shift_box] = BOX
    known[16:48, max(0, 30 - shift_box) : 70 - shift_box] = True
    pose = torch.eye(4)[None].clone()
    pose[:, 0, 3] = step
    return photo_depth, depth, known, Cameras(pose, PHOTO.intrinsics, W, H)


def test_the_photo_tells_what_hides_a_hole_and_what_lies_beyond_its_edge() -> None:
    photo_depth, _, known, camera = _seen_from(0.3)
    wall = torch.full((H, W), WALL)
    hider = hider_depth(wall, ~known, camera, PHOTO, photo_depth[None])
    hole = ~known
    hole[:, W - 6 :] = False
    assert hole.sum() == 32 * 18
    assert torch.allclose(hider[hole], torch.tensor(BOX))
    assert hider[known].isinf().all()
    assert hider[:, W - 6 :].isinf().all()


def test_holes_are_continued_from_the_wall_and_not_from_what_hides_them(monkeypatch) -> None:
    photo_depth, depth, known, camera = _seen_from(0.1)
    nearby = background_support(depth, known, radius=4)
    support = support_behind(depth, known, camera, PHOTO, photo_depth[None])
    beside = known & (depth == BOX)
    beside[:, : 62 - 6] = False  # the box ends at column 62
    assert nearby[beside].float().mean() > 0.5
    assert not support[beside].any()
    assert support[known & (depth == WALL)].all()
    monkeypatch.setattr(hidden, "REACH", 0.5)
    whole = support_behind(depth, known, camera, PHOTO, photo_depth[None])
    assert not whole[depth == BOX].any()
    assert torch.allclose(complete_depth(depth, known, whole)[~known], torch.tensor(WALL))


def test_a_wall_close_behind_is_not_taken_for_what_hides_it() -> None:
    close = 1.08 * BOX
    photo_depth, depth, known, camera = _seen_from(0.6, close)
    assert not known[16:48, 22:26].any()
    support = support_behind(depth, known, camera, PHOTO, photo_depth[None])
    assert support[16:48, 26:46].all()
    assert not support[16:48, 16:22].any()


def test_without_the_photo_s_depth_nothing_more_is_left_out() -> None:
    _, depth, known, camera = _seen_from(0.3)
    assert torch.equal(support_behind(depth, known, camera, PHOTO, None), background_support(depth, known))
