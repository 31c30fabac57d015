"""Depth of single photos against points that COLMAP finds in several of the same place: real and in the open.

    python tests/benchmarks/depth_of_points.py PHOTOS [--rooms]

PHOTOS is a folder of overlapping photos; COLMAP runs in a temporary folder. Of each photo the estimated depth is scaled
to the median of the points' and compared at them; points seen by fewer than three photos or off by more than 1.5 pixels
do not count. With --rooms the head for rooms reads all photos.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pycolmap
import torch
from PIL import Image, ImageOps

from cosmorama.pipeline.depth.estimator import CosmoramaEstimator, load_cosmorama_estimator, load_head

LONG_SIDE = 512
MOST_ERROR, LEAST_PHOTOS = 1.5, 3


def main() -> None:
    folder, rooms = Path(sys.argv[1]), "--rooms" in sys.argv
    estimator = CosmoramaEstimator(load_head()) if rooms else load_cosmorama_estimator()
    scores = []
    for name, points, focal_px in points_of(folder):
        photo = ImageOps.exif_transpose(Image.open(folder / name)).convert("RGB")
        scale = LONG_SIDE / max(photo.size)
        photo = photo.resize(
            (round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS
        )
        depth = estimator(torch.from_numpy(np.array(photo)).float() / 255, focal_px * scale).depth_m.numpy()
        x, y = (points[:, :2] * scale).astype(int).T
        said, true = depth[y.clip(0, photo.height - 1), x.clip(0, photo.width - 1)], points[:, 2]
        said = said * np.median(true) / np.median(said)
        ratio = np.maximum(said / true, true / said)
        scores.append([np.mean(np.abs(said - true) / true), *(np.mean(ratio < most) for most in (1.25, 1.1))])
    absrel, within_quarter, within_tenth = np.mean(scores, axis=0)
    print(
        f"{len(scores)} photos: AbsRel {absrel:.3f}, within a quarter {within_quarter:.3f}, a tenth {within_tenth:.3f}"
    )


def points_of(folder: Path) -> list[tuple[str, np.ndarray, float]]:
    """(file, float [n, 3] of pixel x, y and z depth, focal length in pixels) of every photo that COLMAP places."""
    with tempfile.TemporaryDirectory() as temporary:
        database = Path(temporary) / "database.db"
        pycolmap.extract_features(database, folder, camera_mode=pycolmap.CameraMode.SINGLE)
        pycolmap.match_exhaustive(database)
        models = pycolmap.incremental_mapping(database, folder, temporary)
        model = max(models.values(), key=lambda m: m.num_reg_images())
        return [(image.name, _seen(image, model), model.cameras[image.camera_id].mean_focal_length())
                for image in model.images.values() if image.has_pose]  # fmt: skip


def _seen(image: pycolmap.Image, model: pycolmap.Reconstruction) -> np.ndarray:
    rows = []
    for pixel in image.points2D:
        if pixel.has_point3D():
            point = model.points3D[pixel.point3D_id]
            if point.track.length() >= LEAST_PHOTOS and point.error <= MOST_ERROR:
                rows.append([*pixel.xy, (image.cam_from_world() * point.xyz)[2]])
    return np.array(rows)


if __name__ == "__main__":
    main()
