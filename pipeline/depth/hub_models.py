"""Depth models of the transformers hub behind the same interface: Depth Anything, Depth Pro, ZoeDepth, ...

Models differ in what they answer. Metric ones (their configuration says so, or Depth Pro) are taken as they are;
relative ones answer inverse depth up to scale and shift, and are stretched to a plausible range, near 1 to far 20 m.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.errors import InputError
from ..dinov2 import MEAN, STD
from ..hub import hub_answers
from . import FAR_DEPTH_M, DepthMap
from .silhouettes import align_depth

RELATIVE_RANGE_M = (1.0, 20.0)
SIDE_PX = 518
"""Of the shorter side, for models that do not say."""


class HubEstimator:
    """Any ``AutoModelForDepthEstimation``."""

    def __init__(self, model: Any, name: str, *, licence: str) -> None:
        self.model = model
        self.name = name
        self.licences = (licence,)

    @torch.inference_mode()
    def __call__(self, image: Float[Tensor, "h w 3"], focal_px: float) -> DepthMap:
        """Depth at the image's own size; the focal length is used where the model estimates its own."""
        height, width = image.shape[:2]
        device = next(self.model.parameters()).device
        pixels = self._pixels(image.to(device))
        output = self.model(pixel_values=pixels)
        answer = output.predicted_depth.reshape(1, 1, *output.predicted_depth.shape[-2:]).float()
        answer = F.interpolate(answer, (height, width), mode="bicubic", align_corners=False)[0, 0]
        depth = self._metres(answer, output, focal_px, width).to(image.device)
        far = depth >= FAR_DEPTH_M
        depth = align_depth(depth, image, far=far)
        return DepthMap(depth, torch.ones_like(depth), far)

    def _pixels(self, image: Tensor) -> Tensor:
        config = self.model.config
        backbone = getattr(config, "backbone_config", None)
        patch = getattr(config, "patch_size", None) or getattr(backbone, "patch_size", None) or 32
        height, width = image.shape[:2]
        if config.model_type == "depth_pro":
            size = [4 * config.patch_size] * 2
        else:
            scale = min(SIDE_PX, getattr(backbone, "image_size", None) or SIDE_PX) / min(height, width)
            size = [max(patch, round(side * scale / patch) * patch) for side in (height, width)]
        mean, std = (0.5,) * 3 if config.model_type == "depth_pro" else MEAN, STD
        std = (0.5,) * 3 if config.model_type == "depth_pro" else std
        x = (image - image.new_tensor(mean)) / image.new_tensor(std)
        return F.interpolate(x.permute(2, 0, 1)[None], size, mode="bilinear", antialias=True)

    def _metres(self, answer: Tensor, output: Any, focal_px: float, width: int) -> Tensor:
        config = self.model.config
        if config.model_type == "depth_pro":  # canonical inverse depth: depth = focal / width / answer
            return (focal_px / width / answer.clamp_min(1e-4)).clamp(1e-3, FAR_DEPTH_M)
        if config.model_type == "zoedepth" or getattr(config, "depth_estimation_type", "") == "metric":
            return answer.clamp(1e-3, FAR_DEPTH_M)
        low, high = torch.quantile(
            answer.flatten()[:: max(1, answer.numel() // 100_000)], answer.new_tensor([0.02, 0.98])
        )
        near, far = RELATIVE_RANGE_M
        position = ((answer - low) / (high - low).clamp_min(1e-6)).clamp(-0.05, 1.5)
        inverse = 1 / far + position * (1 / near - 1 / far)
        return (1 / inverse.clamp_min(1 / FAR_DEPTH_M)).clamp(1e-3, FAR_DEPTH_M)


def load_hub_estimator(name: str, device: torch.device | str = "cpu") -> HubEstimator:
    """Load a depth model by hub name or from a folder.

    Raises:
        InputError: transformers is missing, the hub cannot be reached, or it has no such depth model.
    """
    try:
        from transformers import AutoModelForDepthEstimation
    except ImportError as error:
        raise InputError(
            f"depth model {name} needs the photo extra: pip install 'cosmorama[photo]' ({error})"
        ) from error
    online = not Path(name).is_dir() and hub_answers()
    try:
        model = AutoModelForDepthEstimation.from_pretrained(name, local_files_only=not online)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160] if online else "it cannot be reached"
        raise InputError(
            f"depth model {name} is not here and the model hub did not give it: {reason}"
        ) from error
    return HubEstimator(model.eval().to(device), name, licence=f"see the model card of {name}")
