import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cosmorama.pipeline.commands.train_views import TrainViews
from cosmorama.pipeline.diffusion import evaluation
from cosmorama.pipeline.diffusion.baselines import WarpGenerator
from cosmorama.pipeline.diffusion.batches import BatchConfig
from cosmorama.pipeline.diffusion.conditions import CONDITION_NAMES
from cosmorama.pipeline.diffusion.evaluation import Tally, evaluate_generator, patch_share
from cosmorama.pipeline.diffusion.filling import fill, load_filling
from cosmorama.pipeline.diffusion.generator import (
    DiffusionGenerator,
    SamplingConfig,
    filled_memory,
    reference_scale,
    request_conditions,
    resize_memory,
    working_size,
)
from cosmorama.pipeline.diffusion.groups import PosedViews
from cosmorama.pipeline.diffusion.guesses import Source
from cosmorama.pipeline.diffusion.held_out import NOISE_LEVELS, held_out_errors
from cosmorama.pipeline.diffusion.memory import fill_memory, remember
from cosmorama.pipeline.diffusion.model import ViewModel, build_network
from cosmorama.pipeline.diffusion.prepare import prepare_scene
from cosmorama.pipeline.diffusion.prior import Spread, measure_spread, prior_of
from cosmorama.pipeline.diffusion.repa import RepaConfig, alignment_loss
from cosmorama.pipeline.diffusion.schedules import NoiseDistribution
from cosmorama.pipeline.diffusion.shards import Shards, ShardWriter
from cosmorama.pipeline.diffusion.sheets import write_sheet
from cosmorama.pipeline.diffusion.text import no_text
from cosmorama.pipeline.diffusion.training import ViewTrainingConfig, preset, train_views
from cosmorama.pipeline.diffusion.transformer import TransformerConfig
from cosmorama.pipeline.generators import Memory, ViewRequest
from cosmorama.pipeline.latents.codec import Codec, CodecConfig
from cosmorama.pipeline.training.loop import LoopConfig
from cosmorama.pipeline.training.processes import Processes
from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError

WIDTH, HEIGHT = 48, 32
NETWORK = TransformerConfig(channels=4, width=32, depth=2, head_channels=16)


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    small = CodecConfig(channels=4, fine_width=8, width=8, encoder_blocks=(1, 1), decoder_blocks=(1, 1))
    return Codec(small).eval().requires_grad_(False)


def wall(offsets=(0.0, 0.1, 0.3, 0.5), depth=2.0):
    """A textured wall at constant depth, seen by cameras side by side."""
    poses = torch.eye(4).repeat(len(offsets), 1, 1)
    poses[:, 0, 3] = torch.tensor(offsets)
    cameras = Cameras(
        poses, pinhole_intrinsics(WIDTH, WIDTH, HEIGHT).expand(len(offsets), 3, 3), WIDTH, HEIGHT
    )
    origins, directions = cameras.rays()
    points = origins + depth * directions
    red, green = (3 * points[..., 0]).sin() / 2 + 0.5, (4 * points[..., 1]).cos() / 2 + 0.5
    images = torch.stack([red, green, torch.full_like(red, 0.4)], dim=-1)
    return PosedViews(images, torch.full_like(red, depth), cameras, "wall")


def request(views, **changes):
    memory = remember(views.images[:1], views.depth[:1], views.cameras[[0]], views.cameras[[1, 2, 3]])
    plain = ViewRequest(views.cameras[[1, 2, 3]], memory, views.images[:1], views.cameras[[0]], seed=0)
    return replace(plain, **changes)


def test_request_becomes_the_conditions_of_training(codec, monkeypatch):
    monkeypatch.setattr("cosmorama.pipeline.diffusion.generator.WORKING_PIXELS", WIDTH * HEIGHT)
    views = wall()
    conditions = request_conditions(request(views), codec)
    assert conditions.views == 4
    assert conditions.given.tolist() == [[True, False, False, False]]
    kept = dict(zip(CONDITION_NAMES, conditions.kept[0].tolist(), strict=True))
    assert kept == {"rays": True, "given": True, "memory": True, "time": False, "text": False}
    torch.testing.assert_close(conditions.given_latents[0, 0], codec.encode(views.images[0]))
    monkeypatch.setattr("cosmorama.pipeline.diffusion.prepare.spoil_depth", lambda depth, **_: depth)
    sample = prepare_scene(views, codec, generator=torch.Generator().manual_seed(0), variants=1)
    for name in ("rays", "memory_latents", "memory_depth", "memory_coverage"):
        expected = sample[name][0, 1:].float()
        torch.testing.assert_close(getattr(conditions, name)[0, 1:], expected, atol=0.02, rtol=0.02)


def test_requests_without_photos_or_memory(codec):
    views = wall()
    nothing = Memory(
        *(torch.zeros(3, *shape) for shape in ((HEIGHT, WIDTH, 3), (HEIGHT, WIDTH), (HEIGHT, WIDTH)))
    )
    blind = request(
        views, memory=nothing, photos=torch.zeros(0, HEIGHT, WIDTH, 3), photo_cameras=views.cameras[[]]
    )
    conditions = request_conditions(blind, codec)
    assert conditions.views == 3
    assert not conditions.has("given").any()
    assert not conditions.has("memory").any()
    timed = request_conditions(request(views, times=torch.tensor([0.2, 0.4, 0.9])), codec)
    assert timed.has("time").all()
    torch.testing.assert_close(timed.times[0], torch.tensor([0.0, 0.2, 0.4, 0.9]))


def test_scale_is_the_depth_seen_from_the_reference(codec):
    for depth in (2.0, 6.0):
        asked = request(wall(depth=depth))
        assert reference_scale(asked.memory, asked.cameras, asked.photo_cameras) == pytest.approx(
            depth, rel=0.02
        )


def test_working_size_keeps_the_aspect():
    assert working_size(640, 640) == (128, 128)
    width, height = working_size(1280, 720)
    assert width % 16 == height % 16 == 0
    assert 0.8 < width * height / 128**2 < 1.25
    assert width / height == pytest.approx(16 / 9, rel=0.15)


def test_resized_memory_does_not_mix_unknown_depth_in():
    depth = torch.full((1, 8, 8), 3.0)
    depth[:, :, :3] = 0
    small = resize_memory(Memory(torch.ones(1, 8, 8, 3), depth, (depth > 0).float()), 4, 4)
    values = small.depth[small.depth > 0]
    torch.testing.assert_close(values, torch.full_like(values, 3.0))
    assert small.depth[0, 0, 0] == 0


def test_generator_answers_in_the_size_and_number_that_was_asked(codec):
    generator = DiffusionGenerator(
        ViewModel(build_network(NETWORK), "v"), codec, config=SamplingConfig(steps=3)
    )
    steps = []
    asked = request(wall())
    out = generator(asked, on_progress=lambda i, n: steps.append((i, n)))
    assert out.shape == (3, HEIGHT, WIDTH, 3)
    assert 0 <= out.min() <= out.max() <= 1
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(generator(asked), out)
    known = asked.memory.known
    assert torch.equal(out[known], asked.memory.color[known])
    assert not torch.equal(generator(replace(asked, seed=1)), out)


def test_without_starting_noise_the_seed_does_not_matter(codec):
    model = ViewModel(build_network(NETWORK), "v")
    asked = request(wall())
    still = DiffusionGenerator(model, codec, config=SamplingConfig(steps=3, noise=0.0))
    assert torch.equal(still(asked), still(replace(asked, seed=1)))


def test_what_the_denoiser_does_not_change_is_the_filling(codec):
    untrained = DiffusionGenerator(
        ViewModel(build_network(NETWORK), "v"), codec, config=SamplingConfig(noise=0.0)
    )
    asked = request(wall())
    generated, filled = untrained._generated(asked, None), filled_memory(asked, None)
    torch.testing.assert_close(generated, filled, atol=0.01, rtol=0)
    assert (codec.decode(codec.encode(filled)) - filled).abs().max() > 0.02  # it did not go through the codec


def test_the_memory_is_filled_by_the_learned_filling_where_the_photos_depth_is_known(codec, monkeypatch):
    monkeypatch.setattr("cosmorama.pipeline.diffusion.generator.WORKING_PIXELS", WIDTH * HEIGHT)
    views, filling = wall(), load_filling()
    asked = request(views, photo_depths=views.depth[:1])
    source = Source(views.images[0], views.depth[0], views.cameras[[0]])
    expected = fill(asked.memory, asked.cameras, source, filling)
    torch.testing.assert_close(filled_memory(asked, filling), expected)
    smooth = fill_memory(asked.memory)
    assert (expected - smooth).abs().max() > 0.05
    torch.testing.assert_close(filled_memory(asked, None), smooth)
    torch.testing.assert_close(filled_memory(replace(asked, photo_depths=None), filling), smooth)
    conditions = request_conditions(asked, codec, filled=filled_memory(asked, filling))
    torch.testing.assert_close(conditions.memory_latents[0, 1:], codec.encode(expected))


def test_a_perfect_and_a_blind_generator_are_told_apart(monkeypatch):
    def mean_colors(images, layers):
        return [torch.nn.functional.avg_pool2d(images.permute(0, 3, 1, 2), 14).permute(0, 2, 3, 1)]

    monkeypatch.setattr(evaluation, "dinov2_features", mean_colors)
    views = wall()

    class Oracle(WarpGenerator):
        def __call__(self, request, *, on_progress=None):
            return views.images[1:]

    truth, warp = evaluate_generator(Oracle(), [views]), evaluate_generator(WarpGenerator(), [views])
    assert truth["psnr_unseen"] > 60
    assert truth["ssim"] > 0.99
    assert abs(truth["perceptual_unseen"]) < 1e-3
    assert warp["psnr_unseen"] < 12
    assert warp["psnr_seen"] > 20
    assert warp["perceptual_unseen"] > truth["perceptual_unseen"] + 0.03
    assert truth["consistency_psnr"] > 20


def test_tally_separates_seen_from_unseen(monkeypatch):
    monkeypatch.setattr(evaluation, "dinov2_features", lambda x, layers: [torch.ones(1, 2, 2, 4)])
    truth = torch.full((1, 28, 28, 3), 0.5)
    views, seen = truth.clone(), torch.zeros(1, 28, 28, dtype=torch.bool)
    seen[:, :, :14] = True
    views[:, :, 14:] += 0.1
    tally = Tally()
    tally.add(views, truth, seen)
    scores = tally.scores()
    assert scores["psnr_seen"] == 100.0
    assert scores["psnr_unseen"] == pytest.approx(20.0, abs=0.01)
    assert patch_share(seen)[0].tolist() == [[1.0, 0.0], [1.0, 0.0]]


def write_data(folder, codec, *, features):
    views = wall()
    for split in ("train", "held_out"):
        writer = ShardWriter(folder / split, "scenes")
        for seed in range(4):
            sample = prepare_scene(views, codec, generator=torch.Generator().manual_seed(seed), variants=2)
            sample["text"] = no_text().half()
            if features:
                sample["features"] = torch.randn(
                    4, 2, 3, 384, generator=torch.Generator().manual_seed(0)
                ).half()
            writer.add(str(seed), sample)
        writer.flush()


def test_features_to_align_with_must_be_there(codec, tmp_path):
    write_data(tmp_path / "data", codec, features=False)
    config = ViewTrainingConfig(network=NETWORK, repa=RepaConfig())
    with pytest.raises(InputError, match="no features to align with"):
        train_views(
            tmp_path / "data" / "train", tmp_path / "run", config, Processes(0, 1, torch.device("cpu"))
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("repa", [False, True])
def test_training_learns_and_draws_sheets(codec, tmp_path, repa):
    write_data(tmp_path / "data", codec, features=repa)
    config = ViewTrainingConfig(
        network=NETWORK,
        noise=NoiseDistribution(0.0, 1.0),
        batch=BatchConfig(scenes=4, min_views=3, max_views=3),
        loop=LoopConfig(steps=40, learning_rate=5e-3, warmup_steps=5, checkpoint_every=20, log_every=1),
        repa=RepaConfig(after_block=1, hidden=32) if repa else None,
    )
    held_out, drawn = Shards(tmp_path / "data" / "held_out"), []

    def on_checkpoint(step, model):
        write_sheet(tmp_path / f"{step}.png", model, held_out, codec, views=3, steps=2)
        drawn.append(step)

    train_views(
        tmp_path / "data" / "train",
        tmp_path / "run",
        config,
        Processes(0, 1, torch.device("cpu")),
        on_checkpoint=on_checkpoint,
    )
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for name in ["denoising", *(["alignment"] if repa else [])]:
        values = [row[name] for row in rows]
        assert sum(values[-8:]) < 0.9 * sum(values[:8]), name
    assert drawn == [20, 40]
    assert (tmp_path / "40.png").stat().st_size > 1000
    assert (tmp_path / "run" / "views.safetensors").exists()


class Answers:
    """A model that answers with the truth, or with its prior."""

    def __init__(self, right):
        self.network, self.spread, self.right = torch.nn.Linear(1, 1), Spread(), right

    def __call__(self, x, sigma, conditions):
        return conditions.given_latents if self.right else prior_of(conditions, self.spread).center


def test_held_out_errors_know_the_truth_and_the_prior(codec, tmp_path):
    write_data(tmp_path, codec, features=False)
    shards = Shards(tmp_path / "held_out")
    right, blind = (held_out_errors(Answers(r), shards, views=3, groups=4) for r in (True, False))
    assert right["unseen"] == right["seen"] == [0.0] * len(NOISE_LEVELS)
    assert blind["unseen"] == blind["prior_unseen"] == right["prior_unseen"]
    assert min(blind["unseen"]) > 0.01
    assert min(blind["seen"]) > 0
    untrained = ViewModel(build_network(NETWORK).eval(), "v", measure_spread(shards))
    errors = held_out_errors(untrained, shards, views=3, groups=4)
    prior, noise = errors["prior_unseen"][0], errors["noise_levels"][-1] ** 2
    assert errors["unseen"][0] == pytest.approx(prior, rel=0.05)
    assert errors["unseen"][-1] == pytest.approx(
        prior * noise / (prior + noise), rel=0.1
    )  # the best linear answer
    assert errors == held_out_errors(untrained, shards, views=3, groups=4)


def test_alignment_is_one_minus_cosine_on_any_grid():
    features = torch.randn(1, 2, 4, 4, 384, generator=torch.Generator().manual_seed(0))
    assert alignment_loss(features, 3 * features).item() == pytest.approx(0.0, abs=1e-5)
    assert alignment_loss(features, -features).item() == pytest.approx(2.0, abs=1e-5)
    constant = torch.ones(1, 2, 8, 8, 384)
    assert alignment_loss(torch.ones(1, 2, 4, 4, 384), constant).item() == pytest.approx(0.0, abs=1e-5)


def test_commands_parse_without_heavy_imports():
    code = (
        "import sys, tyro\n"
        "from cosmorama.pipeline.commands.train_views import TrainViews\n"
        "from cosmorama.pipeline.commands.eval_views import EvalViews\n"
        "from cosmorama.pipeline.commands.eval_codec import EvalCodec\n"
        "from cosmorama.pipeline.commands.eval_denoiser import EvalDenoiser\n"
        "from cosmorama.pipeline.commands.bench_views import BenchViews\n"
        "from cosmorama.pipeline.commands.prepare_views import PrepareViews\n"
        "tyro.cli(TrainViews, args=['--data', 'a', '--out', 'b', '--preset', 'gpu'])\n"
        "tyro.cli(EvalViews, args=['folder', '--json'])\n"
        "tyro.cli(EvalCodec, args=['folder', '--json'])\n"
        "tyro.cli(EvalDenoiser, args=['folder', '--json'])\n"
        "tyro.cli(BenchViews, args=[])\n"
        "tyro.cli(PrepareViews, args=['--out', 'c', '--world', 'w'])\n"
        "assert 'torch' not in sys.modules\n"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_given_to_training_goes_before_the_preset():
    base = preset("cpu")
    command = TrainViews(Path("d"), Path("o"), joint_blocks=0, photo_share=0.0, views=(8, 8), steps=7)
    config = command.config()
    assert (config.network.joint_blocks, config.batch.photo_share) == (0, 0.0)
    assert (config.batch.min_views, config.batch.max_views) == (8, 8)
    assert config.loop == replace(base.loop, steps=7)
    assert TrainViews(Path("d"), Path("o")).config() == base


@pytest.mark.parametrize(
    "options", [{"width": 64}, {"depth": 2}, {"architecture": "transformer", "joint_blocks": 2}]
)
def test_options_of_the_other_network_are_refused(options):
    with pytest.raises(InputError, match="this is a"):
        TrainViews(Path("d"), Path("o"), **options).config()


@pytest.mark.parametrize(
    "options",
    [
        {"scenes": 0}, {"views": (0, 4)}, {"views": (5, 4)}, {"photo_share": 1.5}, {"text_share": -0.1},
        {"steps": 0}, {"learning_rate": 0.0}, {"accumulate": 0}, {"checkpoint_every": 0},
    ],
)  # fmt: skip
def test_what_cannot_be_trained_with_is_refused(options):
    with pytest.raises(InputError, match="|".join(["at least one scene", "views per scene", "must"])):
        TrainViews(Path("d"), Path("o"), **options).config()
