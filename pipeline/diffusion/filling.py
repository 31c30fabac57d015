"""Filling what the scene does not show by mixing guesses, with weights that a small network has learned.

colour = memory + sum over guesses k of w_k (guess_k - memory), cell by cell. The weights w come from a part that is
linear in the geometry, fitted in closed form, and a small convolutional network on top, which also sees how the guesses
differ. Mixing known colours needs few scenes to learn from and gives plausible colours in rooms of any palette. The
result is the mean of what could be there, as smooth as a cell is large; the denoiser starts from it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import permutations
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ... import assets
from ...reconstruct.cameras import Cameras
from ...reconstruct.errors import InputError
from ..generators import Memory
from ..latents.codec import CELL
from ..training.checkpoints import load_weights, save_weights
from .guesses import COLORS, Guesses, Source, guess
from .layers import zero_init

GEOMETRY_MAPS = 39
STATISTICS = len(COLORS) - 1 + 4
OFFSET = 0.2
"""Size of the grey step that the last weight is for, and how far beyond all guesses a mixture may lie."""


@dataclass(frozen=True)
class FillingConfig:
    """Size of the convolutional part."""

    width: int = 48
    blocks: int = 4


class FillingBlock(nn.Module):
    """Residual block, every other one dilated."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate")
        self.second = zero_init(nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"))

    def forward(self, x: Float[Tensor, "v c h w"]) -> Float[Tensor, "v c h w"]:
        """Residual update, zero before training."""
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))


class Filling(nn.Module):
    """See the module."""

    def __init__(self, config: FillingConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FillingConfig()
        count, width = len(COLORS), config.width
        self.linear = zero_init(nn.Conv2d(GEOMETRY_MAPS + STATISTICS, count, 1))
        self.stem = nn.Conv2d(GEOMETRY_MAPS + STATISTICS + 3 * (count + 1), width, 1)
        self.blocks = nn.Sequential(*(FillingBlock(width, 1 + i % 2) for i in range(config.blocks)))
        self.out = zero_init(nn.Conv2d(width, count, 1))

    def forward(
        self, colors: Float[Tensor, "v k 3 h w"], geometry: Float[Tensor, "v g h w"]
    ) -> Float[Tensor, "v 3 h w"]:
        """The mixture per cell, not clamped; tensors of ``Guesses``."""
        apart = colors - colors[:, :1]
        described = describe(colors, geometry)
        mean = colors[:, COLORS.index("photo")]
        raw = torch.cat([apart[:, 1:].flatten(1, 2), colors[:, 0] - mean, mean - 0.5], dim=1)
        hidden = self.stem(torch.cat([described, 4 * raw], dim=1))
        weights = self.linear(described) + self.out(self.blocks(hidden))
        return mix(colors, weights)


def describe(
    colors: Float[Tensor, "v k 3 h w"], geometry: Float[Tensor, "v g h w"]
) -> Float[Tensor, "v f h w"]:
    """Geometry, and statistics of the guesses that do not depend on the order of red, green and blue."""
    photo = COLORS.index("photo")
    apart = (colors - colors[:, :1])[:, 1:].square().mean(2).clamp(min=1e-8).sqrt()
    brightness = colors[:, [photo, 0]].mean(2) * 2 - 1
    spread = (colors.amax(2) - colors.amin(2))[:, [0, photo]] * 2
    return torch.cat([geometry, 3 * apart, brightness, spread], dim=1)


def mix(colors: Float[Tensor, "v k 3 h w"], weights: Float[Tensor, "v k h w"]) -> Float[Tensor, "v 3 h w"]:
    """The memory moved towards the other guesses by their weights; the last weight adds grey.

    It stays near what was guessed: weights of views like none that was learnt from cannot throw it off.
    """
    apart = (colors - colors[:, :1])[:, 1:]
    mixture = colors[:, 0] + (weights[:, :-1, None] * apart).sum(1) + OFFSET * weights[:, -1:]
    return mixture.clamp(colors.amin(1) - OFFSET, colors.amax(1) + OFFSET)


def evened(filling: Filling, guesses: Guesses) -> Float[Tensor, "v 3 h w"]:
    """The mean of what the network says of a world, of its mirror image, and of both in all orders of red, green and
    blue, each turned back: a right answer would not depend on them."""
    mixtures: list[Tensor] = []
    for order in permutations(range(3)):
        back = [order.index(channel) for channel in range(3)]
        for world, turned in ((guesses, False), (guesses.mirrored(), True)):
            mixture = filling(world.colors[:, :, list(order)], world.geometry)[:, back]
            mixtures.append(mixture.flip(-1) if turned else mixture)
    return torch.stack(mixtures).mean(0)


@torch.no_grad()
def fill(memory: Memory, cameras: Cameras, source: Source, filling: Filling) -> Float[Tensor, "v h w 3"]:
    """The memory's colours, with its holes filled; height and width are multiples of 8.

    Between cells colours are interpolated with the hidden share as weight: what hides a place says nothing about it.
    """
    cells = evened(filling, guess(memory, cameras, source)).clamp(0, 1)
    known = memory.known
    share = F.avg_pool2d((~known).float()[:, None], CELL) + 1e-4
    size = memory.color.shape[1:3]
    maps = F.interpolate(torch.cat([cells * share, share], dim=1), size, mode="bilinear", align_corners=False)
    smooth = (maps[:, :3] / maps[:, 3:]).permute(0, 2, 3, 1)
    return torch.where(known[..., None], memory.color, smooth)


def save_filling(path: Path, filling: Filling) -> None:
    """Write for use (float16)."""
    save_weights(path, filling, config=asdict(filling.config))


def filling_from_file(path: Path) -> Filling:
    """Read what ``save_filling`` wrote, frozen.

    Raises:
        InputError: the file is missing or holds something else.
    """
    config, tensors = load_weights(path)
    try:
        filling = Filling(FillingConfig(**config))
        filling.load_state_dict(tensors)
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{path} holds no filling network: {str(error).splitlines()[0]}") from error
    return filling.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def load_filling() -> Filling:
    """The shipped one."""
    return filling_from_file(Path(assets.__file__).parent / "views" / "filling.safetensors")
