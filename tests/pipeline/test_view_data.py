import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cosmorama.pipeline.diffusion.batches import BatchConfig, loss_map, random_batch
from cosmorama.pipeline.diffusion.conditions import CONDITION_NAMES
from cosmorama.pipeline.diffusion.filling import Filling
from cosmorama.pipeline.diffusion.groups import PosedViews
from cosmorama.pipeline.diffusion.memory import (
    encode_memory,
    fill_memory,
    pull_push,
    remember,
    spoil_depth,
)
from cosmorama.pipeline.diffusion.prepare import (
    prepare_photo,
    prepare_scene,
    random_camera_near,
    visible_from,
)
from cosmorama.pipeline.diffusion.shards import Shards, ShardWriter
from cosmorama.pipeline.diffusion.sources import (
    HELD_OUT,
    TRAIN,
    photo_samples,
    scene_samples,
    world_scenes,
    write_samples,
)
from cosmorama.pipeline.diffusion.text import no_text
from cosmorama.pipeline.generators import Memory
from cosmorama.pipeline.growth import pieces
from cosmorama.pipeline.latents.codec import Codec, CodecConfig
from cosmorama.pipeline.latents.photos import is_held_out
from cosmorama.pipeline.photo import load_photo
from cosmorama.pipeline.world import WorldFrame
from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError

SIZE = 32


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    codec = Codec(
        CodecConfig(channels=4, fine_width=8, width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1))
    )
    return codec.eval().requires_grad_(False)


def cameras_beside_each_other(offsets):
    poses = torch.eye(4).repeat(len(offsets), 1, 1)
    poses[:, 0, 3] = torch.tensor(offsets)
    return Cameras(poses, pinhole_intrinsics(SIZE, SIZE, SIZE).expand(len(offsets), 3, 3), SIZE, SIZE)


def box_before_wall(offsets=(0.0,)):
    """A red square, one metre away, before a textured wall at two metres, from cameras that look along z."""
    cameras = cameras_beside_each_other(offsets)
    origins, directions = cameras.rays()
    on_box = origins + directions
    box = (on_box[..., 0].abs() < 0.2) & (on_box[..., 1].abs() < 0.2)
    on_wall = origins + 2 * directions
    wall = torch.stack(
        [on_wall[..., 0].sin().abs(), on_wall[..., 1].cos().abs(), 0 * on_wall[..., 0] + 0.5], dim=-1
    )
    images = torch.where(box[..., None], torch.tensor([1.0, 0.0, 0.0]), wall)
    depth = torch.where(box, 1.0, 2.0)
    return PosedViews(images, depth, cameras, "box")


def test_memory_shows_what_another_camera_would_see():
    truth = box_before_wall((0.0, 0.4))
    memory = remember(truth.images[:1], truth.depth[:1], truth.cameras[[0]], truth.cameras)
    known = memory.known
    assert known[0].float().mean() > 0.97
    error = (memory.color - truth.images).abs().mean(-1)
    assert error[0][known[0]].mean() < 0.05
    assert error[1][known[1]].mean() < 0.08
    right_depth = (memory.depth / truth.depth - 1).abs()[0] < 0.02
    assert right_depth[known[0]].float().mean() > 0.93  # silhouettes are a pixel wider
    # What the box hid (on its right, seen from 0.4 to the right) and what lies beyond the frame is not known.
    assert 0.15 < 1 - known[1].float().mean() < 0.4
    assert not known[1][:, -4:].any()


def test_filled_holes_continue_the_background():
    truth = box_before_wall((0.0, 0.4))
    memory = remember(truth.images[:1], truth.depth[:1], truth.cameras[[0]], truth.cameras[[1]])
    filled, hole = fill_memory(memory)[0], ~memory.known[0]
    assert (filled[hole] - truth.images[1][hole]).abs().mean() < 0.2
    redness = filled[..., 0] - filled[..., 1:].mean(-1)
    assert redness[hole].max() < 0.75  # the box is 1.0


def test_pull_push_keeps_what_is_known():
    values = torch.rand(1, 3, 9, 13, generator=torch.Generator().manual_seed(0))
    weight = (torch.rand(1, 1, 9, 13, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    out = pull_push(values, weight)
    torch.testing.assert_close(out * weight, values * weight)
    assert out.min() >= 0
    assert out.max() <= 1
    torch.testing.assert_close(pull_push(torch.full_like(values, 0.3), weight), torch.full_like(values, 0.3))
    assert (pull_push(values, 0 * weight) == 0.5).all()


def test_spoilt_depth_is_near_the_truth_and_keeps_the_unknown():
    depth = box_before_wall().depth[0].clone()
    depth[:3] = 0
    generator = torch.Generator().manual_seed(0)
    ratios = []
    for _ in range(20):
        spoilt = spoil_depth(depth, generator=generator)
        assert (spoilt[:2] == 0).all()
        ratios.append((spoilt[20:] / depth[20:]).log())
    sizes = torch.stack(ratios)
    assert 0.03 < sizes.std() < 0.3
    assert torch.equal(spoil_depth(depth, generator=generator, strength=0.0), depth)


def test_encoded_memory_is_independent_of_the_scenes_scale(codec):
    views = box_before_wall((0.0, 0.2))
    memory = remember(views.images[:1], views.depth[:1], views.cameras[[0]], views.cameras)
    larger = Memory(memory.color, memory.depth * 7, memory.coverage)
    for a, b in zip(
        encode_memory(memory, codec, scale=2.0), encode_memory(larger, codec, scale=14.0), strict=True
    ):
        torch.testing.assert_close(a, b)
    _, inverse, coverage = encode_memory(memory, codec, scale=2.0)
    assert inverse[0].max().item() == pytest.approx(2.0, abs=0.05)  # the box, at half the unit
    assert coverage[1].mean() < coverage[0].mean()


def test_visibility_from_another_camera():
    truth = box_before_wall()
    beside = cameras_beside_each_other([0.25])
    visible = visible_from(truth.depth[0], truth.cameras, beside)
    box = truth.depth[0] < 1.5
    assert visible[box].float().mean() > 0.9
    # The camera to the right cannot see the wall just left of the box, nor the left edge of the picture.
    assert visible_from(truth.depth[0], truth.cameras, truth.cameras).float().mean() > 0.93
    left_of_box = visible[12:20, 6:9]
    right_of_box = visible[12:20, 24:28]
    assert left_of_box.float().mean() < right_of_box.float().mean()


def test_random_cameras_see_part_of_the_picture():
    truth = box_before_wall()
    shares = []
    for seed in range(12):
        other = random_camera_near(
            truth.cameras, truth.depth[0], generator=torch.Generator().manual_seed(seed)
        )
        shares.append(visible_from(truth.depth[0], truth.cameras, other).float().mean().item())
    assert max(shares) > 0.6
    assert min(shares) < 0.95
    assert sum(share < 0.05 for share in shares) <= 2


def test_prepared_scenes(codec):
    views = box_before_wall((0.0, 0.1, 0.2, 0.3))
    sample = prepare_scene(views, codec, generator=torch.Generator().manual_seed(0), variants=3)
    assert sample["latents"].shape == (4, 4, 4, 4)
    assert sample["given"][0].tolist() == [True, False, False, False]
    assert all(1 <= count <= 3 for count in sample["given"].sum(1).tolist())
    assert sample["rays"].shape == (3, 4, 6, 4, 4)
    for k in range(3):
        reference = sample["reference"][k]
        assert sample["given"][k, reference]
        assert sample["rays"][k, reference, 3:].abs().max() == 0  # its rays start at the origin
    again = prepare_scene(views, codec, generator=torch.Generator().manual_seed(0), variants=3)
    assert all(torch.equal(sample[name], again[name]) for name in sample)


def test_scenes_are_prepared_on_their_own_device(codec, elsewhere, monkeypatch):
    """With the rasterizer of the CPU, which a GPU does not use."""
    views, filling = box_before_wall((0.0, 0.1, 0.2)), Filling()

    def prepared():
        generator = torch.Generator().manual_seed(0)
        return prepare_scene(views, codec, generator=generator, variants=2, filling=filling)

    here = prepared()
    monkeypatch.setattr(pieces, "rasterize", elsewhere.as_usual(pieces.rasterize))
    with elsewhere:
        there = prepared()
    for name in here.keys() - {"given", "reference"}:  # which are chosen on the CPU
        assert torch.equal(here[name], there[name])


def test_scenes_are_written_to_their_split(codec, tmp_path):
    scenes = [replace(box_before_wall((0.0, 0.1, 0.2)), name=f"scene-{i}") for i in range(40)]
    held_out = [scene.name for scene in scenes if is_held_out(scene.name)]
    assert 0 < len(held_out) < 20
    samples = scene_samples(scenes, codec, variants=1, filling=Filling())
    assert write_samples(samples, tmp_path, prefix="scenes") == 40
    read = {split: Shards(tmp_path / split) for split in (TRAIN, HELD_OUT)}
    assert [name for names in read[HELD_OUT].names for name in names] == held_out
    assert len(read[TRAIN]) == 40 - len(held_out)
    (shape,) = read[TRAIN].groups
    (sample,) = read[TRAIN].rows(shape, [0])
    assert torch.equal(sample["latents"], codec.encode(scenes[0].images).half())
    assert not sample["text"].any()


def test_scenes_can_be_learnt_from_in_several_looks(codec, tmp_path):
    scenes = [replace(box_before_wall((0.0, 0.1, 0.2)), name=f"scene-{i}", text="a box") for i in range(12)]
    held_out = sum(is_held_out(scene.name) for scene in scenes)
    assert held_out > 0
    samples = scene_samples(scenes, codec, variants=1, looks=3, filling=Filling())
    write_samples(samples, tmp_path, prefix="scenes")
    train, rest = Shards(tmp_path / TRAIN), Shards(tmp_path / HELD_OUT)
    assert (len(train), len(rest)) == (3 * (12 - held_out), held_out)
    (shape,) = train.groups
    plain, *others = train.rows(shape, range(3))
    assert torch.equal(plain["latents"], codec.encode(scenes[0].images).half())
    assert plain["text"].any()
    for other in others:
        assert not torch.equal(other["latents"], plain["latents"])
        assert not other["text"].any()


def test_photos_become_samples(codec, tmp_path):
    for name, size in (("larger", (96, 64)), ("fitting", (64, 32))):
        Image.effect_noise(size, 90).convert("RGB").save(tmp_path / f"{name}.png")
    paths = [tmp_path / "larger.png", tmp_path / "fitting.png"]

    def two_metres(image, focal_px):
        return torch.full(image.shape[:2], 2.0)

    samples = dict(photo_samples(paths, two_metres, codec, width=64, height=32, variants=2))
    assert samples.keys() == {"larger", "fitting"}
    photo = load_photo(tmp_path / "fitting.png").image[None]
    assert torch.equal(samples["fitting"]["latents"], codec.encode(photo).half())
    for sample in samples.values():
        assert sample["latents"].shape == (1, 4, 4, 8)
        assert sample["memory_coverage"].shape == (2, 1, 4, 4, 8)
        assert sample["memory_coverage"].any()
        assert not sample["given"].any()
        assert not sample["text"].any()


def test_other_colours_are_the_same_channels():
    views = box_before_wall()
    other = views.repainted(torch.Generator().manual_seed(1)).images.flatten(0, -2)
    red, green, blue = views.images.flatten(0, -2).unbind(-1)
    fits = [
        [float((new * old).sum() ** 2 / (new @ new * (old @ old))) for old in (red, green, blue)]
        for new in other.T
    ]
    best = [row.index(max(row)) for row in fits]
    assert sorted(best) == [0, 1, 2]
    assert best != [0, 1, 2]
    assert all(max(row) > 0.99 for row in fits)


def test_a_mirrored_scene_is_one_scene_still():
    views = box_before_wall((0.0, 0.1, 0.3))
    off_center = views.cameras.intrinsics + torch.tensor([[0.0, 0, 5], [0, 0, 0], [0, 0, 0]])
    views = replace(views, cameras=replace(views.cameras, intrinsics=off_center))
    mirrored = views.mirrored()
    points = views.cameras.unproject(views.depth)
    there = mirrored.cameras.unproject(mirrored.depth).flip(2) * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(there, points)
    torch.testing.assert_close(mirrored.images.flip(2), views.images)


def test_prepared_photos_have_holes_and_no_given_view(codec):
    views = box_before_wall()
    sample = prepare_photo(
        views.images[0],
        views.depth[0],
        views.cameras,
        codec,
        generator=torch.Generator().manual_seed(3),
        variants=4,
    )
    assert not sample["given"].any()
    assert sample["memory_coverage"].shape == (4, 1, 4, 4, 4)
    coverage = sample["memory_coverage"].float().mean((1, 2, 3, 4))
    assert coverage.std() > 0.01
    assert coverage.max() > 0.3


@pytest.fixture(scope="module")
def shards(codec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    scenes, photos = ShardWriter(folder, "scenes"), ShardWriter(folder, "photos")
    views = box_before_wall((0.0, 0.1, 0.2, 0.3, 0.4))
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        scene = prepare_scene(views, codec, generator=generator, variants=3)
        scenes.add(f"scene {seed}", {**scene, "text": torch.ones_like(no_text()).half()})
        photo = prepare_photo(views.images[0], views.depth[0], views.cameras[[0]], codec, generator=generator)
        photos.add(f"photo {seed}", {**photo, "text": no_text().half()})
    scenes.flush()
    photos.flush()
    return Shards(folder)


def test_shards_give_back_what_was_written(shards):
    assert len(shards) == 10
    assert set(shards.groups) == {(5, 4, 4, 4), (1, 4, 4, 4)}
    assert shards.names == [[f"photo {i}" for i in range(5)], [f"scene {i}" for i in range(5)]]
    row = shards.rows((5, 4, 4, 4), [3])[0]
    assert row["given"].shape == (3, 5)
    assert row["given"].dtype == torch.bool


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no prepared samples"):
        Shards(tmp_path)


def test_batches_follow_their_configuration(shards):
    generator = torch.Generator().manual_seed(0)
    config = BatchConfig(scenes=6, min_views=2, max_views=4, photo_share=0.4)
    batches = [random_batch(shards, config, generator) for _ in range(60)]
    views = [batch.latents.shape[1] for batch in batches]
    assert set(views) == {1, 2, 3, 4}
    assert 0.2 < views.count(1) / len(views) < 0.6
    kept = torch.cat([b.conditions.kept for b in batches if b.latents.shape[1] > 1]).float().mean(0)
    rates = dict(zip(CONDITION_NAMES, kept.tolist(), strict=True))
    assert rates["given"] == pytest.approx(1 - config.drop_given - config.drop_both, abs=0.1)
    assert rates["memory"] == pytest.approx(1 - config.drop_memory - config.drop_both, abs=0.1)
    assert rates["text"] == pytest.approx(1 - config.drop_text, abs=0.1)
    assert rates["time"] == 0.0  # all static
    for batch in batches:
        assert batch.weights.mean().item() == pytest.approx(1.0, abs=1e-4)
        assert (batch.conditions.given.sum(1) <= max(1, batch.latents.shape[1] - 1)).all()
        if batch.latents.shape[1] == 1:
            assert batch.conditions.has("memory").all()
            assert not batch.conditions.has("given").any()


def test_some_batches_are_single_views_from_their_sentence_alone(shards):
    generator = torch.Generator().manual_seed(0)
    config = BatchConfig(scenes=6, min_views=3, max_views=5, photo_share=0.0, text_share=0.5)
    batches = [random_batch(shards, config, generator) for _ in range(40)]
    alone = [batch for batch in batches if batch.latents.shape[1] == 1]
    assert 0.3 < len(alone) / len(batches) < 0.7
    for batch in alone:
        assert len(batch.latents) == 4 * config.scenes
        assert not batch.conditions.has("given").any()
        assert not batch.conditions.has("memory").any()
        assert not batch.conditions.given.any()
        assert (batch.weights == 1).all()
    kept = torch.cat([batch.conditions.has("text") for batch in alone]).float().mean()
    assert kept.item() == pytest.approx(1 - config.drop_text, abs=0.1)


def test_batches_are_reproducible(shards):
    a, b = (random_batch(shards, BatchConfig(), torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(a.latents, b.latents)
    assert torch.equal(a.conditions.kept, b.conditions.kept)


def test_loss_counts_unseen_cells_most_and_given_views_not_at_all(shards):
    config = BatchConfig(
        scenes=4, min_views=4, max_views=4, photo_share=0, drop_given=0, drop_both=0, drop_memory=0
    )
    batch = random_batch(shards, config, torch.Generator().manual_seed(0))
    weights = loss_map(batch.conditions, seen_weight=0.25)
    given = batch.conditions.given
    assert (weights[given] == 0).all()
    coverage = batch.conditions.memory_coverage.mean(2, keepdim=True)
    assert coverage[~given].min() < 0.5
    ratio = weights[~given] / (1 - 0.75 * coverage[~given])  # 1 where nothing is known, 0.25 where all is
    torch.testing.assert_close(ratio, ratio[:1, :1, :1, :1].expand_as(ratio))
    dropped = loss_map(batch.conditions.without("memory", "given"), seen_weight=0.25)
    assert (dropped == 1).all()


def test_views_are_cut_to_another_aspect_ratio():
    views = box_before_wall((0.0, 0.2))
    wide = views.fitted(64, 16)
    assert wide.images.shape == (2, 16, 64, 3)
    assert (wide.cameras.width, wide.cameras.height) == (64, 16)
    point = torch.tensor([0.3, 0.05, 2.0]).expand(2, 1, 3)
    before, after = views.cameras.project(point)[0], wide.cameras.project(point)[0]
    torch.testing.assert_close(after[..., 0], before[..., 0] * 2)
    torch.testing.assert_close(after[..., 1], (before[..., 1] - 12) * 2)
    assert math.isclose(wide.depth.max(), 2.0)


class TwoFrameWorld:
    """Five scenes of one shot of two frames, the third with a shot too short."""

    def __init__(self):
        self.scenes = {n: {"frames": [{"shot": 0}] * (1 if n == 2 else 2)} for n in range(5)}

    def __getitem__(self, key):
        scene, frame = key
        pose = np.eye(4)
        pose[0, 3] = frame
        depth = np.full((16, 16), np.inf if frame else 2.0, np.float32)
        return WorldFrame(
            scene, frame, np.full((16, 16, 3), 51, np.uint8), depth, np.zeros((16, 16, 3)),
            np.zeros((16, 16), np.uint16), pose, np.diag([16.0, 16.0, 1.0]), 0.0, 0, "a room",
        )  # fmt: skip


def test_world_scenes_are_shared_out_whole():
    world = TwoFrameWorld()
    whole = [s.name for s in world_scenes(world, views=2, width=8, height=8)]
    parts = [[s.name for s in world_scenes(world, views=2, width=8, height=8, part=(i, 2))] for i in (0, 1)]
    assert len(whole) == 4
    assert sorted(parts[0] + parts[1]) == whole
    assert all(parts)
    scene = next(iter(world_scenes(world, views=2, width=8, height=8)))
    assert scene.text == "a room"
    torch.testing.assert_close(scene.images, torch.full((2, 8, 8, 3), 0.2))
    assert scene.depth[0].unique().tolist() == [2.0]
    assert scene.depth[1].isfinite().all()  # the sky is far, not infinite
