import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from cosmorama.pipeline.training.checkpoints import load_checkpoint, load_weights, save_weights
from cosmorama.pipeline.training.ema import Ema
from cosmorama.pipeline.training.loop import LoopConfig, learning_rate_factor, step_generator, train
from cosmorama.pipeline.training.processes import Processes, join_processes
from cosmorama.reconstruct.errors import InputError

ALONE = Processes(0, 1, torch.device("cpu"))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))


def batch_at(generator):
    return torch.randn(8, 4, generator=generator)


def loss_fn(model, x, generator):
    noise = 0.1 * torch.randn(8, 2, generator=generator)
    return (model(x) - x[:, :2] * x[:, 2:] + noise).square().mean(), {"size": x.abs().mean()}


def run(out, config, model=None):
    model = model or network()
    ema = train(model, batch_at, loss_fn, config, out=out, processes=ALONE)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return model, ema, [(row["step"], row["loss"], row["size"]) for row in rows]


CONFIG = LoopConfig(
    steps=40, learning_rate=1e-2, warmup_steps=5, checkpoint_every=10, log_every=1, ema_decay=0.95
)


def with_(config, **changes):
    return LoopConfig(**{**config.__dict__, **changes})


def test_learns(tmp_path):
    _, _, curve = run(tmp_path, with_(CONFIG, steps=300))
    losses = [loss for _, loss, _ in curve]
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])


def test_a_killed_run_goes_on_with_the_same_curve(tmp_path):
    whole_model, whole_ema, whole_curve = run(tmp_path / "whole", CONFIG)

    class KilledError(Exception):
        pass

    def dying(model, x, generator):
        dying.calls += 1
        if dying.calls > 27:  # between the checkpoints at 20 and 30
            raise KilledError
        return loss_fn(model, x, generator)

    dying.calls = 0
    with pytest.raises(KilledError):
        train(network(), batch_at, dying, CONFIG, out=tmp_path / "killed", processes=ALONE)
    torch.manual_seed(99)
    model, ema, curve = run(tmp_path / "killed", CONFIG, model=nn.Sequential(*network()).apply(_scramble))
    assert curve == whole_curve
    for mine, other in ((model, whole_model), (ema.model, whole_ema.model)):
        for a, b in zip(mine.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)


def _scramble(module):
    for parameter in module.parameters(recurse=False):
        nn.init.normal_(parameter)


def test_legs_make_the_same_run(tmp_path):
    whole = run(tmp_path / "whole", CONFIG)[2]
    run(tmp_path / "legs", with_(CONFIG, stop_after=13))
    run(tmp_path / "legs", with_(CONFIG, stop_after=9))
    assert run(tmp_path / "legs", CONFIG)[2] == whole


def test_accumulation_averages_gradients():
    def gradients(accumulate):
        model, seen = network(), []

        def record(model, x, generator):
            seen.append(x)
            return loss_fn(model, x, generator)

        from cosmorama.pipeline.training.loop import _gradients

        _gradients(model, batch_at, record, LoopConfig(accumulate=accumulate, seed=3), 5, ALONE, False)
        return [p.grad.clone() for p in model.parameters()], seen

    three, batches = gradients(3)
    assert not torch.equal(batches[0], batches[1])
    singles = []
    for micro in range(3):
        model, generator = network(), step_generator(3, 5, micro, 0)
        loss_fn(model, batch_at(generator), generator)[0].backward()
        singles.append([p.grad for p in model.parameters()])
    for together, *apart in zip(three, *singles, strict=True):
        torch.testing.assert_close(together, sum(apart) / 3)


def test_learning_rate_is_a_trapezoid():
    config = LoopConfig(steps=100, warmup_steps=10, decay_fraction=0.2)
    factors = [learning_rate_factor(step, config) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9:80] == [1.0] * 71
    assert factors[90] == pytest.approx(0.5)
    assert factors[99] == pytest.approx(0.05)


def test_ema_is_a_geometric_average_after_its_warm_up():
    model = nn.Linear(1, 1, bias=False)
    ema = Ema(model, decay=0.5)
    ema.updates = 1000
    nn.init.zeros_(ema.model.weight)
    nn.init.ones_(model.weight)
    for _ in range(3):
        ema.update(model)
    assert ema.model.weight.item() == pytest.approx(1 - 0.5**3)
    first = Ema(model, decay=0.999)
    nn.init.constant_(model.weight, 3.0)
    first.update(model)
    assert first.model.weight.item() == pytest.approx(1 + 2 * 0.9)  # decay is (1 + 0) / (10 + 0) at first


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    run(tmp_path, with_(CONFIG, steps=2))
    other = nn.Linear(3, 3)
    with pytest.raises(InputError, match="another network"):
        load_checkpoint(
            tmp_path / "checkpoint.safetensors",
            model=other,
            ema=Ema(other),
            optimizer=torch.optim.AdamW(other.parameters()),
        )


def test_weights_for_use_are_half_precision_and_carry_their_configuration(tmp_path):
    model = network()
    save_weights(tmp_path / "w.safetensors", model, config={"width": 16})
    config, tensors = load_weights(tmp_path / "w.safetensors")
    assert config == {"width": 16}
    assert (tmp_path / "w.safetensors").stat().st_size < 1000
    torch.testing.assert_close(tensors["0.weight"], model[0].weight.detach(), atol=1e-3, rtol=1e-3)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match="step 0"):
        train(
            network(),
            batch_at,
            lambda m, x, g: (m(x).sum() * float("nan"), {}),
            CONFIG,
            out=tmp_path,
            processes=ALONE,
        )


WORKER = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_training_loop import CONFIG, batch_at, loss_fn, network, with_
from cosmorama.pipeline.training.loop import train
from cosmorama.pipeline.training.processes import join_processes
torch.set_num_threads(1)
with join_processes("cpu") as processes:
    assert processes.count == 2
    model = network()
    out = Path({out!r}) / str(processes.rank)
    config = with_(CONFIG, steps=6, accumulate=2, bf16=False)  # None would be true where the CPU has it
    train(model, batch_at, loss_fn, config, out=out, processes=processes)
    torch.save([p.detach() for p in model.parameters()], Path({out!r}) / f"{{processes.rank}}.pt")
"""


def test_two_processes_train_one_network(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(folder=os.path.dirname(__file__), out=str(tmp_path)))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        str(script),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    # The same as one process that accumulates the gradients of all four micro-batches itself.
    model = network()
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.01},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.99),
    )
    config = with_(CONFIG, steps=6)
    for step in range(6):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * learning_rate_factor(step, config)
        optimizer.zero_grad()
        for micro in range(2):
            for rank in range(2):
                generator = step_generator(config.seed, step, micro, rank)
                (loss_fn(model, batch_at(generator), generator)[0] / 4).backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
    for a, b in zip(first, model.parameters(), strict=True):
        torch.testing.assert_close(a, b.detach(), atol=1e-5, rtol=1e-4)


def test_alone_without_torchrun(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_processes("cpu") as processes:
        assert (processes.rank, processes.count, processes.is_main) == (0, 1, True)
