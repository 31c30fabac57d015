"""What cannot be drawn is refused, by name."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..gaussians import Gaussians


def check_finite(gaussians: Gaussians, features: Float[Tensor, "n f"]) -> None:
    """Raise if a parameter cannot be drawn.

    Infinite opacity logits are fine (opacity 0 or 1), and so are log-scales of minus infinity (discs and needles).
    """
    bad = {
        "means": ~gaussians.means.isfinite(),
        "quats": ~gaussians.quats.isfinite(),
        "log_scales": gaussians.log_scales.isnan() | gaussians.log_scales.isposinf(),
        "opacity_logits": gaussians.opacity_logits.isnan(),
        "sh": ~gaussians.sh.isfinite(),
        "features": ~features.isfinite(),
    }
    for name, mask in bad.items():
        if mask.any():
            splats = mask.flatten(1).any(1) if mask.ndim > 1 else mask
            count, first = int(splats.sum()), int(splats.nonzero()[0])
            raise InputError(
                f"{name} of {count} of {len(gaussians)} splats not finite (first: splat {first})"
            )
