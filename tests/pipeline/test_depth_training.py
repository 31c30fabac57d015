"""Losses, the feature cache and a resumed run, on a tiny world with stand-in features."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import depth_world
import numpy as np
import pytest
import torch
from torch import Tensor

from cosmorama.pipeline.commands.train_depth import TrainDepth
from cosmorama.pipeline.depth import FAR_DEPTH_M
from cosmorama.pipeline.depth import features as features_module
from cosmorama.pipeline.depth import training as training_module
from cosmorama.pipeline.depth.augment import SMALLEST_CROP, defocus, make_sample
from cosmorama.pipeline.depth.features import Batch, FeatureCache, cache_features, decode_batch, encode_sample
from cosmorama.pipeline.depth.frames import open_frames
from cosmorama.pipeline.depth.head import DepthHead, HeadConfig, HeadOutput, normalised_focal
from cosmorama.pipeline.depth.initialise import initialise_head
from cosmorama.pipeline.depth.losses import (
    FINISHING,
    LARGEST_ERROR,
    LossWeights,
    depth_loss,
    gradient_loss,
    instance_loss,
    medians_apart,
)
from cosmorama.pipeline.depth.metrics import depth_metrics
from cosmorama.pipeline.depth.training import (
    DepthTraining,
    cached_batches,
    go_on_from,
    live_batches,
    train_depth_head,
    validate,
)
from cosmorama.pipeline.training.checkpoints import load_weights
from cosmorama.pipeline.training.loop import LoopConfig
from cosmorama.pipeline.training.processes import Processes
from cosmorama.pipeline.world.render import Rendered
from cosmorama.pipeline.world.shards import ShardWriter, frame_files
from cosmorama.reconstruct.errors import InputError

HEAD = HeadConfig(channels=(16, 16, 8, 8), image_channels=(8, 8, 4), blocks=1)
ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "dinov2_features", depth_world.fake_features)
    monkeypatch.setattr(training_module, "dinov2_features", depth_world.fake_features)


def _config(steps: int, stop_after: int | None = None) -> DepthTraining:
    loop = LoopConfig(
        steps=steps,
        learning_rate=1e-3,
        warmup_steps=5,
        ema_decay=0.9,
        checkpoint_every=4,
        log_every=2,
        stop_after=stop_after,
    )
    return DepthTraining(head=HEAD, loop=loop, batch_size=4)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    folder = tmp_path_factory.mktemp("features")
    original, features_module.dinov2_features = features_module.dinov2_features, depth_world.fake_features
    cache_features(depth_world.TinyWorld(24), folder, grids=((4, 5), (5, 5)), shard_size=8)
    features_module.dinov2_features = original
    return FeatureCache(folder)


def test_sample_of_a_ground_plane_is_canonical() -> None:
    """A crop changes focal length per size and the picture, and the truth follows: back in metres it is the same."""
    frame = depth_world.TinyWorld(1)[0]
    sample = make_sample(frame, (6, 8), torch.Generator().manual_seed(0), augment=False)
    height, width = frame.depth_m.shape
    metres = sample.log_depth.exp() * normalised_focal(frame.focal_px, width, height)
    rows = ((torch.arange(48) + 0.5) * height / 48).long()
    columns = ((torch.arange(64) + 0.5) * width / 64).long()
    truth = frame.depth_m[rows][:, columns]
    assert sample.photo.shape == (84, 112, 3)
    assert torch.allclose(metres[sample.valid], truth[sample.valid], rtol=1e-4)
    assert torch.equal(sample.far, frame.far[rows][:, columns])
    assert not (sample.valid & sample.far).any()


def test_a_lens_close_up_blurs_what_is_far_and_not_what_it_is_focused_on() -> None:
    noise = torch.rand(60, 90, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 3)
    depth = torch.full((60, 90), 0.5)
    depth[:, :20] = torch.inf
    kept, blurred = 0, 0
    for seed in range(40):
        out = defocus(noise, depth, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(out[:, 24:], noise[:, 24:])
        kept += torch.equal(out, noise)
        blurred += bool(out[5:-5, 5:15].std() < 0.5 * noise[5:-5, 5:15].std())
    assert kept > 8
    assert blurred > 8
    nothing_near = torch.full((60, 90), 100.0)
    assert torch.equal(defocus(noise, nothing_near, torch.Generator().manual_seed(0)), noise)


def test_augmented_crop_keeps_metric_depth() -> None:
    """Cropping to a part s of the frame divides canonical depth by 1 / s: nothing gets nearer by cropping."""
    frame = depth_world.TinyWorld(1)[0]
    for seed in range(4):
        sample = make_sample(frame, (6, 8), torch.Generator().manual_seed(seed))
        found = sample.log_depth[sample.valid].exp()
        low, high = frame.depth_m[frame.depth_m > 0].min(), frame.depth_m.max()
        focals = [
            normalised_focal(frame.focal_px, round(80 * s), round(60 * s)) for s in (SMALLEST_CROP, 1.0)
        ]
        assert found.min() * focals[0] >= low * 0.99
        assert found.max() * focals[1] <= high * 1.01
        assert sample.photo.min() >= 0
        assert sample.photo.max() <= 1


def test_features_survive_the_cache() -> None:
    sample = make_sample(depth_world.TinyWorld(1)[0], (4, 5), torch.Generator().manual_seed(1))
    batch = decode_batch([encode_sample(sample, (3, 6, 9, 12))])
    exact = depth_world.fake_features(sample.photo[None])
    for found, true in zip(batch.features, exact, strict=True):
        assert (found - true).abs().max() < 0.006 * true.abs().max()
    assert torch.equal(batch.valid[0], sample.valid)
    assert torch.equal(batch.far[0], sample.far)
    assert (batch.log_depth[0] - sample.log_depth).abs().max() < 0.003
    assert sample.instances.max() > 0
    assert torch.equal(batch.instances[0], sample.instances * sample.valid)


def test_cache_goes_on_where_it_was(tmp_path: Path) -> None:
    world = depth_world.TinyWorld(10)
    cache_features(world, tmp_path, grids=((4, 5),), shard_size=4)
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert sorted(first) == [f"shard-0000{i}.safetensors" for i in range(3)]
    (tmp_path / "shard-00001.safetensors").unlink()
    cache_features(world, tmp_path, grids=((4, 5),), shard_size=4)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == first


def test_empty_cache_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards"):
        FeatureCache(tmp_path)


def test_every_batch_has_one_grid(cache: FeatureCache) -> None:
    assert len(cache) == 24
    generator = torch.Generator().manual_seed(0)
    shapes = {tuple(cache.sample(4, generator).photo.shape) for _ in range(12)}
    assert shapes == {(4, 32, 40, 3), (4, 40, 40, 3)}
    assert sum(len(read().photo) for read in cache.batches(5)) == 24


def test_gradient_loss_against_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    r, v = torch.randn(1, 4, 6, generator=generator), torch.rand(1, 4, 6, generator=generator) > 0.2
    total = 0.0
    for step in (1, 2):
        for dy, dx in ((step, 0), (0, step)):
            pairs = [
                abs((r[0, y + dy, x + dx] - r[0, y, x]).item())
                for y in range(0, 4 - dy, step)
                for x in range(0, 6 - dx, step)
                if v[0, y, x] and v[0, y + dy, x + dx]
            ]
            total += sum(pairs) / max(1, len(pairs))
    assert gradient_loss(r, v, scales=2).item() == pytest.approx(total, rel=1e-5)


def test_instance_loss_against_loop_and_of_leaning_things() -> None:
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(2, 8, 12, generator=generator)
    valid = torch.rand(2, 8, 12, generator=generator) > 0.2
    instances = torch.randint(4, (2, 8, 12), generator=generator)
    parts = [residual[i][valid[i] & (instances[i] == k)] for i in range(2) for k in (1, 2, 3)]
    roots = [math.sqrt(len(part)) for part in parts]
    deviations = [float((part - part.mean()).abs().mean()) for part in parts]
    expected = sum(r * d for r, d in zip(roots, deviations, strict=True)) / sum(roots)
    assert instance_loss(residual, valid, instances).item() == pytest.approx(expected, rel=1e-5)
    moved = 0.3 * instances.float()  # each thing by its own distance
    assert instance_loss(moved, valid, instances).item() == pytest.approx(0, abs=1e-6)
    leaning = torch.linspace(0, 1, 8)[:, None].expand(2, 8, 12)
    assert instance_loss(leaning, valid, instances).item() > 0.2
    for nothing in (None, torch.zeros_like(instances)):
        assert instance_loss(residual, valid, nothing).item() == 0


def test_loss_of_the_truth_and_of_a_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(2, 16, 24, generator=generator)
    valid = torch.rand(2, 16, 24, generator=generator) > 0.3
    far = ~valid & (torch.rand(2, 16, 24, generator=generator) > 0.5)
    zeros = torch.zeros_like(truth)
    _, exact = depth_loss(HeadOutput(truth, zeros, 20 * far.float() - 10), truth, valid, far)
    _, shifted = depth_loss(HeadOutput(truth + 0.7, zeros, zeros), truth, valid, far)
    assert all(
        exact[name].item() == pytest.approx(0, abs=1e-4) for name in ("shape", "scale", "gradient", "far")
    )
    assert shifted["shape"].item() == pytest.approx(0, abs=1e-5)
    assert shifted["scale"].item() == pytest.approx(0.7, rel=1e-4)


def test_relative_and_within_are_what_is_measured() -> None:
    error = torch.zeros(1, 10, 10)
    error[0, :3], error[0, 3] = -0.6, 0.1  # three tenths too near, a tenth slightly too far, the median right
    truth, valid = torch.ones(1, 10, 10), torch.ones(1, 10, 10, dtype=torch.bool)
    zeros = torch.zeros_like(truth)
    _, parts = depth_loss(HeadOutput(truth + error, zeros, zeros), truth, valid, ~valid)
    measured = depth_metrics((truth + error).exp()[0], truth.exp()[0], valid[0], median_scaling=True)
    assert parts["relative"].item() == pytest.approx(measured.absrel, abs=1e-4)
    assert parts["within"].item() == pytest.approx(1 - measured.delta1, abs=0.04)
    generator = torch.Generator().manual_seed(0)  # now one whose median of differences is another
    truth = torch.rand(1, 40, 50, generator=generator)
    error = 0.5 * ((truth > 0.3) & (truth < 0.6)).float()
    valid = torch.rand(1, 40, 50, generator=generator) > 0.2
    zeros = torch.zeros_like(truth)
    _, parts = depth_loss(HeadOutput(truth + error, zeros, zeros), truth, valid, ~valid)
    measured = depth_metrics((truth + error).exp()[0], truth.exp()[0], valid[0], median_scaling=True)
    median_of_differences = (error[valid] - error[valid].median()).expm1().abs().mean().item()
    assert parts["relative"].item() == pytest.approx(measured.absrel, abs=0.01)
    assert abs(median_of_differences - measured.absrel) > 0.03
    assert parts["within"].item() == pytest.approx(1 - measured.delta1, abs=0.05)
    truth, valid = torch.ones(1, 10, 10), torch.ones(1, 10, 10, dtype=torch.bool)
    zeros, far_off = torch.zeros(1, 10, 10), torch.zeros(1, 10, 10)
    far_off[0, 0] = 5.0
    _, parts = depth_loss(HeadOutput(truth + far_off, zeros, zeros), truth, valid, ~valid)
    assert parts["relative"].item() == pytest.approx(0.1 * math.expm1(LARGEST_ERROR), rel=1e-4)


def test_the_median_pulls_on_the_pixels_around_it() -> None:
    predicted = torch.arange(100.0).reshape(1, 10, 10).repeat(2, 1, 1).requires_grad_()
    valid = torch.stack([torch.ones(10, 10, dtype=torch.bool), torch.zeros(10, 10, dtype=torch.bool)])
    apart = medians_apart(predicted, torch.full((2, 10, 10), 40.0), valid)
    assert apart[0].item() == pytest.approx(10, abs=1)
    assert apart[1].item() == 0
    apart.sum().backward()
    assert predicted.grad is not None
    pulled = predicted.grad.flatten(1)
    assert (pulled[0, 47:53] > 0.1).all()
    assert (pulled[0, :46] == 0).all()
    assert (pulled[0, 55:] == 0).all()
    assert (pulled[1] == 0).all()


def test_confidence_does_not_pull_on_depth() -> None:
    log_depth = torch.zeros(1, 8, 8, requires_grad=True)
    log_scale = torch.zeros(1, 8, 8, requires_grad=True)
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    _, parts = depth_loss(
        HeadOutput(log_depth, log_scale, torch.zeros(1, 8, 8)), torch.ones(1, 8, 8), valid, ~valid
    )
    parts["likelihood"].backward()
    assert log_depth.grad is None
    assert log_scale.grad is not None
    assert log_scale.grad.abs().sum() == 0


def test_head_starts_from_a_constant_and_has_the_stated_size() -> None:
    torch.manual_seed(0)
    head = DepthHead().eval()
    assert sum(p.numel() for p in head.parameters()) < 5_000_000
    photo = torch.rand(1, 56, 70, 3)
    output = head(depth_world.fake_features(photo), torch.rand(1, 32, 40, 3))
    assert output.log_depth.shape == (1, 32, 40)
    assert output.log_depth.std() < 0.2


def test_a_wider_head_begins_as_the_one_it_goes_on_from() -> None:
    torch.manual_seed(0)
    narrow = DepthHead(HEAD).eval()
    for parameter in narrow.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    wide = DepthHead(replace(HEAD, dilations=(3,))).eval()
    go_on_from(wide, narrow.state_dict())
    features = [torch.randn(1, 9, 9, 384) for _ in HEAD.layers]
    photo = torch.rand(1, 72, 72, 3)
    for one, other in zip(narrow(features, photo), wide(features, photo), strict=True):
        assert torch.equal(one, other)
    torch.nn.init.normal_(wide.coarse[-1].second.weight, std=0.1)

    def reach(head: DepthHead) -> int:
        """Tokens to the right of a changed one whose coarse features change."""
        x = torch.randn(1, HEAD.channels[0], 9, 21)
        other = x.clone()
        other[..., 4, 0] += 1
        return int((head.coarse(x) != head.coarse(other)).any(1)[0].any(0).nonzero().max())

    assert (reach(narrow), reach(wide)) == (2, 8)


def test_the_command_takes_the_shape_of_the_head_it_goes_on_from() -> None:
    stored = {"head": asdict(replace(HEAD, dilations=(2,)))}
    command = TrainDepth(Path("data"), Path("out"), finish=True)
    assert command._config(None).head == HeadConfig()
    assert command._config(stored).head == replace(HEAD, dilations=(2,))
    wider = replace(command, dilations=(2, 4))._config(stored)
    assert wider.head == replace(HEAD, dilations=(2, 4))
    assert wider.loss == FINISHING


def test_weights_of_another_head_are_refused() -> None:
    with pytest.raises(InputError, match="another head"):
        go_on_from(DepthHead(HEAD), DepthHead(replace(HEAD, channels=(8, 16, 8, 8))).state_dict())
    with pytest.raises(InputError, match="coarse"):
        go_on_from(DepthHead(HEAD), DepthHead(replace(HEAD, blocks=2)).state_dict())


def test_only_the_parts_asked_for_are_trained_and_written(cache: FeatureCache, tmp_path: Path) -> None:
    start = DepthHead(HEAD).state_dict()
    out = tmp_path / "parts"
    trained = train_depth_head(
        cached_batches(cache, 4),
        cache.batches(8),
        _config(6),
        out=out,
        processes=ALONE,
        initial=start,
        only=["out.3"],
    )
    for name, value in trained.state_dict().items():
        assert torch.equal(value, start[name]) != name.startswith("out.3"), name
    assert set(load_weights(out / "head.safetensors")[1]) == {"out.3.weight", "out.3.bias"}


def test_training_learns_and_resumes_with_the_same_curve(cache: FeatureCache, tmp_path: Path) -> None:
    validation = cache.batches(8)
    straight = train_depth_head(
        cached_batches(cache, 4), validation, _config(24), out=tmp_path / "a", processes=ALONE
    )
    for leg in (6, 18):
        resumed = train_depth_head(
            cached_batches(cache, 4),
            validation,
            _config(24, stop_after=leg),
            out=tmp_path / "b",
            processes=ALONE,
        )
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    curves = [
        [json.loads(line) for line in (tmp_path / run / "curve.jsonl").read_text().splitlines()]
        for run in "ab"
    ]
    assert [row for row in curves[1] if row["step"] != 6] == curves[0]
    logged = [
        json.loads(line)["loss"] for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()
    ]
    assert sum(logged[-3:]) < sum(logged[:3])
    assert json.loads((tmp_path / "a" / "config.json").read_text())["batch_size"] == 4


def test_training_hears_which_thing_is_where(cache: FeatureCache, tmp_path: Path) -> None:
    """Of the same draws, those whose things are forgotten give the weights of a run without that part of the loss."""

    def forgetful(generator: torch.Generator) -> Batch:
        batch = cache.sample(4, generator)
        return replace(batch, instances=torch.zeros_like(batch.instances))

    def run(draw: Callable[[torch.Generator], Batch], whole: float) -> Tensor:
        config = replace(_config(4), loss=LossWeights(whole=whole))
        out = tmp_path / f"{draw.__name__}-{whole}"
        head = train_depth_head(draw, cache.batches(8)[:1], config, out=out, processes=ALONE)
        return torch.cat([p.detach().flatten() for p in head.parameters()])

    def known(generator: torch.Generator) -> Batch:
        return cache.sample(4, generator)

    without = run(known, 0.0)
    assert torch.equal(run(forgetful, 8.0), without)
    assert not torch.equal(run(known, 8.0), without)


def test_live_batches_have_the_cache_form() -> None:
    device = torch.device("cpu")
    batch_at = live_batches(depth_world.TinyWorld(3), batch_size=2, layers=(3, 6, 9, 12), device=device)
    one, again = (batch_at(torch.Generator().manual_seed(5)) for _ in range(2))
    head = DepthHead(replace(HEAD, feature_dropout=0.0))
    assert head(one.features, one.photo).log_depth.shape == one.log_depth.shape
    assert torch.equal(one.photo, again.photo)
    at_once = live_batches(
        depth_world.TinyWorld(3), batch_size=2, layers=(3, 6, 9, 12), device=device, threads=2
    )
    assert torch.equal(one.photo, at_once(torch.Generator().manual_seed(5)).photo)


def test_initialised_head_is_white_and_better_than_a_constant(cache: FeatureCache) -> None:
    batches = cache.batches(8)
    torch.manual_seed(0)
    plain, initialised = DepthHead(HEAD).eval(), DepthHead(HEAD).eval()
    initialise_head(initialised, batches)
    tokens = torch.cat([initialised.whitened(read().features)[0].reshape(-1, 384) for read in batches])
    assert tokens.mean(0).abs().max() < 1e-3
    assert tokens.var(0).max() < 1.1
    before, after = (validate(head, batches, torch.device("cpu")) for head in (plain, initialised))
    assert after["median_absrel"] < 0.8 * before["median_absrel"]
    assert after["metric_absrel"] < 0.8 * before["metric_absrel"]


def test_probes_of_linear_truth_are_exact() -> None:
    """Depth that is linear in the features, in shape and in scale, is found."""
    generator = torch.Generator().manual_seed(0)
    common = torch.nn.functional.normalize(torch.randn(384, generator=generator), dim=0) * 10
    weight = torch.randn(384, generator=generator) / 40 + common / 200

    def read() -> Batch:
        features = torch.randn(40, 4, 5, 384, generator=torch.Generator().manual_seed(1))
        features += 2 * torch.randn(40, 1, 1, 1, generator=torch.Generator().manual_seed(2)) * common
        log_depth = (features @ weight).repeat_interleave(8, 1).repeat_interleave(8, 2)
        valid = torch.ones_like(log_depth, dtype=torch.bool)
        return Batch([features] * 4, torch.zeros(40, 32, 40, 3), log_depth, valid, ~valid, valid.long())

    head = DepthHead(HEAD).eval()
    initialise_head(head, [read])
    batch = read()
    with torch.no_grad():
        error = head(batch.features, batch.photo).log_depth - batch.log_depth
    assert error.std() < 0.4 * batch.log_depth.std()


def test_scale_in_use_lies_between_what_was_trained_and_the_steady_probe(cache: FeatureCache) -> None:
    batches = cache.batches(8)
    torch.manual_seed(0)
    head = DepthHead(replace(HEAD, steady_share=0.25))
    initialise_head(head, batches)
    assert not any(p.requires_grad for p in head.steady.parameters())
    head.scale_probe.bias.data += 0.8  # what training might do
    batch = batches[0]()
    with torch.no_grad():
        trained = DepthHead(replace(HEAD, steady_share=0.0)).eval()
        trained.load_state_dict(head.state_dict())
        before = trained(batch.features, batch.photo)
        after = head.eval()(batch.features, batch.photo)
        steady = head.steady(torch.cat(head.whitened(batch.features), dim=-1).mean(dim=(1, 2)))[:, 0]
    shift = (after.log_depth - before.log_depth).flatten(1)
    assert shift.std(dim=1).max() < 1e-5  # the shape stays
    medians = torch.stack(
        [z[f <= 0].median() for z, f in zip(before.log_depth, before.far_logit, strict=True)]
    )
    assert torch.allclose(shift.mean(1), 0.25 * (steady - medians), atol=1e-4)
    assert shift.mean() < -0.1


def test_what_a_window_shows_is_not_learnt_indoors(tmp_path: Path) -> None:
    depth = np.full((8, 8), 3.0, np.float32)
    depth[:2], depth[2:4], depth[2, 0] = np.inf, 25.0, 400.0
    things = np.arange(64).reshape(8, 8) // 16
    picture = Rendered(np.zeros((8, 8, 3), np.uint8), depth, np.zeros((8, 8, 3), np.float32), things)
    writer = ShardWriter(tmp_path / "shard-00000.zip")
    for number, indoor in enumerate((True, False)):
        entry = {"intrinsics": [[8.0, 0, 4], [0, 8.0, 4], [0, 0, 1]]}
        writer.add_scene(number, {"indoor": indoor, "frames": [entry]}, [frame_files(picture)])
    writer.close()
    inside, outside = open_frames(tmp_path)
    assert not inside.far.any()
    assert (inside.depth_m[:4] == 0).all()
    assert outside.far[:2].all()
    for frame in (inside, outside):
        assert frame.instances is not None
        assert frame.instances.tolist() == things.tolist()
    assert outside.depth_m[2, 0] == FAR_DEPTH_M  # a mountain is as far as depth goes
    assert torch.allclose(outside.depth_m[3], torch.tensor(25.0), rtol=1e-3)
    assert torch.allclose(inside.depth_m[4:], torch.tensor(3.0), rtol=1e-3)
