"""What can be chosen about making a scene, and what is told before the start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..reconstruct.errors import InputError
from ..reconstruct.files.replacing import SCENE, check_replaceable
from .photo import check_photo
from .photo_files import is_clip, is_several, photos_in
from .presets import Preset, PresetName, named_preset
from .trajectories import check_trajectory

DEFAULT_GENERATOR, TEXT_GENERATOR = "inpaint", "views"
"""With a photo; from text alone where the synthetic world is not to be had."""
PERCEPTUAL = 0.1
"""Weight of the perceptual loss on views that a network generated."""


@dataclass(frozen=True)
class MakeOptions:
    """Everything that decides what a scene becomes."""

    preset: PresetName | Preset = "standard"
    trajectory: str = "orbit"
    focal_px: float | None = None
    seed: int = 0
    depth_model: str = "cosmorama"
    text: str | None = None
    generator: str | None = None
    """See ``load_generator``; None is ``DEFAULT_GENERATOR``. Where there is no photo, None and ``world`` are a place of
    the synthetic world, see ``imagine_place``."""
    perceptual: float | None = None
    """Weight of a perceptual loss on generated views, see ``dinov2_distance``; 0 leaves it out. None is ``PERCEPTUAL``
    where a network generates them, and 0 otherwise."""
    generated_weights: tuple[float, float] = (0.5, 0.25)
    """Of generated views at the start and at the end of the fit; the photo has 1. CAT4D (Wu et al. 2024): 1, 0.5."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        weights = (*self.generated_weights, self.perceptual or 0.0)
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
            raise InputError(f"weights of the fit must be numbers from 0 up, not {weights}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"a seed is a whole number from 0 up, not {self.seed}")


def check_request(inputs: Sequence[Path], out: Path, options: MakeOptions, *, overwrite: bool) -> None:
    """Tell at once what cannot work; for the arguments see ``make_scene``.

    Raises:
        InputError: the photo, the path or the output folder cannot be used.
    """
    named_preset(options.preset)
    check_inputs(inputs, focal_px=options.focal_px)
    check_trajectory(options.trajectory)
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists already; it is only replaced with --force")
    check_replaceable(out, SCENE, [*inputs, Path(options.trajectory)])


def expect(options: MakeOptions, inputs: Sequence[Path]) -> str:
    """What will run, on what, for how long and with how much memory: one line before the start."""
    preset = named_preset(options.preset)
    what = "photos" if is_several(inputs) else "photo" if inputs else "place"
    more = "; several photos take up to three times as long" if is_several(inputs) else ""
    return (
        f"{what} at {preset.long_side} px, {preset.views} views, {preset.iterations} steps on {options.device}; "
        f"about {preset.seconds} s and {preset.megabytes / 1000:.1f} GB on two cores{more}"
    )


def default_folder(photo: Path) -> Path:
    """scenes/NAME, or scenes/NAME-2 and so on where that is taken."""
    base = Path("scenes") / photo.resolve().stem
    taken = (base.with_name(f"{base.name}-{n}") for n in range(2, 10_000))
    return base if not base.exists() else next(path for path in taken if not path.exists())


def check_inputs(inputs: Sequence[Path], *, focal_px: float | None) -> None:
    """Refuse what can be told to be no photos without decoding them.

    Raises:
        InputError: no photo, or too few in a folder.
    """
    for path in inputs:
        if path.is_dir():
            photos = photos_in(path)
            if len(photos) < 2:
                some = "1 photo" if photos else "no photos"
                raise InputError(
                    f"{path}: {some} in it; at least 2 of one place are wanted, or one by itself"
                )
            check_inputs(photos, focal_px=focal_px)
        elif not is_clip(path):
            check_photo(path, focal_px=focal_px)
