"""Frames of a clip, as photos."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError

SUFFIXES = (
    ".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv",
)  # fmt: skip
"""Usual ones of video files."""
CANDIDATES = 3
"""Frames that are looked at for each that is taken: the sharpest, hands shake."""
SQUARE = "scale='trunc(iw*if(gt(sar,0),sar,1)/2)*2':ih,setsar=1"
"""Pixels of some clips are no squares."""
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,ogg,asf,flv"
"""What a clip may be; play lists, which name other files, are none."""


def clip_long_side(clip: Path) -> int:
    """Pixels along the longer side of a clip that ``clip_frames`` has read."""
    from imageio_ffmpeg import read_frames

    reader = read_frames(str(clip.resolve()))
    size = next(reader)["source_size"]  # pyright: ignore[reportArgumentType, reportCallIssue]
    reader.close()
    return max(size)


def clip_frames(clip: Path, folder: Path, most: int, *, long_side: int) -> list[Path]:
    """Write frames at even distances in time, of each stretch the sharpest.

    Args:
        clip: any format that ffmpeg reads.
        folder: exists; gets PNG files.
        most: how many frames; a short clip may have fewer.
        long_side: larger frames are shrunk to it.

    Returns:
        Their paths in order of time.

    Raises:
        InputError: the clip cannot be read, or ffmpeg (extra ``photo``) is not installed.
    """
    try:
        from imageio_ffmpeg import count_frames_and_secs
    except ImportError as error:
        raise InputError(
            f"reading clips needs the photo extra: pip install 'cosmorama[photo]' ({error})"
        ) from None
    if not clip.is_file():
        raise InputError(f"{clip}: no such file")
    _run_ffmpeg(clip, "-frames:v", "1", "-f", "null", "-")  # nothing else looks at what is no clip
    try:
        frames, seconds = count_frames_and_secs(str(clip.resolve()))
    except (RuntimeError, OSError):
        raise InputError(f"{clip}: not a clip that can be read") from None
    if not frames or not seconds:
        raise InputError(f"{clip}: a clip without frames")
    wanted = min(frames, CANDIDATES * most)
    shrink = f"scale='if(gt(iw,ih),min(iw,{long_side}),-2)':'if(gt(iw,ih),-2,min(ih,{long_side}))'"
    filters = f"fps={wanted / seconds:.6f},{SQUARE},{shrink}"
    _run_ffmpeg(clip, "-vf", filters, "-frames:v", str(wanted), str(folder / "%05d.png"))
    written = sorted(folder.glob("*.png"))
    if not written:
        raise InputError(f"{clip}: a clip without frames")
    stretches = np.array_split(np.arange(len(written)), min(most, len(written)))
    kept = [max((written[i] for i in stretch), key=_sharpness) for stretch in stretches]
    for path in set(written) - set(kept):
        path.unlink()
    return kept


def _run_ffmpeg(clip: Path, *output: str) -> None:
    """Read the clip, and nothing that it may name.

    Raises:
        InputError: it cannot be read.
    """
    from imageio_ffmpeg import get_ffmpeg_exe

    command = [
        get_ffmpeg_exe(), "-loglevel", "error", "-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS,
        "-i", str(clip.resolve()), "-an", *output,
    ]  # fmt: skip
    # In a session of its own a Ctrl-C does not reach it.
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True)
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(f"{clip}: not a clip that can be read ({reason[-1] if reason else 'no frames'})")


def _sharpness(path: Path) -> float:
    """Mean square of the second differences of the grey values."""
    with Image.open(path) as image:
        grey = np.asarray(image.convert("L"), np.float32)
    return float(np.square(np.diff(grey, 2, 0)).mean() + np.square(np.diff(grey, 2, 1)).mean())
