"""Sample sheets: what a model makes of held-out samples, beside the truth, while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ...reconstruct.files.atomic import atomic_write
from ..latents.codec import Codec
from ..training.loop import step_generator
from .batches import BatchConfig, random_batch
from .conditions import Conditions
from .guidance import guided
from .model import ViewModel
from .samplers import dpmpp_2m
from .schedules import sampling_sigmas, shift_for_views
from .shards import Shards

NO_DROPS = BatchConfig(
    scenes=3, drop_given=0, drop_memory=0, drop_both=0, drop_text=0, drop_rays=0, drop_time=0
)


@torch.no_grad()
def sample_views(
    model: ViewModel, conditions: Conditions, *, steps: int, seed: int
) -> Float[Tensor, "b v c h w"]:
    """Latents drawn with DPM-Solver++(2M), one batch of samples."""
    sigmas = sampling_sigmas("karras", steps, sigma_max=40.0)
    sigmas = torch.cat([shift_for_views(sigmas[:-1], conditions.views), sigmas[-1:]])
    noise = torch.randn(conditions.given_latents.shape, generator=torch.Generator().manual_seed(seed))
    device = conditions.rays.device
    return dpmpp_2m(guided(model, conditions), (sigmas[0] * noise).to(device), sigmas.to(device))


@torch.no_grad()
def write_sheet(
    path: Path, model: ViewModel, shards: Shards, codec: Codec, *, views: int = 6, steps: int = 12
) -> None:
    """A picture with three rows per held-out sample: truth, memory (what the network is shown), sample.

    Args:
        path: a PNG.
        model: on any device.
        shards: held-out samples.
        codec: decodes, on the CPU.
        views: per scene, and photos per row.
        steps: of the sampler.
    """
    device = next(model.network.parameters()).device
    rows = []
    for single in (False, True):
        shapes = [s for s in shards.groups if (s[0] == 1) == single]
        if not shapes:
            continue
        config = BatchConfig(
            **{**NO_DROPS.__dict__, "min_views": views, "max_views": views, "photo_share": float(single)}
        )
        batch = random_batch(shards, config, step_generator(0, int(single))).to(device)
        samples = sample_views(model, batch.conditions, steps=steps, seed=0)
        given = batch.conditions.given[:, :, None, None, None]
        parts = (batch.latents, batch.conditions.memory_latents, torch.where(given, batch.latents, samples))
        for truth, memory, sample in zip(*(part.cpu() for part in parts), strict=True):
            rows.append(torch.stack([codec.decode(part) for part in (truth, memory, sample)]))
    singles = [row for row in rows if row.shape[1] == 1]
    groups = [row for row in rows if row.shape[1] > 1]
    groups += [torch.cat(singles[i : i + views], dim=1) for i in range(0, len(singles) - views + 1, views)]
    sheet = torch.cat([sheet_rows(list(group)) for group in groups])
    with atomic_write(path) as temporary:
        Image.fromarray((sheet * 255).round().byte().numpy()).save(temporary)


def sheet_rows(parts: Sequence[Float[Tensor, "v h w 3"]]) -> Float[Tensor, "rh vw 3"]:
    """Rows of pictures, one row per part."""
    return torch.cat([part.transpose(0, 1).flatten(1, 2) for part in parts])
