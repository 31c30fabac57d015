"""Views of one scene with known cameras and depth: what training data is made from, wherever it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.cameras import Cameras

REPAINT = 0.2
"""How much lighter or darker a channel becomes, see ``PosedViews.repainted``."""


@dataclass(frozen=True)
class PosedViews:
    """V pictures of one scene."""

    images: Float[Tensor, "v h w 3"]
    """sRGB in [0, 1]."""
    depth: Float[Tensor, "v h w"]
    """z in scene units; 0 where unknown."""
    cameras: Cameras
    name: str
    """Decides, by its hash, whether the scene is held out."""
    times: Float[Tensor, "v"] | None = None
    """0..1 over the clip; None for a static scene."""
    text: str | None = None
    """What the scene shows."""

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> PosedViews:
        """The same on another device."""
        times = None if self.times is None else self.times.to(device)
        return replace(
            self,
            images=self.images.to(device),
            depth=self.depth.to(device),
            cameras=self.cameras.to(device),
            times=times,
        )

    def select(self, index: list[int]) -> PosedViews:
        """Some of the views."""
        times = None if self.times is None else self.times[index]
        return replace(
            self, images=self.images[index], depth=self.depth[index], cameras=self.cameras[index], times=times
        )

    def mirrored(self) -> PosedViews:
        """The same scene in a mirror: x becomes -x, in the world and in every picture."""
        flip = torch.diag(self.cameras.intrinsics.new_tensor([-1.0, 1.0, 1.0, 1.0]))
        intrinsics = self.cameras.intrinsics.clone()
        intrinsics[:, 0, 2] = self.cameras.width - intrinsics[:, 0, 2]
        poses = flip @ self.cameras.world_from_cam @ flip
        cameras = replace(self.cameras, world_from_cam=poses, intrinsics=intrinsics)
        return replace(self, images=self.images.flip(2), depth=self.depth.flip(2), cameras=cameras)

    def repainted(self, generator: torch.Generator) -> PosedViews:
        """Channels exchanged, each up to ``REPAINT`` lighter or darker; without the sentence that names colours."""
        order = torch.randperm(3, generator=generator).to(self.images.device)
        gain = 1 + REPAINT * (2 * torch.rand(3, generator=generator) - 1)
        images = (self.images[..., order] * gain.to(self.images)).clamp(max=1)
        return replace(self, images=images, text=None)

    def fitted(self, width: int, height: int) -> PosedViews:
        """The largest central part of every picture that has the aspect ratio of width x height, at that size."""
        old_height, old_width = self.images.shape[1:3]
        scale = min(old_width / width, old_height / height)
        crop_w, crop_h = round(width * scale), round(height * scale)
        left, top = (old_width - crop_w) // 2, (old_height - crop_h) // 2
        images = self.images[:, top : top + crop_h, left : left + crop_w]
        depth = self.depth[:, top : top + crop_h, left : left + crop_w]
        shift = self.cameras.intrinsics.new_tensor([[0, 0, left], [0, 0, top], [0, 0, 0]])
        cropped = replace(
            self.cameras, intrinsics=self.cameras.intrinsics - shift, width=crop_w, height=crop_h
        )
        return replace(
            self,
            images=resize_images(images, width, height),
            depth=F.interpolate(depth[:, None], (height, width), mode="nearest-exact")[:, 0],
            cameras=cropped.resized(width, height),
        )


def resize_images(
    images: Float[Tensor, "v h w 3"], width: int, height: int
) -> Float[Tensor, "v height width 3"]:
    """Images at another size, without aliasing."""
    if images.shape[1:3] == (height, width):
        return images
    moved = images.permute(0, 3, 1, 2)
    return (
        F.interpolate(moved, (height, width), mode="bicubic", antialias=True).clamp(0, 1).permute(0, 2, 3, 1)
    )
