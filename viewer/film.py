"""A film of a scene along a camera path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..reconstruct.cameras import Cameras
from ..reconstruct.errors import InputError
from ..reconstruct.files import atomic_write
from ..reconstruct.scene import Scene
from .render import render_rgb8
from .stage import backdrop_of, stage_scene

MAX_FRAMES = 3600


def render_film(
    path: Path | str,
    scene: Scene,
    cameras: Cameras,
    *,
    fps: float = 30.0,
    play_motion: bool = True,
    overwrite: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Callable[..., None] | None = None,
) -> int:
    """Render cameras to an mp4 (H.264).

    Args:
        path: the file to write.
        scene: what is filmed.
        cameras: one per frame; width and height are made even.
        fps: frames per second.
        play_motion: let a moving scene run at its own speed; otherwise it stands at its start.
        overwrite: replace an existing file.
        cancelled: asked before every frame; what is there by then becomes the film.
        on_progress: called as ``on_progress(done, total)``.

    Returns:
        The number of frames written.

    Raises:
        InputError: imageio-ffmpeg is missing, there are no or too many frames, or the film was cancelled at once.
    """
    if not 0 < len(cameras) <= MAX_FRAMES:
        raise InputError(f"a film has 1 to {MAX_FRAMES} frames, not {len(cameras)}")
    try:
        import imageio_ffmpeg
    except ImportError:
        raise InputError("films need imageio-ffmpeg: pip install 'cosmorama[photo]'") from None
    even = cameras.resized(cameras.width // 2 * 2, cameras.height // 2 * 2)
    near, backdrop, written = stage_scene(scene).near, backdrop_of(scene), 0
    with atomic_write(path, overwrite=overwrite) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (even.width, even.height),
            fps=fps,  # pyright: ignore[reportArgumentType] (any number will do)
            quality=7,
            macro_block_size=2,
            ffmpeg_log_level="error",
        )
        writer.send(None)
        try:
            for index, camera in enumerate(even):
                if cancelled():
                    break
                seconds = index / fps
                time = (
                    (seconds / scene.motion.seconds) % 1.0
                    if scene.motion is not None and play_motion
                    else 0.0
                )
                writer.send(np.ascontiguousarray(render_rgb8(scene.at(time), camera, near, backdrop)))
                written += 1
                if on_progress is not None:
                    on_progress(written, len(even))
        finally:
            writer.close()
        if not written:
            raise InputError("the film was cancelled before its first frame")
    return written
