"""``cosmorama depth``: metric depth of one photo."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ...reconstruct.errors import InputError


@dataclass(frozen=True)
class Depth:
    """Write the depth of a photo, and a picture of it beside."""

    photo: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO")]
    """The photo: JPEG, PNG, WebP, HEIC, ..."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """.npy: float32 metres. .png: 16 bit, millimetres. The picture gets -depth.png added to the name."""
    focal_px: float | None = None
    """Focal length in pixels of the photo; default from its EXIF data, else a 60 degree lens."""
    depth_model: str = "cosmorama"
    """cosmorama, or a depth model on the transformers hub, or a folder holding one."""
    long_side: Annotated[int | None, tyro.conf.arg(help="Shrink the photo to this many pixels first.")] = None
    device: str = "cpu"
    force: bool = False
    """Replace files that exist."""
    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> None:
        """Predict and write."""
        from ..depth import load_depth_estimator
        from ..depth.picture import depth_picture, save_depth
        from ..photo import load_photo
        from ..pictures import save_png

        if self.out.suffix.lower() not in (".npy", ".png"):
            raise InputError(f"{self.out}: depth is written as .npy (metres) or .png (16 bit, millimetres)")
        picture = self.out.with_name(f"{self.out.stem}-depth.png")
        for path in (self.out, picture):
            if path.exists() and path.resolve() == self.photo.resolve():
                raise InputError(f"{path} is the photo itself; depth is not written over it")
            if path.exists() and not self.force:
                raise InputError(f"{path} exists already; it is only replaced with --force")
        photo = load_photo(self.photo, long_side=self.long_side, focal_px=self.focal_px)
        estimator = load_depth_estimator(self.depth_model, self.device)
        print(f"{estimator.name} on {self.device}; weights: {'; '.join(estimator.licences)}", file=sys.stderr)
        start = time.perf_counter()
        depth = estimator(photo.image, photo.focal_px)
        seconds = time.perf_counter() - start
        save_depth(self.out, depth.depth_m)
        save_png(picture, depth_picture(depth))
        solid = depth.depth_m[~depth.far]
        median = float(solid.median()) if solid.numel() else None
        shown = "nothing but sky" if median is None else f"median depth {median:.2f} m"
        print(f"{self.out} and {picture}: {shown}, {seconds:.1f} s", file=sys.stderr)
        if self.json:
            answer = {
                "out": str(self.out),
                "picture": str(picture),
                "width": photo.image.shape[1],
                "height": photo.image.shape[0],
                "focal_px": photo.focal_px,
                "focal_source": photo.focal_source,
                "median_depth_m": median,
                "far_share": float(depth.far.float().mean()),
                "estimator": estimator.name,
                "licences": list(estimator.licences),
                "seconds": seconds,
            }
            print(json.dumps(answer))
