import math
from dataclasses import replace

import pytest
import torch

from cosmorama.pipeline.diffusion.filling import (
    GEOMETRY_MAPS,
    Filling,
    FillingConfig,
    evened,
    fill,
    filling_from_file,
    load_filling,
    save_filling,
)
from cosmorama.pipeline.diffusion.filling_training import (
    FillingTraining,
    collect_samples,
    filling_sample,
    fit_linear,
    hidden_psnr,
    load_samples,
    save_samples,
    train_filling,
    varied,
)
from cosmorama.pipeline.diffusion.groups import PosedViews
from cosmorama.pipeline.diffusion.guesses import COLORS, Source, guess
from cosmorama.pipeline.diffusion.memory import remember
from cosmorama.pipeline.training.loop import LoopConfig
from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError

WIDTH, HEIGHT = 64, 48
FLOOR, WALL = torch.tensor([0.8, 0.3, 0.1]), torch.tensor([0.2, 0.4, 0.9])


def room(offsets=(0.0, 0.5, -0.8), turns=(0.0, 0.5, -0.4), scale=1.0, mirror=False):
    """A floor one metre below and a wall four metres ahead, from cameras that are moved and turned sideways."""
    sign = -1.0 if mirror else 1.0
    poses = torch.eye(4).repeat(len(offsets), 1, 1)
    for pose, offset, turn in zip(poses, offsets, turns, strict=True):
        c, s = math.cos(turn), sign * math.sin(turn)
        pose[:3, :3] = torch.tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
        pose[0, 3] = sign * offset
    cameras = Cameras(
        poses, pinhole_intrinsics(40.0, WIDTH, HEIGHT).expand(len(offsets), 3, 3), WIDTH, HEIGHT
    )
    origins, directions = cameras.rays()
    to_wall = torch.where(directions[..., 2] > 0.05, 4 / directions[..., 2].clamp(min=0.05), 50.0)
    to_floor = torch.where(directions[..., 1] > 0.02, 1 / directions[..., 1].clamp(min=0.02), 50.0)
    depth = torch.minimum(to_wall, to_floor).clamp(max=30)
    points = origins + depth[..., None] * directions
    shade = 0.1 * (sign * points[..., :1]).tanh()
    images = torch.where((to_floor < to_wall)[..., None], FLOOR, WALL) + shade
    poses = cameras.world_from_cam.clone()
    poses[:, :3, 3] *= scale
    return PosedViews(images, depth * scale, replace(cameras, world_from_cam=poses), "room")


def guesses_of(views, others=(1, 2)):
    others = list(others)
    memory = remember(views.images[:1], views.depth[:1], views.cameras[[0]], views.cameras[others])
    source = Source(views.images[0], views.depth[0], views.cameras[[0]])
    return guess(memory, views.cameras[others], source), memory, source


def test_guesses_from_planes_continue_floor_and_wall():
    views = room()
    guesses, memory, _ = guesses_of(views)
    assert guesses.geometry.shape[1] == GEOMETRY_MAPS == len(guesses.names)
    hidden = (~memory.known).float()[:, None]
    hidden = torch.nn.functional.avg_pool2d(hidden, 8)[:, 0] > 0.9
    truth = torch.nn.functional.avg_pool2d(views.images[1:].permute(0, 3, 1, 2), 8)
    assert 0.1 < hidden.float().mean() < 0.8

    def error(name):
        apart = guesses.colors[:, COLORS.index(name)] - truth
        return float(apart.abs().mean(1)[hidden].mean())

    assert error("nearest") < 0.05
    assert error("plane0") < 0.7 * error("smooth")
    assert error("photo") > 0.15


def test_guesses_do_not_depend_on_the_worlds_place_and_size():
    plain, *_ = guesses_of(room())
    views = room(scale=3.0)
    c, s = math.cos(1.0), math.sin(1.0)
    move = torch.tensor([[c, -s, 0, 5.0], [s, c, 0, -2.0], [0, 0, 1, 1.0], [0, 0, 0, 1.0]])
    moved, *_ = guesses_of(
        replace(views, cameras=replace(views.cameras, world_from_cam=move @ views.cameras.world_from_cam))
    )
    apart = (moved.colors - plain.colors).abs().amax((0, 2)).flatten(1)
    assert apart.quantile(0.95) < 0.02
    assert (moved.geometry - plain.geometry).abs().flatten(2).quantile(0.9) < 0.05


def test_mirrored_guesses_are_those_of_the_mirrored_world():
    plain, *_ = guesses_of(room())
    mirrored, *_ = guesses_of(
        replace(room(mirror=True), images=room().images.flip(2), depth=room().depth.flip(2))
    )
    expected = plain.mirrored()
    assert (mirrored.colors - expected.colors).abs().flatten().quantile(0.95) < 0.03
    for i, name in enumerate(plain.names):
        apart = (mirrored.geometry[:, i] - expected.geometry[:, i]).abs()
        assert apart.median() < 0.05, name


def test_untrained_filling_is_the_smooth_one_and_keeps_what_is_known():
    _, memory, source = guesses_of(room())
    cameras = room().cameras[[1, 2]]
    filled = fill(memory, cameras, source, Filling())
    known = memory.known
    assert torch.equal(filled[known], memory.color[known])
    assert torch.isfinite(filled).all()
    learned = fill(memory, cameras, source, load_filling())
    truth = room().images[1:]
    errors = [(x - truth).square()[~known].mean() for x in (filled, learned)]
    assert errors[1] < 0.75 * errors[0], errors


def test_evened_answers_turn_with_the_world():
    guesses, *_ = guesses_of(room())
    filling = load_filling()
    order, back = [2, 0, 1], [1, 2, 0]
    even, raw = evened(filling, guesses), filling(guesses.colors, guesses.geometry)
    other = replace(guesses.mirrored(), colors=guesses.mirrored().colors[:, :, order])
    assert (evened(filling, other)[:, back].flip(-1) - even).abs().max() < 1e-5
    assert (filling(other.colors, other.geometry)[:, back].flip(-1) - raw).abs().max() > 1e-3
    assert (even - raw).abs().mean() < 0.05


def test_closed_form_finds_the_guess_that_is_right():
    samples = filling_sample(room(), generator=torch.Generator().manual_seed(3))
    plane = samples.colors[:, COLORS.index("plane1")]
    samples = replace(samples, truth=plane.clone())
    filling = Filling(FillingConfig(width=8, blocks=1))
    before = hidden_psnr(filling, samples)
    fit_linear(filling, samples, ridge=1e-5, cells=10_000, generator=torch.Generator().manual_seed(0))
    assert hidden_psnr(filling, samples) > before + 10


def test_variation_keeps_guesses_and_truth_together():
    samples = filling_sample(room(), generator=torch.Generator().manual_seed(3))
    samples = replace(samples, truth=samples.colors[:, 0].clone()).rows(torch.arange(len(samples)))
    seen = set()
    for seed in range(6):
        out = varied(samples, 0.3, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(out.truth, out.colors[:, 0])
        hidden = out.names.index("hidden")
        torch.testing.assert_close(
            out.geometry[:, hidden : hidden + 1], 2 * out.hidden - 1, atol=2e-3, rtol=0
        )
        seen.add(float(out.truth.sum()))
    assert len(seen) == 6


def test_training_learns_and_resumes(tmp_path):
    scenes = [replace(room(turns=(0.0, t, -t)), name=f"room-{i}") for i, t in enumerate((0.5, 0.6, 0.7, 0.8))]
    samples = collect_samples(scenes)
    together = samples[False]
    save_samples(tmp_path / "samples.safetensors", together)
    assert torch.equal(load_samples(tmp_path / "samples.safetensors").colors, together.colors)
    config = FillingTraining(
        network=FillingConfig(width=8, blocks=1),
        ridge=1e6,
        batch=4,
        brightness=0.0,
        loop=LoopConfig(steps=30, learning_rate=5e-3, warmup_steps=2, ema_decay=0.8, checkpoint_every=15),
    )
    scores = train_filling(together, together, tmp_path / "run", config)
    assert scores["filling"] > scores["smooth"] + 0.5
    part = replace(config, loop=replace(config.loop, stop_after=15))
    train_filling(together, None, tmp_path / "legs", part)
    train_filling(together, None, tmp_path / "legs", config)
    one, two = (filling_from_file(tmp_path / run / "filling.safetensors") for run in ("run", "legs"))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values()))
    slower = replace(config, loop=replace(config.loop, learning_rate=3e-4))
    on = train_filling(together, together, tmp_path / "on", slower, start=two)
    assert on["start"] == scores["filling"]  # before the first step it is what was given
    assert on["filling"] > on["start"]
    assert not torch.equal(two.linear.weight, one.linear.weight)  # the linear part is free now


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "filling.safetensors"
    save_filling(path, Filling(FillingConfig(width=8, blocks=1)))
    assert filling_from_file(path).config.width == 8
    from cosmorama.pipeline.training.checkpoints import save_weights

    save_weights(path, torch.nn.Linear(2, 2), config={"width": 8})
    with pytest.raises(InputError, match="no filling network"):
        filling_from_file(path)
