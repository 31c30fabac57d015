"""Everything that can be chosen about a fit. Times are fractions of the run: its length does not change its shape."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..rasterize.interface import Backend


@dataclass(frozen=True)
class LearningRates:
    """Adam's step sizes; 0 keeps a parameter as it is."""

    means: float = 3.2e-4
    """In units of the scene's extent."""
    quats: float = 2e-3
    log_scales: float = 8e-3
    opacity_logits: float = 5e-2
    sh0: float = 4e-3
    """Of the colour that is the same from everywhere."""
    sh_rest: float = 2.5e-4
    """Of the view-dependent bands."""
    poses: float = 0.0
    """Of camera poses: radians, and units of the scene's extent. 0: the cameras are exact."""
    exposures: float = 0.0
    """Of a colour matrix and offset per image. 0: all images were exposed alike."""
    final_factor: float = 0.03
    """Step sizes of means, poses and exposures fall to this much of the first, exponentially."""
    last: float = 1.0
    """Step sizes of all that belongs to splats fall to this much of the first, linearly: the views of the last steps
    would otherwise be right at the others' cost. For splats that are nearly right: fits from scratch end worse."""


@dataclass(frozen=True)
class Losses:
    """Weights of the terms of the loss; a term of weight 0 is not computed."""

    l1: float = 0.8
    ssim: float = 0.2
    """Of 1 - SSIM."""
    depth: float = 0.1
    """Of the L1 of inverse depth, in units of 1 / extent, where depth is given."""
    perceptual: float = 0.1
    """Of the function given as ``perceptual``."""
    perceptual_every: int = 1
    """Steps from one perceptual term to the next; its weight is the same in each."""
    opacity: float = 0.0
    """Of the mean opacity."""
    scale: float = 0.0
    """Of the mean standard deviation, in units of the scene's extent."""


@dataclass(frozen=True)
class SurfaceLosses:
    """Weights of the terms that make splats lie on surfaces, for meshes; they cost some dB on held-out photos."""

    flat: float = 0.1
    """Of the thickness beyond ``thinnest``, relative to the splat's middle axis."""
    thinnest: float = 0.1
    distortion: float = 0.2
    """Of the relative variance of depth within a pixel."""
    normal: float = 0.02
    """Of 1 - the cosine between the discs' normals and those of the depth they give."""
    depth: float = 1.0
    """Of the L1 of inverse depth, in units of 1 / extent, in place of the ordinary weight."""
    start: float = 0.3
    """Distortion and normals count from this fraction of the run on."""


@dataclass(frozen=True)
class NoGrowth:
    """The splats stay as many as they are."""


@dataclass(frozen=True)
class GradientGrowth:
    """Clone and split the splats whose image positions are pulled hardest; drop the transparent (Kerbl et al. 2023).

    How many there may be rises steadily to ``max_splats``, and the most pulled come first (Mallick et al., Taming
    3DGS, 2024), so the cost of a run is known before it starts.
    """

    max_splats: int = 40_000
    threshold: float = 2e-4
    """Mean gradient (in units of half the image) below which a splat is left alone."""
    absgrad: bool = False
    """Sum the pixels' absolute gradients (AbsGS); wants a threshold about four times as high."""
    start: float = 0.05
    stop: float = 0.6
    every: int = 100
    """Steps from one round to the next."""
    split_scale: float = 0.01
    """Splats larger than this (in units of the extent) are split, smaller ones cloned."""
    min_opacity: float = 0.01
    """Splats less opaque than this are dropped."""
    max_scale: float = 0.5
    """Splats larger than this (in units of the extent) are dropped."""
    reset_opacity_every: int = 0
    """Steps between lowering all opacities, which removes floaters; 0 for never."""


@dataclass(frozen=True)
class McmcGrowth:
    """Move dead splats onto live ones, add more up to a limit, shake them (Kheradmand et al., 3DGS-MCMC, 2024)."""

    max_splats: int = 40_000
    rate: float = 1.08
    """Growth per round."""
    start: float = 0.03
    stop: float = 0.8
    every: int = 100
    """Steps from one round to the next."""
    min_opacity: float = 0.005
    """Splats less opaque than this are dead."""
    noise: float = 5e5
    """Noise on the means, in units of their step size."""


Growth = NoGrowth | GradientGrowth | McmcGrowth


@dataclass(frozen=True)
class FitConfig:
    """How to fit. The defaults suit a few thousand steps, not tens of thousands."""

    iterations: int = 3000
    learning_rates: LearningRates = field(default_factory=LearningRates)
    losses: Losses = field(default_factory=Losses)
    surface: SurfaceLosses | None = None
    """Flat splats on surfaces, for meshes: costs time and some sharpness."""
    growth: Growth = field(default_factory=NoGrowth)
    sh_degree: int = 2
    """Highest band that is fitted; splats that come with more bands keep them."""
    sh_warmup: float = 0.12
    """A band is added each time this much of the run has passed."""
    resolutions: tuple[tuple[float, int], ...] = ()
    """(until, divisor) pairs: until that fraction of the run, images are that many times smaller."""
    antialiased: bool = False
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    extent: float | None = None
    """The length that step sizes are relative to; default the median distance from splats to their nearest camera."""
    skip_unseen: bool = True
    """Do not move splats that the step's view does not show (Adam's momentum would)."""
    skip_faint: float = 0.0
    """Nor those whose colour it pulls at less than this times as much as at the usual splat's: Adam takes steps of one
    size, and what is seen through a crack would be fitted to noise."""
    evaluate_every: int = 250
    """Steps between measurements on the held-out views."""
    checkpoint_every: int = 500
    """Steps between checkpoints, if a path for them is given."""
    backend: Backend = "auto"
