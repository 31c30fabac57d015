"""Our own estimator: frozen DINOv2-S features, the head of ``assets/depth``, depth edges moved to the photo's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...reconstruct.errors import InputError
from ..dinov2 import dinov2_features
from ..training.checkpoints import load_weights
from ..weights import DINOV2_SMALL
from . import FAR_DEPTH_M, SKY_DEPTH_M, DepthMap
from .augment import resize_photo
from .closer import look_closer
from .features import photo_for_head
from .head import DepthHead, HeadOutput, head_config, normalised_focal
from .outdoor_head import OutdoorHead, load_outdoor_head
from .piecewise_planar import even_out
from .silhouettes import align_depth
from .sky import far_enough, with_clouds, without_islands
from .skyline import follow_skyline
from .standing import straighten
from .upsample import resize_map, upsample_depth
from .whole_sky import SkyProbe, load_sky_probe, rest_of_sky

WEIGHTS = Path(__file__).parents[2] / "assets" / "depth" / "head.safetensors"
OUTDOORS, SKY = (WEIGHTS.with_name(f"{name}.safetensors") for name in ("outdoors", "sky"))
LICENCES = (
    "Apache-2.0 (this head, trained on CC0 and CC-BY 3.0 models: see assets/depth)",
    DINOV2_SMALL.licence,
)
TOKENS = 320
"""Features per photo: near the largest grid that the head was trained on (16 x 21)."""
VIEWS = ((1.0, False), (0.6, True))
"""(share of ``TOKENS``, mirrored) of the answers to the whole photo that are averaged: errors that follow the grid of
tokens cancel, and fewer tokens see the layout better."""
IN_THE_OPEN, FROM_ITS_RIM = 0.5, 0.5
"""Share of the parts for the open from which on more is looked for of a sky, and what is taken from how sure that is:
half a token at its rim may be something else, and a skyline too high is moved down to it afterwards."""
WITHIN = math.log(1.25)
"""Confidence is the chance that depth is within this factor of the truth."""


class _Look(NamedTuple):
    """What the heads are given."""

    features: list[Float[Tensor, "1 hp wp c"]]
    photo: Float[Tensor, "1 h w 3"]
    mirrored: bool


class CosmoramaEstimator:
    """Metric depth, confidence and sky of one photo."""

    def __init__(
        self,
        head: DepthHead,
        *,
        outdoors: OutdoorHead | None = None,
        sky: SkyProbe | None = None,
        tokens: int = TOKENS,
        views: tuple[tuple[float, bool], ...] = VIEWS,
        name: str = "cosmorama",
    ) -> None:
        self.head = head.eval()
        self.outdoors = outdoors
        self.sky = sky
        self.tokens = tokens
        self.views = views
        self.name = name
        self.licences = LICENCES

    @torch.inference_mode()
    def __call__(self, image: Float[Tensor, "h w 3"], focal_px: float) -> DepthMap:
        """Depth at the image's own size.

        Args:
            image: sRGB in [0, 1], any size.
            focal_px: in pixels of ``image``; depth is proportional to it.
        """
        device = next(self.head.parameters()).device
        height, width = image.shape[:2]
        photo = image.to(device)
        output, coarse_photo = self._predict(photo)
        log_depth = upsample_depth(output.log_depth, coarse_photo, photo)
        far = far_enough(upsample_depth(output.far_logit.clamp(-1, 1), coarse_photo, photo) > 0, log_depth)
        unit = normalised_focal(focal_px, width, height)
        depth, far = without_islands((log_depth.exp() * unit).clamp(1e-3, FAR_DEPTH_M), far)
        far = with_clouds(far, depth, unit)
        smooth = resize_map(output.log_depth, (height, width)).exp() * unit
        depth = follow_skyline(align_depth(depth, photo, far=far, smooth=smooth), photo)
        depth = straighten(depth, focal_px)
        scale = resize_map(output.log_scale, (height, width)).exp()
        confidence = 1 - torch.exp(-WITHIN / scale)  # of a Laplace distribution with this scale
        far = depth > SKY_DEPTH_M
        return DepthMap(depth.to(image.device), confidence.to(image.device), far.to(image.device))

    @torch.inference_mode()
    def pooled(self, image: Float[Tensor, "h w 3"]) -> Float[Tensor, "c"]:
        """The mean of the features by which rooms are told from the open."""
        return self.head.pooled(self._look(image).features)[0]

    @torch.inference_mode()
    def sky_said(self, image: Float[Tensor, "h w 3"]) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n"]]:
        """DINOv2's last tokens of a photo, and how sure the heads are that each is sky, see ``fit_sky_probe``."""
        look = self._look(image)
        tokens = look.features[-1][0]
        answer = self._answer(look, self.outdoors.share(look.features) if self.outdoors else 0.0)
        far = F.adaptive_avg_pool2d(answer.far_logit[None], (tokens.shape[0], tokens.shape[1]))[0]
        return tokens.flatten(0, 1), far.flatten()

    def _predict(self, image: Tensor) -> tuple[HeadOutput, Float[Tensor, "h w 3"]]:
        """The answer to the photo and to its parts, see ``closer``, evened out, and the photo at its size."""
        looks = [self._look(image, share, mirrored=mirrored) for share, mirrored in self.views]
        outdoors = self.outdoors.share(looks[0].features) if self.outdoors else 0.0
        answers = [self._answer(look, outdoors) for look in looks]
        size = answers[0].log_depth.shape
        log_depth, log_scale, far_logit = (
            torch.stack([resize_map(v, size) for v in values]).mean(0)
            for values in zip(*answers, strict=True)
        )
        far_logit = self._whole_sky(looks[0].features[-1][0], far_logit, log_depth, outdoors)

        def answer(part: Tensor) -> Tensor:
            return self._answer(self._look(part), outdoors).log_depth

        log_depth = look_closer(log_depth, far_logit > 0, image, answer)
        size = log_depth.shape
        small = torch.stack([resize_map(channel, size, antialias=True) for channel in image.unbind(-1)], -1)
        far_logit = resize_map(far_logit, size)
        log_depth = even_out(log_depth, far_logit > 0, small)
        return HeadOutput(log_depth, resize_map(log_scale, size), far_logit), small

    def _whole_sky(
        self, tokens: Float[Tensor, "hp wp c"], far_logit: Tensor, log_depth: Tensor, outdoors: float
    ) -> Tensor:
        """What is sky with the rest of it, for photos of the open."""
        if self.sky is None or outdoors < IN_THE_OPEN:
            return far_logit
        size = (tokens.shape[0], tokens.shape[1])
        far, depth = (F.adaptive_avg_pool2d(values[None], size)[0] for values in (far_logit, log_depth))
        rest = rest_of_sky(tokens, far, depth, self.sky)
        return torch.maximum(far_logit, resize_map(rest, far_logit.shape) - FROM_ITS_RIM)

    def _look(self, image: Tensor, share: float = 1.0, *, mirrored: bool = False) -> _Look:
        """Features of one picture at ``share`` of the tokens."""
        height, width = image.shape[:2]
        photo = resize_photo(image, token_grid(width, height, round(self.tokens * share)))
        photo = photo.flip(1) if mirrored else photo
        features = dinov2_features(photo[None], layers=self.head.config.layers)
        return _Look(features, photo_for_head(photo)[None], mirrored)

    def _answer(self, look: _Look, outdoors: float) -> HeadOutput:
        """What is made of them: ``outdoors`` is the share of the head for the open."""
        heads = [(1 - outdoors, self.head)] + ([(outdoors, self.outdoors.head)] if self.outdoors else [])
        said = [(share, head(look.features, look.photo)) for share, head in heads if share > 0]
        answer = [torch.cat([share * values[i] for share, values in said]).sum(0) for i in range(3)]
        return HeadOutput(*(v.flip(1) if look.mirrored else v for v in answer))


def token_grid(width: int, height: int, tokens: int) -> tuple[int, int]:
    """(rows, columns) of about ``tokens`` features in the photo's aspect; at least 4 on a side."""
    aspect = width / height
    rows = max(4, round(math.sqrt(tokens / aspect)))
    return rows, max(4, round(math.sqrt(tokens * aspect)))


def load_cosmorama_estimator(
    device: torch.device | str = "cpu",
    *,
    weights: Path | None = None,
    outdoors: Path | None = None,
    tokens: int = TOKENS,
) -> CosmoramaEstimator:
    """The shipped estimator, or the one in other weights files.

    Args:
        device: where it runs.
        weights: a head; default the shipped one with its parts for the open.
        outdoors: parts for the open; default none for a head from a file.
        tokens: of the larger look at the photo.

    Raises:
        InputError: no such weights, or they are of another network.
    """
    head = load_head(weights or WEIGHTS).to(device)
    outdoors = outdoors or (OUTDOORS if weights is None else None)
    parts = load_outdoor_head(outdoors, head) if outdoors else None
    sky = load_sky_probe(SKY, device) if weights is None else None
    return CosmoramaEstimator(head, outdoors=parts, sky=sky, tokens=tokens)


def load_head(weights: Path = WEIGHTS) -> DepthHead:
    """The shipped head for rooms, or the one in another file.

    Raises:
        InputError: no such weights, or they are of another network.
    """
    if not weights.exists():
        raise InputError(f"{weights} holds no depth weights")
    config, tensors = load_weights(weights)
    try:
        head = DepthHead(head_config(config["head"]))
        head.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{weights} holds no head of this version's shape; train it anew") from error
    return head
