"""Somebody who watches a scene being made; the live viewer is one."""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from ..reconstruct.gaussians import Gaussians
from ..reconstruct.scene import Scene
from ..reconstruct.transforms_json import PosedImage


class Watcher(Protocol):
    """Told of everything worth seeing; may ask to stop early. ``viewer.LiveSession`` fits."""

    @property
    def cancelled(self) -> bool:
        """Stop at the next good moment and keep what is there."""
        ...

    def stage(self, name: str, fraction: float, detail: str = "", seconds_left: float | None = None) -> None:
        """What is being done, and how much of it is done."""

    def photo(self, image: Float[Tensor, "h w 3"], view: PosedImage) -> None:
        """The photo and its camera, from which the scene is seen first."""

    def depth(self, depth: Float[Tensor, "h w"]) -> None:
        """Its depth."""

    def update(self, gaussians: Gaussians) -> object:
        """The splats as they are now."""

    def add_view(self, view: PosedImage) -> None:
        """A camera whose picture has just been generated."""

    def psnr(self, value: float, step: int | None = None) -> None:
        """How well the splats agree with the pictures, in dB."""

    def finish(self, scene: Scene) -> None:
        """The scene is written."""


class Nobody:
    """Watches nothing and never stops."""

    cancelled = False

    def stage(self, name: str, fraction: float, detail: str = "", seconds_left: float | None = None) -> None:
        """Ignored."""

    def photo(self, image: Tensor, view: PosedImage) -> None:
        """Ignored."""

    def depth(self, depth: Tensor) -> None:
        """Ignored."""

    def update(self, gaussians: Gaussians) -> None:
        """Ignored."""

    def add_view(self, view: PosedImage) -> None:
        """Ignored."""

    def psnr(self, value: float, step: int | None = None) -> None:
        """Ignored."""

    def finish(self, scene: Scene) -> None:
        """Ignored."""
