"""Several photos of one place, or a clip of it: where each was taken from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..reconstruct.cameras import Cameras, cat_cameras
from ..reconstruct.captures.colmap import import_pycolmap
from ..reconstruct.captures.find_cameras import FoundCameras
from ..reconstruct.captures.undistort import sample_pixels, undistortion_map
from ..reconstruct.errors import InputError
from ..reconstruct.fit.stereo import stereo_depths
from ..reconstruct.mesh.grid import DepthPicture
from ..reconstruct.transforms_json import PosedImage
from ..reconstruct.views import shrink_image
from .depth import DepthEstimator
from .depth.triangulated import bring_to_points, scale_to_points
from .photo import Photo, load_photo
from .photo_files import cameras_of, is_clip, upright_photos
from .progress import Advance

POSED_PX = 1280
"""Long side at which photos are compared."""
MOST_USED = 8
"""That a scene is made of: those that are farthest from each other."""
MOST_MEASURED = 16
"""That are compared pixel by pixel."""
STEREO_PX, STEREO_ERROR, STEREO_CELLS = 256, 0.02, (48, 128)
"""Long side at which they are, the error of what is sure then, and cells in which depth is corrected by it."""
MATCH_PX = 0.7
"""Error of a point that is found in a photo."""


@dataclass(frozen=True)
class PosedPhoto:
    """A photo, and where it was taken from."""

    photo: Photo
    camera: Cameras
    """In a world of unknown scale; a batch of one, of the photo's size."""
    points: Float[Tensor, "k 3"]
    """Of the world, that the photo shows."""
    errors: Float[Tensor, "k"]
    """Standard deviations of the logarithms of their depths."""

    def located(self) -> tuple[Float[Tensor, "k 2"], Float[Tensor, "k"]]:
        """Pixels and z depths of the points."""
        pixels, z = self.camera.project(self.points[None])
        return pixels[0], z[0]


@dataclass(frozen=True)
class Several:
    """Photos of one place."""

    photos: list[PosedPhoto]
    """The first is where one starts; its camera is the world."""
    used: int
    """The scene is made of so many of them; the others only help to measure it."""
    remark: str
    """Which photos they are, for people."""

    def measured(self, estimator: DepthEstimator, *, advance: Advance | None = None) -> list[DepthPicture]:
        """The photos that are used in one world in metres, with depth that agrees with what they share.

        Args:
            estimator: of the depth of single photos, in metres.
            advance: told of the progress.
        """
        used = self.photos[: self.used]
        depths, scales = [], []
        for index, posed in enumerate(used):
            depths.append(estimator(posed.photo.image, posed.photo.focal_px).depth_m)
            scales.append(scale_to_points(depths[-1], *posed.located()))
            if advance:
                advance(index + 1, len(used))
        told = torch.tensor([scale for scale in scales if scale is not None])
        metres = 1 / float(told.median()) if len(told) else 1.0
        stereo = _stereo(self.photos)
        pictures = []
        for index, (posed, depth) in enumerate(zip(used, depths)):
            pixels, z = posed.located()
            depth = bring_to_points(depth, pixels, z * metres, posed.errors)
            if index in stereo:
                pixels, z = stereo[index]
                for cells in STEREO_CELLS:
                    errors = torch.full_like(z, STEREO_ERROR)
                    depth = bring_to_points(depth, pixels, z * metres, errors, cells=cells, doubtful=False)
            pose = posed.camera.world_from_cam.clone()
            pose[:, :3, 3] *= metres
            camera = replace(posed.camera, world_from_cam=pose)
            pictures.append(
                DepthPicture(posed.photo.image, depth, camera, torch.ones_like(depth, dtype=torch.bool))
            )
        return pictures


def _stereo(photos: Sequence[PosedPhoto]) -> dict[int, tuple[Float[Tensor, "k 2"], Float[Tensor, "k"]]]:
    """Pixels and z depths of what stereo is sure of, for photos of the first one's size."""
    size = photos[0].photo.image.shape
    same = [index for index, posed in enumerate(photos) if posed.photo.image.shape == size]
    if len(same) < 2:
        return {}
    scale = min(1.0, STEREO_PX / max(size))
    width, height = round(size[1] * scale), round(size[0] * scale)
    cameras = cat_cameras([photos[index].camera for index in same]).resized(width, height)
    images = torch.stack([shrink_image(photos[index].photo.image, width, height) for index in same])
    maps = stereo_depths(cameras, images)
    found = {}
    for index, depth, sure in zip(same, maps.depth, maps.consistent, strict=True):
        rows, columns = sure.nonzero(as_tuple=True)
        pixels = (torch.stack([columns, rows], -1) + 0.5) * torch.tensor([size[1] / width, size[0] / height])
        found[index] = pixels, depth[sure]
    return found


def pose_photos(
    inputs: Sequence[Path],
    *,
    long_side: int,
    focal_px: float | None = None,
    seed: int = 0,
    advance: Advance | None = None,
) -> Several:
    """Find where photos were taken from.

    Args:
        inputs: photos, folders of photos, and clips.
        long_side: of the photos that are returned, in pixels.
        focal_px: of all photos, in pixels of their files; default from EXIF.
        seed: of what is drawn at random.
        advance: told of the progress.

    Returns:
        The photos. The first is the one that shares most with the others. Of a clip that is taken from one place only,
        or of what moves: the frame in the middle, alone.

    Raises:
        InputError: what cannot be read, or photos that do not show one place from different sides.
    """
    import_pycolmap("finding the cameras of photos")
    with tempfile.TemporaryDirectory() as folder:
        upright = upright_photos(inputs, Path(folder), long_side=POSED_PX, focal_px=focal_px)
        try:
            found = cameras_of(upright, seed=seed, advance=advance)
        except InputError as error:
            if not (len(inputs) == 1 and is_clip(inputs[0])):
                raise
            middle = upright[len(upright) // 2]
            photo = load_photo(middle.path, long_side=long_side, focal_px=middle.focal_px)
            alone = PosedPhoto(photo, photo.camera, torch.zeros(0, 3), torch.zeros(0))
            return Several([alone], 1, f"only the frame in the middle of the clip is used: {error}")
        home = max(range(len(found.posed)), key=lambda index: len(found.seen[index]))
        order = _spread(found, home, MOST_MEASURED)
        cam_from_world = torch.linalg.inv(found.posed[home].world_from_cam)
        points = found.cloud.points @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
        errors = _errors(found)
        photos = [
            _posed(found.posed[i], cam_from_world, points[found.seen[i]], errors[found.seen[i]], long_side)
            for i in order
        ]
    used = min(len(photos), MOST_USED)
    remark = f"{used} of {len(upright)} pictures are used; one starts at {upright[found.given[home]].name}"
    lost = [each.name for index, each in enumerate(upright) if index not in found.given]
    if lost:
        remark += f"; left out, as they show nothing that the others show: {', '.join(lost)}"
    return Several(photos, used, remark)


def _spread(found: FoundCameras, home: int, most: int) -> list[int]:
    """Home, and photos that are farthest from those before them, in place and direction."""
    poses = torch.stack([posed.world_from_cam for posed in found.posed])
    depth = (found.cloud.points[found.seen[home]] - poses[home, :3, 3]).norm(dim=-1).median()
    where = torch.cat([poses[:, :3, 3] / depth, poses[:, :3, 2]], dim=-1)
    chosen = [home]
    while len(chosen) < min(most, len(poses)):
        distance = torch.cdist(where, where[chosen]).amin(-1)
        distance[chosen] = -1.0
        chosen.append(int(distance.argmax()))
    return chosen


def _errors(found: FoundCameras) -> Float[Tensor, "n"]:
    """How uncertain the depths of the points are: by the angle between the directions they are seen from."""
    directions, count = torch.zeros_like(found.cloud.points), torch.zeros(len(found.cloud.points), 1)
    for posed, seen in zip(found.posed, found.seen, strict=True):
        directions[seen] += F.normalize(found.cloud.points[seen] - posed.world_from_cam[:3, 3], dim=-1)
        count[seen] += 1
    concentration = (directions / count).norm(dim=-1)
    angle = 2 * (1 - concentration.square()).clamp_min(1e-12).sqrt()
    focal = torch.stack([posed.intrinsics[0, 0] for posed in found.posed]).median()
    return MATCH_PX / (focal * angle)


def _posed(
    posed: PosedImage,
    home_from_world: Float[Tensor, "4 4"],
    points: Float[Tensor, "k 3"],
    errors: Float[Tensor, "k"],
    long_side: int,
) -> PosedPhoto:
    """The photo at working size, without its lens's bending."""
    assert posed.image is not None
    photo = load_photo(posed.image, long_side=long_side, focal_px=float(posed.intrinsics[0, 0]))
    photo = replace(photo, focal_source="found")
    if posed.distortion:
        height, width = photo.image.shape[:2]
        pixels, _ = undistortion_map(photo.camera.intrinsics[0], width, height, posed.distortion)
        photo = replace(photo, image=sample_pixels(photo.image, pixels))
    camera = replace(photo.camera, world_from_cam=(home_from_world @ posed.world_from_cam)[None])
    return PosedPhoto(photo, camera, points, errors)
