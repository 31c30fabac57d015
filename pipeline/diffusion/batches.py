"""Training batches: scenes, views and conditions chosen at random from prepared samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.errors import InputError
from .conditions import CONDITION_NAMES, Conditions
from .shards import Shards


@dataclass(frozen=True)
class BatchConfig:
    """How batches are put together."""

    scenes: int = 4
    """Scenes per micro-batch and process; of single views and photos as many times more as a scene has views."""
    min_views: int = 3
    max_views: int = 8
    """Views per scene, the given ones included; drawn per micro-batch."""
    photo_share: float = 0.3
    """Share of micro-batches that are single photos to fill, if there are any."""
    text_share: float = 0.0
    """Share of micro-batches that are single views of scenes, from their sentence alone."""
    drop_given: float = 0.2
    """Share of samples without given views: memory only."""
    drop_memory: float = 0.1
    """Share of samples without memory: from the given views alone."""
    drop_both: float = 0.1
    """Share of samples with neither: from the text alone."""
    drop_text: float = 0.3
    drop_rays: float = 0.05
    drop_time: float = 0.1
    seen_weight: float = 0.25
    """Weight of the loss where the memory knows the pixel; 1 where it does not."""

    def __post_init__(self) -> None:
        if self.scenes < 1:
            raise InputError(f"a batch needs at least one scene, not {self.scenes}")
        if not 1 <= self.min_views <= self.max_views:
            raise InputError(f"views per scene cannot be {self.min_views} to {self.max_views}")
        for name in ("photo_share", "text_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class ViewBatch:
    """Samples of one shape."""

    latents: Float[Tensor, "b v c h w"]
    conditions: Conditions
    weights: Float[Tensor, "b v 1 h w"]
    """Of the squared error, mean 1; 0 for given views."""
    features: Float[Tensor, "b v hp wp 384"] | None = None
    """DINOv2's, where the samples were prepared with them."""

    def to(self, device: torch.device | str) -> ViewBatch:
        """The same on another device."""
        features = None if self.features is None else self.features.to(device)
        return ViewBatch(
            self.latents.to(device), self.conditions.to(device), self.weights.to(device), features
        )


def random_batch(shards: Shards, config: BatchConfig, generator: torch.Generator) -> ViewBatch:
    """A micro-batch; everything random comes from the generator."""
    photos = [shape for shape in shards.groups if shape[0] == 1]
    scenes = [shape for shape in shards.groups if shape[0] > 1]
    from_text = config.text_share > 0 and bool(scenes) and _uniform(generator) < config.text_share
    use_photos = not from_text and bool(photos) and (not scenes or _uniform(generator) < config.photo_share)
    shape = _pick(photos if use_photos else scenes, shards, generator)
    views = 1 if from_text else min(shape[0], _between(config.min_views, config.max_views, generator))
    times_more = (config.min_views + config.max_views) // 2 if use_photos or from_text else 1
    index = torch.randint(len(shards.groups[shape]), (times_more * config.scenes,), generator=generator)
    choose = _choose_alone if from_text else _choose
    samples = [choose(sample, views, config, generator) for sample in shards.rows(shape, index.tolist())]
    stacked = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    latents, features = stacked.pop("latents"), stacked.pop("features", None)
    conditions = Conditions(**stacked)
    weights = loss_map(conditions, seen_weight=config.seen_weight)
    return ViewBatch(latents, conditions, weights, features)


def loss_map(conditions: Conditions, *, seen_weight: float) -> Float[Tensor, "b v 1 h w"]:
    """Weights of the loss: low where the memory knows, none for given views, mean 1 over the batch."""
    kept = conditions.has("memory")[:, None, None, None, None]
    seen = conditions.memory_coverage.mean(2, keepdim=True) * kept
    given = (conditions.given & conditions.has("given")[:, None])[:, :, None, None, None]
    weights = (1 + (seen_weight - 1) * seen) * ~given
    return weights / weights.mean().clamp(min=1e-6)


def _choose(
    sample: dict[str, Tensor], views: int, config: BatchConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """One variant and some views of a sample, with conditions dropped at random."""
    k = int(torch.randint(len(sample["given"]), (), generator=generator))
    is_given = sample["given"][k]
    given = is_given.nonzero()[:, 0][: max(1, views - 1)]
    others = (~is_given).nonzero()[:, 0]
    others = others[torch.randperm(len(others), generator=generator)][: views - len(given)]
    out = _views(sample, k, torch.cat([given, others]))
    out["kept"] = _kept(bool(is_given.any()), sample, config, generator)
    return out


def _choose_alone(
    sample: dict[str, Tensor], views: int, config: BatchConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """Any views of a sample, with nothing kept but the sentence, and the rays and times."""
    out = _views(sample, 0, torch.randperm(len(sample["latents"]), generator=generator)[:views])
    out["given"] = torch.zeros_like(out["given"])
    kept = _kept(False, sample, config, generator)
    out["kept"] = kept & torch.tensor([name not in ("given", "memory") for name in CONDITION_NAMES])
    return out


def _views(sample: dict[str, Tensor], variant: int, chosen: Tensor) -> dict[str, Tensor]:
    """What a variant of a sample says of the chosen views."""
    out = {name: value[variant][chosen] for name, value in sample.items() if name in _PER_VARIANT}
    out = {name: value if name == "given" else value.float() for name, value in out.items()}
    latents = sample["latents"][chosen].float()
    out |= {"latents": latents, "given_latents": latents}
    out |= {"times": sample["times"][chosen].float(), "text": sample["text"].float()}
    if "features" in sample:
        out["features"] = sample["features"][chosen].float()
    return out


_PER_VARIANT = ("given", "rays", "memory_latents", "memory_depth", "memory_coverage")


def _kept(
    any_given: bool, sample: dict[str, Tensor], config: BatchConfig, generator: torch.Generator
) -> Tensor:
    """Which conditions a sample keeps; single photos always keep their memory and never have given views."""
    u = _uniform(generator)
    memory_only = u < config.drop_given
    neither = config.drop_given <= u < config.drop_given + config.drop_both
    given_only = 0 <= u - config.drop_given - config.drop_both < config.drop_memory
    random = torch.rand(3, generator=generator).tolist()
    kept = {
        "rays": random[0] >= config.drop_rays,
        "given": any_given and not memory_only and not neither,
        "memory": not any_given or not (neither or given_only),
        "time": bool(sample["times"].any()) and random[1] >= config.drop_time,
        "text": bool(sample["text"].any()) and random[2] >= config.drop_text,
    }
    return torch.tensor([kept[name] for name in CONDITION_NAMES])


def _pick(shapes: list[tuple[int, ...]], shards: Shards, generator: torch.Generator) -> tuple[int, ...]:
    """A shape, in proportion to how many samples have it."""
    counts = torch.tensor([float(len(shards.groups[shape])) for shape in shapes])
    return shapes[int(torch.multinomial(counts, 1, generator=generator))]


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _between(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))
