"""A view diffusion model: a network, its objective, and how it is written to and read from a file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...reconstruct.errors import InputError
from ..training.checkpoints import load_weights, save_weights
from .conditions import Conditions
from .objectives import Objective, wrap_network
from .prior import Spread, prior_of
from .transformer import MultiViewTransformer, TransformerConfig
from .unet import SpaceTimeUNet, UNetConfig

NetworkConfig = TransformerConfig | UNetConfig


@dataclass(frozen=True)
class ViewModel:
    """A denoiser of groups of views: ``model(x, sigma, conditions) -> x0``."""

    network: nn.Module
    objective: Objective
    spread: Spread = field(default_factory=Spread)
    """Of the prior; measured on the training data."""

    def __call__(self, x: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        """x0 for noisy latents [b, v, c, h, w]; a ``ConditionalDenoiser``."""

        def network(scaled: Tensor, level: Tensor) -> Tensor:
            return self.network(scaled, level, conditions).prediction

        return wrap_network(network, self.objective, prior_of(conditions, self.spread))(x, sigma)


def build_network(config: NetworkConfig) -> MultiViewTransformer | SpaceTimeUNet:
    """The untrained network of a configuration."""
    return MultiViewTransformer(config) if isinstance(config, TransformerConfig) else SpaceTimeUNet(config)


def save_view_model(
    path: Path,
    network: MultiViewTransformer | SpaceTimeUNet,
    objective: Objective,
    spread: Spread | None = None,
) -> None:
    """Write a model for use (float16)."""
    kind = "transformer" if isinstance(network, MultiViewTransformer) else "unet"
    config = {"kind": kind, "objective": objective, "network": asdict(network.config)}
    save_weights(path, network, config={**config, "spread": asdict(spread or Spread())})


def load_view_model(path: Path, *, device: torch.device | str = "cpu") -> ViewModel:
    """Read a model that ``save_view_model`` wrote, frozen and in evaluation mode.

    Raises:
        InputError: the file is missing or holds something else.
    """
    config, tensors = load_weights(path)
    try:
        kinds = {"transformer": TransformerConfig, "unet": UNetConfig}
        settings: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in config["network"].items()
        }
        network = build_network(kinds[config["kind"]](**settings))
        network.load_state_dict(tensors)
        spread = Spread(**{name: tuple(values) for name, values in config.get("spread", {}).items()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{path} holds no view model: {str(error).splitlines()[0]}") from error
    return ViewModel(network.eval().requires_grad_(False).to(device), config["objective"], spread)
