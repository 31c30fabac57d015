"""Learning to fill: samples from scenes with known geometry, a closed-form start, then gradient steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...reconstruct.files.atomic import atomic_write
from ..latents.codec import CELL
from ..latents.photos import is_held_out
from ..training.checkpoints import read_metadata
from ..training.loop import LoopConfig, step_generator, train
from ..training.processes import Processes
from .filling import OFFSET, Filling, FillingConfig, describe, save_filling
from .groups import PosedViews
from .guesses import COLORS, Guesses, Source, guess
from .memory import remember, spoil_depth

HIDDEN = 0.02
"""Cells of which less than this share is hidden are not learnt from."""


@dataclass(frozen=True)
class FillingSamples:
    """N views of which another view of the scene shows a part; float16."""

    colors: Float[Tensor, "n k 3 h w"]
    geometry: Float[Tensor, "n g h w"]
    truth: Float[Tensor, "n 3 h w"]
    """Mean colour of each cell's hidden pixels."""
    hidden: Float[Tensor, "n 1 h w"]
    """Share of each cell that is hidden."""
    names: tuple[str, ...]
    """Of the geometry maps."""

    def __len__(self) -> int:
        return len(self.colors)

    def rows(self, index: Tensor) -> FillingSamples:
        """Some of them, as float32."""
        return replace(self, **{name: value[index].float() for name, value in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {name: getattr(self, name) for name in ("colors", "geometry", "truth", "hidden")}


@dataclass(frozen=True)
class FillingTraining:
    """Everything that decides what is learnt."""

    network: FillingConfig = field(default_factory=FillingConfig)
    ridge: float = 3e-3
    """Of the closed-form start, relative to the mean of the diagonal."""
    cells: int = 150_000
    """That the closed form looks at."""
    batch: int = 16
    brightness: float = 0.2
    """Colours are made brighter or darker by up to this much, channel by channel."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=3000,
            learning_rate=6e-4,
            weight_decay=0.1,
            decay_fraction=0.6,
            ema_decay=0.998,
            clip_norm=0.5,
        )
    )


@torch.no_grad()
def filling_sample(scene: PosedViews, *, generator: torch.Generator) -> FillingSamples:
    """One view of a scene, chosen at random, is given; the others are to be filled.

    The first view is given half of the time. In 60 % of the scenes the given depth has errors, see ``spoil_depth``.
    """
    choice = torch.rand(3, generator=generator).tolist()
    given = 0 if choice[0] < 0.5 else int(torch.randint(len(scene), (), generator=generator))
    strength = choice[2] if choice[1] < 0.6 else 0.0
    depth = spoil_depth(scene.depth[given], generator=generator, strength=strength)
    source = Source.of(scene.images[given], depth, scene.cameras[[given]])
    rest = [i for i in range(len(scene)) if i != given]
    memory = remember(scene.images[[given]], source.depth[None], source.camera, scene.cameras[rest])
    guesses = guess(memory, scene.cameras[rest], source)
    hidden = (~memory.known).float()[:, None]
    share = F.avg_pool2d(hidden, CELL)
    truth = F.avg_pool2d(scene.images[rest].permute(0, 3, 1, 2) * hidden, CELL) / share.clamp(min=1e-4)
    return FillingSamples(
        guesses.colors.half(), guesses.geometry.half(), truth.half(), share.half(), guesses.names
    )


def collect_samples(
    scenes: Iterable[PosedViews], *, seed: int = 0, on_progress: Callable[[int], None] | None = None
) -> dict[bool, FillingSamples]:
    """Samples of many scenes, those held out (True) apart from those to learn from (False)."""
    parts: dict[bool, list[FillingSamples]] = {False: [], True: []}
    for number, scene in enumerate(scenes):
        sample = filling_sample(scene, generator=step_generator(seed, number))
        parts[is_held_out(scene.name)].append(sample)
        if on_progress:
            on_progress(number + 1)
    return {split: _joined(samples) for split, samples in parts.items() if samples}


def _joined(samples: list[FillingSamples]) -> FillingSamples:
    tensors = {name: torch.cat([s.tensors()[name] for s in samples]) for name in samples[0].tensors()}
    return replace(samples[0], **tensors)


def save_samples(path: Path, samples: FillingSamples) -> None:
    """Keep samples for another run."""
    with atomic_write(path) as temporary:
        tensors = {name: value.contiguous() for name, value in samples.tensors().items()}
        save_file(tensors, temporary, {"names": " ".join(samples.names)})


def load_samples(path: Path) -> FillingSamples:
    """Read what ``save_samples`` wrote."""
    return FillingSamples(**load_file(path), names=tuple(read_metadata(path)["names"].split()))


@torch.no_grad()
def fit_linear(
    filling: Filling, samples: FillingSamples, *, ridge: float, cells: int, generator: torch.Generator
) -> None:
    """Set the linear part to the least squares solution over hidden cells; the rest of the network is not looked at.

    Args:
        filling: changed in place.
        samples: to fit.
        ridge: added to the diagonal, relative to its mean.
        cells: at most so many are used, at random.
        generator: of the choice.
    """
    places = (samples.hidden[:, 0] > HIDDEN).nonzero()
    places = places[torch.randperm(len(places), generator=generator)[:cells]]
    inputs = filling.linear.weight.shape[1] + 1
    size = inputs * len(COLORS)
    gram, right = torch.zeros(size, size), torch.zeros(size)
    for part in places.split(4096):
        n, y, x = part.unbind(1)
        colors, geometry = samples.colors[n, :, :, y, x].float(), samples.geometry[n, :, y, x].float()
        weight = samples.hidden[n, 0, y, x].float().sqrt()[:, None]
        described = describe(colors[..., None, None], geometry[..., None, None])[..., 0, 0]
        described = torch.cat([torch.ones(len(n), 1), described], dim=1)
        apart = (colors - colors[:, :1])[:, 1:]
        apart = torch.cat([apart, torch.full_like(apart[:, :1], OFFSET)], dim=1)
        design = torch.einsum("nkc,nf->nckf", apart * weight[..., None], described).flatten(2).flatten(0, 1)
        wanted = (weight * (samples.truth[n, :, y, x].float() - colors[:, 0])).flatten()
        gram += design.T @ design
        right += design.T @ wanted
    gram += ridge * gram.diagonal().mean() * torch.eye(size)
    solution = torch.linalg.solve(gram, right).reshape(len(COLORS), inputs)
    assert filling.linear.bias is not None
    filling.linear.bias.copy_(solution[:, 0])
    filling.linear.weight.copy_(solution[:, 1:, None, None])


def train_filling(
    samples: FillingSamples,
    held_out: FillingSamples | None,
    out: Path,
    config: FillingTraining,
    *,
    start: Filling | None = None,
    on_progress: Callable[..., None] | None = None,
) -> dict[str, float]:
    """Fit the linear part, train the convolutional one; leaves ``filling.safetensors`` in ``out``.

    Args:
        samples: to learn from.
        held_out: to judge on, if any.
        out: folder of the checkpoint, the log and the weights; a checkpoint found there is resumed.
        config: everything else.
        start: a trained network to go on from, with all its weights, in place of the closed form.
        on_progress: called as (done, total, loss=…).

    Returns:
        PSNR in dB of held-out hidden cells: the memory's smooth filling, the closed form or ``start``, and the end.
    """
    generator = step_generator(config.loop.seed, 0)
    torch.manual_seed(config.loop.seed)
    useful = (samples.hidden.float().mean((1, 2, 3)) > HIDDEN).nonzero()[:, 0]
    if start is None:
        filling = Filling(config.network)
        fit_linear(filling, samples, ridge=config.ridge, cells=config.cells, generator=generator)
        filling.linear.requires_grad_(False)
    else:
        filling = start.requires_grad_(True)
    scores: dict[str, float] = {}
    if held_out is not None:
        scores["smooth"] = hidden_psnr(lambda colors, geometry: colors[:, 0], held_out)
        scores["linear" if start is None else "start"] = hidden_psnr(filling, held_out)

    def batch_at(generator: torch.Generator) -> FillingSamples:
        index = useful[torch.randint(len(useful), (config.batch,), generator=generator)]
        return varied(samples.rows(index), config.brightness, generator)

    def loss_fn(
        network: nn.Module, batch: FillingSamples, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        error = (network(batch.colors, batch.geometry) - batch.truth).square() * batch.hidden
        return error.sum() / (3 * batch.hidden.sum()), {}

    ema = train(
        filling, batch_at, loss_fn, config.loop, out=out, processes=Processes(0, 1, torch.device("cpu")),
        on_progress=on_progress, on_checkpoint=lambda _, averaged: _save(out, averaged),
    )  # fmt: skip
    if held_out is not None:
        assert isinstance(ema.model, Filling)
        scores["filling"] = hidden_psnr(ema.model, held_out)
    return scores


def _save(out: Path, averaged: nn.Module) -> None:
    assert isinstance(averaged, Filling)
    save_filling(out / "filling.safetensors", averaged)


def varied(batch: FillingSamples, brightness: float, generator: torch.Generator) -> FillingSamples:
    """Mirrored half of the time, with channels in another order and each of another brightness."""
    truth, hidden = batch.truth, batch.hidden
    guesses = Guesses(batch.colors, batch.geometry, batch.names)
    if torch.rand((), generator=generator) < 0.5:
        guesses, truth, hidden = guesses.mirrored(), truth.flip(-1), hidden.flip(-1)
    order = torch.randperm(3, generator=generator)
    gain = 1 + brightness * (2 * torch.rand(len(batch), 1, 3, 1, 1, generator=generator) - 1)
    colors = guesses.colors[:, :, order] * gain
    return FillingSamples(colors, guesses.geometry, truth[:, order] * gain[:, 0], hidden, batch.names)


@torch.no_grad()
def hidden_psnr(filling: Callable[[Tensor, Tensor], Tensor], samples: FillingSamples) -> float:
    """PSNR in dB of hidden cells, all of them pooled."""
    total = count = 0.0
    for index in torch.arange(len(samples)).split(32):
        part = samples.rows(index)
        error = (filling(part.colors, part.geometry).clamp(0, 1) - part.truth).square() * part.hidden
        total, count = total + float(error.sum()), count + 3 * float(part.hidden.sum())
    return round(-10 * math.log10(max(total / max(count, 1e-9), 1e-10)), 3)
