"""``cosmorama eval codec``: what the latent codec loses."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class EvalCodec:
    """What held-out photos lose on the way to latents and back: PSNR, and the luma's signal to error band by band."""

    data: tyro.conf.Positional[Path]
    """Folder of photos; only the tenth that training leaves out, by the hash of a photo's name, is judged."""
    codec: Path | None = None
    """codec.safetensors; default the shipped one."""
    crop: int = 128
    """Side of the square in pixels, a multiple of 8; smaller photos are left out."""
    json: bool = False
    """Print one JSON object on stdout."""

    def run(self) -> None:
        """Evaluate."""
        from ...reconstruct.errors import InputError
        from ..latents.codec import codec_from_file, load_codec
        from ..latents.photos import load_photos, photo_paths
        from ..latents.training import judge_codec

        if self.crop < 8 or self.crop % 8:
            raise InputError(f"--crop {self.crop}: not a multiple of 8")
        codec = codec_from_file(self.codec) if self.codec else load_codec()
        photos = load_photos(photo_paths(self.data, held_out=True), min_side=self.crop)
        if not photos.images:
            raise InputError(f"{self.data} holds no held-out photo of {self.crop} pixels a side")
        parameters = sum(p.numel() for p in codec.parameters())
        report = {
            "photos": len(photos.images),
            "parameters": parameters,
            **judge_codec(codec, photos, crop=self.crop),
        }
        print(
            f"{len(photos.images)} held-out photos, {parameters / 1e6:.1f} million parameters",
            file=sys.stderr,
        )
        print(
            f"PSNR {report['psnr']} dB (of the mean error {report['psnr_of_mean_error']} dB), "
            f"signal to error from fine to coarse bands {report['band_snr_fine_to_coarse']} dB",
            file=sys.stderr,
        )
        if self.json:
            print(json.dumps(report))
