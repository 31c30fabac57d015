"""Motion of splats over a clip; a static scene is a moving scene whose motion is zero."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from .gaussians import Gaussians


@dataclass(frozen=True)
class Motion:
    """Positions and rotations of every splat at key times; everything else stays constant."""

    times: Float[Tensor, "t"]
    """Increasing, from 0 to 1 over the clip."""
    means: Float[Tensor, "t n 3"]
    quats: Float[Tensor, "t n 4"]
    """wxyz, any length > 0; neighbours in time lie in the same hemisphere."""
    seconds: float
    """Length of the clip when it is played at its own speed."""

    def at(self, gaussians: Gaussians, time: float) -> Gaussians:
        """The splats at a time in 0..1 (clamped), linear between key times, quaternions by normalised lerp."""
        last = len(self.times) - 1
        if last == 0:
            return replace(gaussians, means=self.means[0], quats=self.quats[0])
        t = self.times.new_tensor(time).clamp(self.times[0], self.times[-1])
        i = int(torch.searchsorted(self.times, t, right=True).clamp(1, last)) - 1
        weight = (t - self.times[i]) / (self.times[i + 1] - self.times[i])
        means = torch.lerp(self.means[i], self.means[i + 1], weight)
        before, after = (torch.nn.functional.normalize(self.quats[k], dim=-1) for k in (i, i + 1))
        quats = torch.nn.functional.normalize(torch.lerp(before, after, weight), dim=-1)
        return replace(gaussians, means=means, quats=quats)
