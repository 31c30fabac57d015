"""Cameras of photos that nobody has measured: structure from motion, by COLMAP.

Points that several photos show are found and matched, and cameras and points are solved for together. Source:
Schönberger and Frahm 2016, Structure-from-Motion Revisited, through pycolmap. What it finds has no scale.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..transforms_json import PosedImage
from .colmap import SparseCloud, import_pycolmap, posed_image, sparse_cloud

MATCHED_PX = 1280
"""Photos are shrunk to this many pixels along the long side to find points."""
MOST_POINTS = 2048
"""Looked for in a photo."""
MANY = 8
"""From so many photos on they tell the lens, too: its focal length and how it bends lines."""
INITIAL_INLIERS, INITIAL_DEG = 30, 4.0
"""Matches and angle that the first two photos need at least; few photos are all there is, COLMAP's 100 and 16 are for
many."""
JOINING_INLIERS = 20
"""Points that a further photo must share."""
LENSES, MOST_BENT = (0.35, 5.0), 0.3
"""Focal lengths of lenses, in long sides, and by how much they bend lines (k1) at most."""
LEAST_POINTS = 30
"""Points that all cameras together stand on at least; fewer are chance."""
DEFAULT_FOCAL = 0.866
"""Of the long side, where nobody tells: 60 degrees, as for single photos."""


@dataclass(frozen=True)
class FoundCameras:
    """Photos in one world, without scale, and points that they share."""

    posed: list[PosedImage]
    """In the order of the photos that were given."""
    given: list[int]
    """Which of the given photos they are; the others show nothing that is shared."""
    cloud: SparseCloud
    seen: list[Int[Tensor, "k"]]
    """For each of them, the points that were found in it."""


def find_cameras(
    photos: Sequence[Path],
    *,
    focals_px: Sequence[float | None] | None = None,
    threads: int = 2,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> FoundCameras:
    """Where photos of one place were taken from.

    Args:
        photos: upright pictures; those of one size and focal length were taken with one lens.
        focals_px: focal lengths in the pictures' pixels; None is ``DEFAULT_FOCAL`` of the long side. If there are
            ``MANY`` photos they are corrected.
        threads: used at most.
        seed: of what is drawn at random.
        on_progress: called as (steps done, steps in all).

    Raises:
        InputError: pycolmap is missing, or the photos do not show one place from different sides.
    """
    pycolmap = import_pycolmap("finding the cameras of photos")
    tell = on_progress or (lambda _done, _total: None)
    many = len(photos) >= MANY
    with tempfile.TemporaryDirectory() as folder, _only_errors(pycolmap):
        images, database = Path(folder) / "images", Path(folder) / "database.db"
        names = _linked(photos, images)
        pycolmap.set_random_seed(seed)
        extraction = pycolmap.FeatureExtractionOptions(
            max_image_size=MATCHED_PX, num_threads=threads, use_gpu=False
        )
        extraction.sift.max_num_features = MOST_POINTS
        matching = pycolmap.FeatureMatchingOptions(num_threads=threads, use_gpu=False)
        verification = pycolmap.TwoViewGeometryOptions()
        verification.ransac.random_seed = seed
        try:
            pycolmap.Database.open(database).close()
            for lens, taken in _lenses(photos, focals_px or [None] * len(photos)).items():
                pycolmap.import_images(  # in order: who extracts first must not be first
                    database, images, camera_mode=pycolmap.CameraMode.SINGLE,
                    image_names=[names[index] for index in taken], options=_reader(pycolmap, *lens),
                )  # fmt: skip
            pycolmap.extract_features(database, images, extraction_options=extraction)
            tell(1, 3)
            pycolmap.match_exhaustive(database, matching_options=matching, verification_options=verification)
            tell(2, 3)
            options = _mapping(pycolmap, many=many, seed=seed)
            models = pycolmap.incremental_mapping(database, images, folder, options)
            if many and not _are_lenses(models):
                options = _mapping(pycolmap, many=False, seed=seed)
                models = pycolmap.incremental_mapping(database, images, folder, options)
            tell(3, 3)
        except (RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise InputError(f"the photos' cameras cannot be found ({reason})") from None
    found = [_found(model, photos) for _, model in sorted(models.items())]
    best = max(found, key=lambda some: len(some.cloud.points), default=None)
    if best is None or len(best.cloud.points) < LEAST_POINTS:
        raise InputError(
            f"the {len(photos)} photos do not show one place from different sides: no cameras were found for them"
        )
    return best


def _linked(photos: Sequence[Path], folder: Path) -> list[str]:
    """Links to the photos, named by their order: strangers' names may be anything."""
    folder.mkdir()
    names = [f"{index:05d}{photo.suffix}" for index, photo in enumerate(photos)]
    for name, photo in zip(names, photos):
        (folder / name).symlink_to(photo.resolve())
    return names


def _lenses(
    photos: Sequence[Path], focals_px: Sequence[float | None]
) -> dict[tuple[int, int, float], list[int]]:
    """Which photos were taken with lenses of (width, height, focal length)."""
    lenses: dict[tuple[int, int, float], list[int]] = {}
    for index, (photo, focal) in enumerate(zip(photos, focals_px, strict=True)):
        with Image.open(photo) as picture:
            width, height = picture.size
        lens = (width, height, focal or DEFAULT_FOCAL * max(width, height))
        lenses.setdefault(lens, []).append(index)
    return lenses


def _reader(pycolmap: Any, width: int, height: int, focal_px: float) -> Any:
    """What is supposed of a lens at first: its focal length, and that straight lines are straight."""
    return pycolmap.ImageReaderOptions(
        camera_model="SIMPLE_RADIAL", camera_params=f"{focal_px},{width / 2},{height / 2},0"
    )


def _are_lenses(models: dict[int, Any]) -> bool:
    """Whether what was found of the cameras can be, in the model with the most points."""
    best = max(models.values(), key=lambda model: len(model.points3D), default=None)
    return best is None or all(_is_a_lens(camera) for camera in best.cameras.values())


def _is_a_lens(camera: Any) -> bool:
    """Whether what was found of a camera can be one: photos that hardly differ leave it open."""
    focal, bent = camera.params[0] / max(camera.width, camera.height), camera.params[3]
    return LENSES[0] < focal < LENSES[1] and abs(bent) < MOST_BENT


def _mapping(pycolmap: Any, *, many: bool, seed: int) -> Any:
    options = pycolmap.IncrementalPipelineOptions(
        min_model_size=2,
        num_threads=1,
        random_seed=seed,
        ba_refine_focal_length=many,
        ba_refine_extra_params=many,
    )
    options.mapper.init_min_num_inliers, options.mapper.init_min_tri_angle = INITIAL_INLIERS, INITIAL_DEG
    options.mapper.abs_pose_min_num_inliers = JOINING_INLIERS
    options.triangulation.ignore_two_view_tracks = many
    for part in (options.mapper, options.triangulation):
        part.random_seed = seed
    options.mapper.num_threads = 1
    return options


def _found(model: Any, photos: Sequence[Path]) -> FoundCameras:
    images = sorted((i for i in model.images.values() if i.has_pose), key=lambda image: image.name)
    order = {key: index for index, key in enumerate(sorted(model.points3D))}
    seen = [{order[p.point3D_id] for p in image.points2D if p.has_point3D()} for image in images]
    given = [int(image.name.partition(".")[0]) for image in images]
    return FoundCameras(
        [posed_image(image, model.cameras[image.camera_id], photos[i]) for image, i in zip(images, given)],
        given,
        sparse_cloud([model.points3D[key] for key in order]),
        [torch.tensor(sorted(points), dtype=torch.int64) for points in seen],
    )


@contextmanager
def _only_errors(pycolmap: Any) -> Iterator[None]:
    """COLMAP tells of every step; what went wrong is raised."""
    before, pycolmap.logging.minloglevel = pycolmap.logging.minloglevel, pycolmap.logging.FATAL.value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = before
