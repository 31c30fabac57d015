"""Pictures and clips out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..reconstruct.errors import InputError


def save_png(path: Path, image: Float[Tensor, "h w 3"]) -> None:
    """Write an sRGB picture, 8 bits."""
    Image.fromarray(_uint8(image)).save(path)


def save_mp4(
    path: Path, frames: Iterable[Float[Tensor, "h w 3"]], *, fps: int = 30, threads: int = 2
) -> None:
    """Write an H.264 clip that browsers play; the same frames give the same file.

    Raises:
        InputError: the encoder (extra ``photo``) is not installed.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as error:
        raise InputError(
            f"writing clips needs the photo extra: pip install 'cosmorama[photo]' ({error})"
        ) from None
    encoder: subprocess.Popen[bytes] | None = None
    try:
        for frame in frames:
            pixels = _uint8(frame)
            pixels = pixels[
                : pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2
            ]  # H.264 4:2:0 wants even sizes
            if encoder is None:
                size = f"{pixels.shape[1]}x{pixels.shape[0]}"
                command = [
                    get_ffmpeg_exe(), "-y", "-loglevel", "error",
                    "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(fps), "-i", "-",
                    "-c:v", "libx264", "-threads", str(threads), "-crf", "18", "-pix_fmt", "yuv420p",
                    "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart", str(path),
                ]  # fmt: skip
                # In a session of its own a Ctrl-C does not reach it.
                encoder = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
            assert encoder.stdin is not None
            encoder.stdin.write(np.ascontiguousarray(pixels).tobytes())
        if encoder is None:
            raise ValueError("a clip needs at least one frame")
        assert encoder.stdin is not None
        encoder.stdin.close()
        if encoder.wait() != 0:
            raise RuntimeError(f"the video encoder failed with code {encoder.returncode}")
    finally:
        if encoder is not None and encoder.poll() is None:
            encoder.kill()  # we were stopped: it must not say what it lacks
            encoder.communicate()


def _uint8(image: Float[Tensor, "h w 3"]) -> np.ndarray:
    return (image.detach().clamp(0, 1) * 255).round().byte().cpu().numpy()
