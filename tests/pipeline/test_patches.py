"""Holes made of patches of what surrounds them."""

from dataclasses import replace

import torch

from cosmorama.pipeline.demo import demo_photo
from cosmorama.pipeline.generators import Memory, ViewRequest
from cosmorama.pipeline.generators.inpaint import InpaintGenerator, fill_softly
from cosmorama.pipeline.growth import patches
from cosmorama.pipeline.growth.grow import grow
from cosmorama.pipeline.growth.patches import lay_patches
from cosmorama.pipeline.photo import load_photo
from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.mesh.grid import DepthPicture

HEIGHT, WIDTH = 96, 144


def striped(slope: float = 0.5) -> torch.Tensor:
    """Slanted stripes, 9 pixels wide."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    wave = 0.5 + 0.3 * torch.sin((columns + slope * rows) * (2 * torch.pi / 9))
    return wave[..., None].expand(HEIGHT, WIDTH, 3).contiguous()


def beyond_the_right_edge() -> torch.Tensor:
    holes = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    holes[:, 112:] = True
    return holes


def test_stripes_go_on_where_there_was_fog():
    truth, holes = striped(), beyond_the_right_edge()
    fog = torch.where(holes[..., None], 0.5, truth)
    out = lay_patches(fog, ~holes, holes)
    assert torch.equal(out[~holes], truth[~holes])
    error = (out - truth)[holes].square().mean().sqrt()
    assert error < 0.25 * (fog - truth)[holes].square().mean().sqrt()


def test_the_same_answer_every_time_and_with_any_number_of_threads():
    truth, holes = striped(), beyond_the_right_edge()
    fog = torch.where(holes[..., None], 0.5, truth)
    threads = torch.get_num_threads()
    try:
        answers = []
        for count in (1, 3, 1):
            torch.set_num_threads(count)
            answers.append(lay_patches(fog, ~holes, holes))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_patches_follow_the_soft_filling():
    """Stripes above, grass below: each half of the hole gets what its filling looks like."""
    truth = striped()
    truth[HEIGHT // 2 :] = torch.rand(HEIGHT // 2, WIDTH, 1) * torch.tensor([0.2, 0.6, 0.2])
    holes = beyond_the_right_edge()
    fog = truth.clone()
    fog[: HEIGHT // 2, 112:] = 0.5
    fog[HEIGHT // 2 :, 112:] = torch.tensor([0.1, 0.3, 0.1])
    out = lay_patches(fog, ~holes, holes)
    green = (out[..., 1] - out[..., 0])[:, 116:]
    assert green[: HEIGHT // 2 - 8].abs().max() < 0.1
    assert green[HEIGHT // 2 + 8 :].mean() > 0.15
    assert out[HEIGHT // 2 + 8 :, 120:, 1].std() > 0.1


def test_patches_fit_what_is_known_and_are_copied_from_the_source():
    """Pale stripes lie beside the hole, which are known and no source; they go on in the colours of the source."""
    truth, holes = striped(), beyond_the_right_edge()
    pale = torch.zeros_like(holes)
    pale[:, 88:112] = True
    picture = torch.where(pale[..., None], 0.5 + 0.8 * (truth - 0.5), truth)
    fog = torch.where(holes[..., None], 0.5, picture)
    out = lay_patches(fog, ~holes, holes, source=~holes & ~pale)
    inner = out[8:-8, 120:]
    assert (inner - truth[8:-8, 120:]).square().mean().sqrt() < 0.08  # in step with the pale ones
    assert inner.amax() > 0.76  # pale stripes end at 0.74
    copied = lay_patches(fog, ~holes, holes)[8:-8, 114:124]
    assert copied.amax() < 0.76


def test_patches_come_from_the_source_alone():
    picture = striped()
    picture[:, :40] = 1.0
    holes = beyond_the_right_edge()
    source = ~holes
    source[:, :40] = False
    fog = torch.where(holes[..., None], 0.95, picture)  # as if white were wanted
    assert lay_patches(fog, ~holes, holes)[holes].max() > 0.9
    assert lay_patches(fog, source, holes)[holes].max() < 0.82


def test_what_is_taken_from_elsewhere_gets_the_hue_of_the_soft_filling():
    """Blue is all there is to take, but the filling knows that it is the floor that goes on."""
    blue, brown = torch.tensor([0.6, 0.75, 0.9]), torch.tensor([0.75, 0.65, 0.5])
    holes = beyond_the_right_edge()
    fog = torch.where(holes[..., None], brown, striped() * blue)
    out = lay_patches(fog, ~holes, holes)[8:-8, 120:]
    hue = out.mean((0, 1)) / out.mean()
    assert float((hue - brown / brown.mean()).norm()) < 0.15
    assert out.std((0, 1)).min() > 0.05  # with its texture
    alike = torch.where(holes[..., None], 0.5 * blue, striped() * blue)
    inner = lay_patches(alike, ~holes, holes)[8:-8, 120:]
    torch.testing.assert_close(inner, inner[..., 1:2] / blue[1] * blue, atol=0.03, rtol=0)  # nothing to mend


def test_no_hole_or_no_source_changes_nothing():
    picture, nothing = striped(), torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    assert torch.equal(lay_patches(picture, ~nothing, nothing), picture)
    assert torch.equal(lay_patches(picture, nothing, ~nothing), picture)
    few = nothing.clone()
    few[:5, :5] = True  # too few for a patch
    assert torch.equal(lay_patches(picture, few, ~few), picture)


def test_small_and_odd_pictures():
    for height, width in ((5, 9), (17, 33), (97, 101)):
        picture = torch.rand(height, width, 3)
        holes = torch.zeros(height, width, dtype=torch.bool)
        holes[:, -2:] = True
        out = lay_patches(picture, ~holes, holes)
        assert out.isfinite().all()
        assert torch.equal(out[~holes], picture[~holes])


def test_a_growing_scene_gets_texture_if_asked():
    camera = Cameras(torch.eye(4)[None], pinhole_intrinsics(120.0, WIDTH, HEIGHT)[None], WIDTH, HEIGHT)
    moved = camera.world_from_cam.clone()
    moved[:, 0, 3] = 0.6
    moved = Cameras(moved, camera.intrinsics, WIDTH, HEIGHT)
    image, depth = striped(0.0), torch.full((HEIGHT, WIDTH), 2.0)
    photo = DepthPicture(image, depth, camera, depth > 0)
    plain, textured = (
        grow(lift(image, depth, camera), photo, moved, InpaintGenerator(), seed=0, textured=on)
        for on in (False, True)
    )
    new = plain.support[0] < 0.3
    assert new.sum() > 10 * HEIGHT
    assert textured.images[0][new].std() > 2 * plain.images[0][new].std()
    assert textured.images[0][new].std() > 0.7 * image.std()


def test_no_place_of_the_photo_is_chosen_much_more_often_than_others(monkeypatch):
    photo = load_photo(demo_photo(), long_side=216).image
    source = torch.zeros(photo.shape[:2], dtype=torch.bool)
    source[20:124, 30:186] = True
    fog = torch.where(source[..., None], photo, fill_softly(photo, source))

    def most_chosen() -> float:
        """How often the hundredth part that is chosen most often is, beside the mean."""
        searches: list[patches._Search] = []
        monkeypatch.setattr(patches._Search, "run", lambda self: (searches.append(self), run(self)))
        lay_patches(fog, source, ~source)
        chosen = torch.zeros(source.shape)
        rows, columns = torch.from_numpy(searches[-1].matches).long().T
        chosen.index_put_((rows, columns), torch.ones(len(rows)), accumulate=True)
        chosen = window_mean(chosen)[source].sort(descending=True).values
        return float(chosen[: len(chosen) // 100].mean() / chosen.mean())

    run = patches._Search.run
    even = most_chosen()
    monkeypatch.setattr(patches, "CROWD", 0.0)
    assert even < 0.75 * most_chosen()


def window_mean(values: torch.Tensor) -> torch.Tensor:
    """Over a patch."""
    return torch.nn.functional.avg_pool2d(values[None, None], 7, 1, 3)[0, 0]


def test_first_hand_is_what_the_photo_shows_and_no_filling():
    camera = Cameras(torch.eye(4)[None], pinhole_intrinsics(60.0, 40, 30)[None], 40, 30)
    depth = torch.full((30, 40), 3.0)
    depth[10:20, 10:20] = 1.5
    seen = torch.full((30, 40), 3.0)
    seen[10:20, 10:20] = 2.0  # a filling behind the box
    seen[12:14, 12:14] = 1.5  # the box
    memory = Memory(torch.zeros(1, 30, 40, 3), seen[None], torch.ones(1, 30, 40))
    request = ViewRequest(camera, memory, torch.zeros(1, 30, 40, 3), camera, 0, photo_depths=depth[None])
    expected = torch.ones(30, 40, dtype=torch.bool)
    expected[10:20, 10:20] = False
    expected[12:14, 12:14] = True
    assert torch.equal(request.first_hand(0), expected)
    wall = torch.full((1, 30, 40), 3.0)
    wider = replace(
        request, cameras=camera.zoomed(0.5), memory=replace(memory, depth=wall), photo_depths=wall
    )
    inside = wider.first_hand(0)
    assert inside[8:22, 11:29].all()  # half as large there
    assert not inside[:7].any()
    assert not inside[:, :9].any()
    assert replace(request, photo_depths=None).first_hand(0).all()
