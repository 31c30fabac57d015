"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """A frozen copy of a network that follows it slowly.

    The decay warms up as ``min(decay, (1 + n) / (10 + n))`` after n updates, so that a short run is not
    dominated by the initial weights (the rule of TensorFlow's ``ExponentialMovingAverage``).
    """

    def __init__(self, model: nn.Module, *, decay: float = 0.999) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average a step towards ``model``; buffers are copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for mine, other in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(other, 1 - decay)
        for mine, other in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(other)
        self.updates += 1
