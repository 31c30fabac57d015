"""SANA world model (through diffusers' ``SanaWMPipeline``) as a view generator: for a GPU and a model hub.

The pipeline makes a video from a first frame along camera-to-world poses in OpenCV axes, which are ours; they are
given relative to the first frame. It wants 8 k + 1 frames, so the way from the photo through the asked cameras is
cut into equal pieces, and the frames at the asked cameras are taken out. Its pictures have one fixed size: the photo
is enlarged until it fills that and cut in the middle; what was cut off is filled from the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ...reconstruct.cameras import Cameras, cat_cameras
from ...reconstruct.errors import InputError
from ..hub import hub_answers
from . import ViewRequest
from .blend import blend_generated
from .inpaint import InpaintGenerator

REPOSITORY = "Efficient-Large-Model/SANA-WM_bidirectional-diffusers"
SIZE = (1280, 704)
"""Width and height that the public weights were trained for."""
FRAMES_BETWEEN = 8
"""Frames from one asked camera to the next: the video autoencoder's stride, so that 8 k + 1 come out."""


class SanaGenerator:
    """See the module."""

    name = "SANA-WM (large video world model, diffusers)"
    licences: tuple[str, ...] = ("see the model card of " + REPOSITORY,)
    group_size = 8
    soft = False

    def __init__(
        self, pipeline: Callable[..., Any], *, size: tuple[int, int] = SIZE, steps: int = 60
    ) -> None:
        self.pipeline, self.size, self.steps = pipeline, size, steps

    @torch.no_grad()
    def __call__(
        self, request: ViewRequest, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "v h w 3"]:
        """See ``ViewGenerator``; needs a photo."""
        if len(request.photos) == 0:
            raise InputError("SANA-WM starts from a photo; for text alone use another generator")

        def report(_: object, step: int, __: object, values: dict[str, Any]) -> dict[str, Any]:
            if on_progress:
                on_progress(step + 1, self.steps)
            return values

        photo = Image.fromarray((request.photos[0].clamp(0, 1) * 255).round().byte().cpu().numpy())
        poses, asked = poses_from_photo(request.photo_cameras[0], request.cameras)
        frames = self.pipeline(
            photo,
            request.text or "",
            c2w=poses,
            intrinsics=intrinsics_row(request.photo_cameras[0]),
            width=self.size[0],
            height=self.size[1],
            num_frames=len(poses),
            num_inference_steps=self.steps,
            generator=torch.Generator().manual_seed(request.seed),
            output_type="np",
            callback_on_step_end=report,
        ).frames
        shown = torch.from_numpy(np.asarray(frames, np.float32))[asked]
        return self._completed(shown, request)

    def _completed(
        self, frames: Float[Tensor, "v hs ws 3"], request: ViewRequest
    ) -> Float[Tensor, "v h w 3"]:
        """At the cameras' size; the memory where it knows, and filling where the frame was cut."""
        height, width = request.memory.color.shape[1:3]
        left, top, right, bottom = shown_part(width, height, self.size)
        moved = F.interpolate(
            frames.permute(0, 3, 1, 2), (bottom - top, right - left), mode="bicubic", antialias=True
        )
        pictures = InpaintGenerator()(request)
        pictures[:, top:bottom, left:right] = moved.permute(0, 2, 3, 1).clamp(0, 1)
        known = request.memory.known
        return blend_generated(request.memory.color, known, pictures)


def poses_from_photo(
    photo_camera: Cameras, cameras: Cameras, *, between: int = FRAMES_BETWEEN
) -> tuple[np.ndarray, list[int]]:
    """A path from the photo's camera through the asked ones, in the photo's camera's axes.

    Args:
        photo_camera: a batch of one.
        cameras: V asked cameras.
        between: frames from one to the next.

    Returns:
        float32 [between V + 1, 4, 4] camera-to-world poses, and which of them are the asked cameras.
    """
    world = cat_cameras([photo_camera, cameras]).world_from_cam.double()
    relative = torch.linalg.inv(world[0]) @ world
    share = torch.linspace(0, 1, between + 1, dtype=torch.float64)[1:]
    poses = [relative[:1]]
    for start, end in pairwise(relative):
        turn = _rotation_log(start[:3, :3].T @ end[:3, :3])
        step = torch.eye(4, dtype=torch.float64).repeat(between, 1, 1)
        step[:, :3, :3] = start[:3, :3] @ torch.matrix_exp(share[:, None, None] * turn)
        step[:, :3, 3] = start[:3, 3] + share[:, None] * (end[:3, 3] - start[:3, 3])
        poses.append(step)
    return torch.cat(poses).float().numpy(), [between * (i + 1) for i in range(len(cameras))]


def intrinsics_row(camera: Cameras) -> list[float]:
    """[fx, fy, cx, cy] in pixels of the photo, as the pipeline takes them."""
    k = camera.intrinsics[0]
    return [float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2])]


def shown_part(width: int, height: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the middle part of a picture that has the aspect ratio of ``size``."""
    scale = max(size[0] / width, size[1] / height)
    shown_w, shown_h = min(width, round(size[0] / scale)), min(height, round(size[1] / scale))
    left, top = (width - shown_w) // 2, (height - shown_h) // 2
    return left, top, left + shown_w, top + shown_h


def load_sana(*, device: str = "cuda") -> SanaGenerator:
    """The public weights, from the hub's cache or the hub.

    Raises:
        InputError: no GPU, no diffusers, or no weights.
    """
    if not device.startswith("cuda"):
        raise InputError("--generator sana needs a CUDA device; on a CPU one view would take hours")
    try:
        from diffusers import SanaWMPipeline
    except ImportError as error:
        raise InputError(
            f"--generator sana needs the diffusion extra: pip install 'cosmorama[diffusion]' ({error})"
        ) from None
    try:
        pipeline = SanaWMPipeline.from_pretrained(
            REPOSITORY, torch_dtype=torch.bfloat16, local_files_only=not hub_answers()
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{REPOSITORY} could not be loaded from the model hub: {reason}") from None
    return SanaGenerator(pipeline.to(device))


def _rotation_log(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "3 3"]:
    """The skew-symmetric matrix whose exponential is the rotation (angles below half a turn)."""
    angle = torch.arccos(((rotation.trace() - 1) / 2).clamp(-1, 1))
    return (rotation - rotation.T) * (0.5 if angle < 1e-6 else angle / (2 * angle.sin()))
