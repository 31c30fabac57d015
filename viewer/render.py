"""Pictures of splats for the browser, by the rasterizer that every other command uses."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8

from ..reconstruct.cameras import Cameras
from ..reconstruct.gaussians import Gaussians
from ..reconstruct.scene import Scene
from .home import BLACK, Color
from .poster import RawSplats, draw_poster
from .stage import Stage, backdrop_of, home_of


def render_rgb8(
    gaussians: Gaussians, camera: Cameras, near: float = 0.01, backdrop: Color = BLACK
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture that a camera (a batch of one) takes, before a colour."""
    from ..reconstruct.rasterize import rasterize

    with torch.no_grad():
        colour = rasterize(gaussians, camera, near=near, background=torch.tensor(backdrop)).color[0]
    return (colour.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()


def poster(scene: Scene, stage: Stage) -> bytes:
    """The first picture of a scene as a JPEG; empty if there is nothing to draw."""
    tensors = scene.at(0.0).tensors().values()
    splats = RawSplats(*(tensor.detach().float().contiguous().numpy() for tensor in tensors))
    try:
        return draw_poster(splats, home_of(stage.home), stage.near, backdrop_of(scene))
    except FloatingPointError:
        return b""


def warm_up() -> None:
    """Compile the rasterizer, so that the first picture does not wait for it."""
    from ..reconstruct.cameras import pinhole_intrinsics

    one = Gaussians(
        torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[1.0, 0, 0, 0]]), torch.zeros(1, 3), torch.zeros(1),
        torch.zeros(1, 16, 3),
    )  # fmt: skip
    render_rgb8(one, Cameras(torch.eye(4)[None], pinhole_intrinsics(32.0, 32, 32)[None], 32, 32))
