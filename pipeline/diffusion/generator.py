"""Our view generator: the multi-view denoiser behind the interface that every generator has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ... import assets
from ...reconstruct.cameras import Cameras, cat_cameras
from ..generators import Memory, ViewRequest
from ..generators.blend import blend_generated
from ..generators.detail import add_detail
from ..latents.codec import CELL, Codec, codec_from_file, load_codec
from .conditions import CONDITION_NAMES, ConditionName, Conditions, plucker_maps
from .filling import Filling, fill, filling_from_file, load_filling
from .groups import resize_images
from .guesses import Source
from .guidance import guided
from .memory import encode_memory, fill_memory
from .model import ViewModel, load_view_model
from .samplers import SamplerName, sampler_by_name
from .schedules import sampling_sigmas, shift_for_views
from .text import encode_text, no_text

WORKING_PIXELS = 128 * 128
"""Area of the pictures that the denoiser was trained on."""
MULTIPLE = 2 * CELL


@dataclass(frozen=True)
class SamplingConfig:
    """How samples are drawn."""

    sampler: SamplerName = "dpmpp_2m"
    steps: int = 1
    """The shipped weights do best with one, which is the mean given the conditions; see their card."""
    noise: float = 1.0
    """Scale of the starting noise. Below 1 samples vary less and keep less noise that an undertrained denoiser cannot
    take away; 0 follows the flow from the prior's centre, without any."""
    guidance: Mapping[ConditionName, float] | None = None
    """Strength per condition, see ``guided``."""
    sigma_max: float = 40.0
    """For one view; shifted with the number of views."""


class DiffusionGenerator:
    """Generates groups of views with the trained denoiser."""

    name = "cosmorama views (multi-view diffusion, trained on synthetic rooms and photos)"
    licences: tuple[str, ...] = ("Apache-2.0",)
    soft = True

    def __init__(
        self,
        model: ViewModel,
        codec: Codec,
        *,
        filling: Filling | None = None,
        config: SamplingConfig | None = None,
        group_size: int = 8,
    ) -> None:
        self.model, self.codec, self.filling = model, codec, filling
        self.config = config or SamplingConfig()
        self.group_size = group_size

    @torch.no_grad()
    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """See ``ViewGenerator``; generates at about 128x128 pixels and enlarges.

        The memory's own pixels are kept; what is generated gets the texture of what surrounds it.
        """
        height, width = request.memory.color.shape[1:3]
        generated = resize_images(self._generated(request, on_progress), width, height)
        memory, known = request.memory, request.memory.known
        blended = blend_generated(memory.color, known, generated)
        return torch.stack(
            [
                add_detail(view, color, request.background(index), ~mask)
                for index, (view, color, mask) in enumerate(zip(blended, memory.color, known, strict=True))
            ]
        )

    def _generated(
        self, request: ViewRequest, on_progress: Callable[[int, int], None] | None
    ) -> Float[Tensor, "v hw ww 3"]:
        """The filled memory with what the denoiser makes of it, at working size.

        Only the denoiser's changes go through the codec, so that the filling loses nothing there.
        """
        filled = filled_memory(request, self.filling)
        conditions = request_conditions(request, self.codec, filled=filled)
        before = conditions.memory_latents[0, len(request.photos) :]
        after = self._sample(conditions, request.seed, on_progress)[0, len(request.photos) :]
        return (filled + self.codec.decode(after) - self.codec.decode(before)).clamp(0, 1)

    def _sample(
        self, conditions: Conditions, seed: int, on_progress: Callable[[int, int], None] | None
    ) -> Float[Tensor, "1 v c hl wl"]:
        config = self.config
        sigmas = sampling_sigmas("karras", config.steps, sigma_max=config.sigma_max)
        sigmas = torch.cat([shift_for_views(sigmas[:-1], conditions.views), sigmas[-1:]])
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(conditions.given_latents.shape, generator=generator)

        def callback(step: int, steps: int, _: Tensor) -> None:
            if on_progress:
                on_progress(step, steps)

        return sampler_by_name(config.sampler)(
            guided(self.model, conditions, config.guidance), config.noise * sigmas[0] * noise, sigmas,
            generator=generator, callback=callback,
        )  # fmt: skip


def request_conditions(
    request: ViewRequest, codec: Codec, *, filled: Float[Tensor, "v hw ww 3"] | None = None
) -> Conditions:
    """The request as a batch of one: the given photos first, then the views to generate, at working size.

    Args:
        request: what is asked for.
        codec: encodes photos and memory.
        filled: the memory with its holes filled, see ``filled_memory``, by what the denoiser was trained with; default
            smoothly.
    """
    width, height = working_size(request.cameras.width, request.cameras.height)
    rows, columns = height // CELL, width // CELL
    count, views = len(request.photos), len(request.photos) + len(request.cameras)
    memory = resize_memory(request.memory, width, height)
    cameras = request.cameras.resized(width, height)
    if count:
        cameras = cat_cameras([request.photo_cameras.resized(width, height), cameras])
    scale = reference_scale(memory, request.cameras.resized(width, height), cameras[0])
    seen = encode_memory(memory, codec, scale=scale, filled=filled)
    blank = [value.new_zeros(count, *value.shape[1:]) for value in seen]
    latents, depth, coverage = (torch.cat(pair)[None] for pair in zip(blank, seen, strict=True))
    given_latents = torch.zeros_like(latents)
    if count:
        given_latents[0, :count] = codec.encode(resize_images(request.photos, width, height))
    times = torch.zeros(views)
    if request.times is not None:
        times[count:] = request.times
    kept = {
        "rays": True,
        "given": count > 0,
        "memory": bool(coverage.any()),
        "time": request.times is not None,
        "text": request.text is not None,
    }
    pose = cameras.world_from_cam[0]
    rays = plucker_maps(cameras, height=rows, width=columns, world_from_reference=pose, scale=scale)
    return Conditions(
        rays=rays[None],
        given_latents=given_latents,
        given=(torch.arange(views) < count)[None],
        memory_latents=latents,
        memory_depth=depth,
        memory_coverage=coverage,
        times=times[None],
        text=(encode_text(request.text) if request.text else no_text())[None],
        kept=torch.tensor([[kept[name] for name in CONDITION_NAMES]]),
    )


def filled_memory(request: ViewRequest, filling: Filling | None) -> Float[Tensor, "v h w 3"]:
    """The memory's colours at working size with holes filled: as learned, or smoothly if no photo's depth is known.

    Args:
        request: what is asked for; guesses are drawn from its first photo, if its depth is known.
        filling: the learned part, if any.
    """
    width, height = working_size(request.cameras.width, request.cameras.height)
    memory = resize_memory(request.memory, width, height)
    if filling is None or request.photo_depths is None or len(request.photos) == 0:
        return fill_memory(memory)
    depth = F.interpolate(request.photo_depths[:1, None], (height, width), mode="nearest-exact")[0, 0]
    photo = resize_images(request.photos[:1], width, height)[0]
    source = Source.of(photo, depth, request.photo_cameras[0].resized(width, height))
    return fill(memory, request.cameras.resized(width, height), source, filling)


def working_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of about ``WORKING_PIXELS`` in the same aspect ratio, multiples of 16."""
    scale = math.sqrt(WORKING_PIXELS / (width * height))
    return (
        max(MULTIPLE, round(width * scale / MULTIPLE) * MULTIPLE),
        max(MULTIPLE, round(height * scale / MULTIPLE) * MULTIPLE),
    )


def resize_memory(memory: Memory, width: int, height: int) -> Memory:
    """A memory at another size; unknown pixels take no part in the means of depth."""
    known, coverage = (memory.depth > 0).float(), memory.coverage[..., None]
    stacked = [memory.color * coverage, coverage, (memory.depth * known)[..., None], known[..., None]]
    maps = torch.cat(stacked, dim=-1).permute(0, 3, 1, 2)
    small = F.interpolate(maps, (height, width), mode="bilinear", antialias=True)
    color, (share, depth, weight) = small[:, :3].permute(0, 2, 3, 1), small[:, 3:].unbind(1)
    color = (color / share.clamp(min=0.02)[..., None]).clamp(0, 1)
    return Memory(color, depth / weight.clamp(min=1e-6) * (weight > 0.5), share)


def reference_scale(memory: Memory, cameras: Cameras, reference: Cameras) -> float:
    """The length unit that training used: the median depth of what is known in the reference camera's picture.

    What the other cameras remember is seen from there; 1 where nothing is.
    """
    points = cameras.unproject(memory.depth)[memory.known]
    if len(points) == 0:
        return 1.0
    pixels, depth = reference.project(points[None])
    x, y = pixels[0].unbind(-1)
    inside = (depth[0] > 0) & (x > 0) & (x < reference.width) & (y > 0) & (y < reference.height)
    return float(depth[0][inside].median()) if inside.any() else float(depth.abs().median())


def shipped_model() -> Path:
    """The bundled views.safetensors."""
    return Path(assets.__file__).parent / "views" / "views.safetensors"


def load_view_generator(
    *,
    model: Path | None = None,
    codec: Path | None = None,
    filling: Path | None = None,
    config: SamplingConfig | None = None,
) -> DiffusionGenerator:
    """The model, codec and filling in these files; default the shipped ones.

    Raises:
        InputError: a file is missing or holds something else.
    """
    return DiffusionGenerator(
        load_view_model(model or shipped_model()),
        codec_from_file(codec) if codec else load_codec(),
        filling=filling_from_file(filling) if filling else load_filling(),
        config=config,
    )
