"""Cameras, and the conventions that the whole project obeys.

Conventions
    Cameras are OpenCV: x right, y down, z forward. ``world_from_cam`` maps camera points to the world.
    Intrinsics are in pixels; the centre of the top left pixel is (0.5, 0.5).
    Depth is z along the camera's axis in scene units, not distance along the ray.
    Images are float32 [..., H, W, 3] in [0, 1], sRGB. Quaternions are ``wxyz``.
    nerfstudio's transforms.json holds OpenGL cameras (y up, z backward): see ``opencv_from_opengl``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

OPENGL_FROM_OPENCV = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
"""Flips y and z of the camera's own axes; its own inverse."""


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras that share one image size."""

    world_from_cam: Float[Tensor, "*batch 4 4"]
    """Rigid camera-to-world transforms, OpenCV axes."""
    intrinsics: Float[Tensor, "*batch 3 3"]
    """[[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels."""
    width: int
    height: int

    @property
    def cam_from_world(self) -> Float[Tensor, "*batch 4 4"]:
        """World-to-camera transforms (the inverse of a rigid transform, without a solve)."""
        rotation = self.world_from_cam[..., :3, :3].transpose(-1, -2)
        translation = -(rotation @ self.world_from_cam[..., :3, 3:])
        bottom = self.world_from_cam[..., 3:, :]
        return torch.cat([torch.cat([rotation, translation], dim=-1), bottom], dim=-2)

    @property
    def positions(self) -> Float[Tensor, "*batch 3"]:
        """Camera centres in the world."""
        return self.world_from_cam[..., :3, 3]

    @property
    def forward(self) -> Float[Tensor, "*batch 3"]:
        """Unit viewing directions in the world."""
        return self.world_from_cam[..., :3, 2]

    @property
    def fov_x_deg(self) -> Float[Tensor, "*batch"]:
        """Horizontal field of view in degrees, for a centred principal point."""
        return torch.rad2deg(2 * torch.atan(self.width / (2 * self.intrinsics[..., 0, 0])))

    def __len__(self) -> int:
        return self.world_from_cam.shape[0]

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Cameras:
        """Select along the first batch axis; an int keeps it (a batch of one)."""
        if isinstance(index, int):
            index = [index]
        elif isinstance(index, Sequence):
            index = list(index)
        return replace(self, world_from_cam=self.world_from_cam[index], intrinsics=self.intrinsics[index])

    def __iter__(self) -> Iterator[Cameras]:
        return (self[i] for i in range(len(self)))

    def to(self, device: torch.device | str) -> Cameras:
        """The same cameras on another device."""
        return replace(
            self, world_from_cam=self.world_from_cam.to(device), intrinsics=self.intrinsics.to(device)
        )

    def resized(self, width: int, height: int) -> Cameras:
        """The same views at another image size; pixel centres stay at +0.5."""
        scale = self.intrinsics.new_tensor([width / self.width, height / self.height, 1.0])
        return replace(self, intrinsics=self.intrinsics * scale[:, None], width=width, height=height)

    def zoomed(self, factor: float) -> Cameras:
        """The same views through lenses ``factor`` times as long, about their principal points."""
        scale = self.intrinsics.new_tensor([[factor, 1.0, 1.0], [1.0, factor, 1.0], [1.0, 1.0, 1.0]])
        return replace(self, intrinsics=self.intrinsics * scale)

    def rays(self) -> tuple[Float[Tensor, "*batch h w 3"], Float[Tensor, "*batch h w 3"]]:
        """World-space origins and directions through every pixel centre.

        Directions have unit z in the camera's frame, so ``origin + depth * direction`` is the point at that depth.
        """
        k = self.intrinsics
        x = torch.arange(self.width, device=k.device, dtype=k.dtype)[:, None] + 0.5
        y = torch.arange(self.height, device=k.device, dtype=k.dtype)[:, None] + 0.5
        turned = self.world_from_cam[..., None, :3, :3] @ torch.linalg.inv(k)[..., None, :, :]
        across, down = x * turned[..., 0], y * turned[..., 1] + turned[..., 2]
        directions = down[..., :, None, :] + across[..., None, :, :]
        return self.positions[..., None, None, :].expand_as(directions), directions

    def unproject(self, depth: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h w 3"]:
        """World points of every pixel at the given depth."""
        origins, directions = self.rays()
        return origins + depth[..., None] * directions

    def project(
        self, points: Float[Tensor, "*batch n 3"]
    ) -> tuple[Float[Tensor, "*batch n 2"], Float[Tensor, "*batch n"]]:
        """Pixel coordinates and depth of world points; points behind the camera have depth <= 0."""
        cam_from_world = self.cam_from_world
        in_cam = points @ cam_from_world[..., :3, :3].transpose(-1, -2) + cam_from_world[..., None, :3, 3]
        depth = in_cam[..., 2]
        homogeneous = in_cam @ self.intrinsics.transpose(-1, -2)
        return homogeneous[..., :2] / homogeneous[..., 2:], depth

    def locate(
        self, points: Float[Tensor, "n 3"]
    ) -> tuple[tuple[Int[Tensor, "n"], Int[Tensor, "n"]], Float[Tensor, "n"], Bool[Tensor, "n"]]:
        """Where one camera, a batch of one, has points: (rows, columns), depth, and whether they are in its frame.

        Rows and columns of points outside the frame are those of some pixel at its rim.
        """
        pixels, depth = (values[0] for values in self.project(points[None]))
        column, row = pixels.nan_to_num(-1.0).clamp(-1, 1e6).floor().long().unbind(-1)
        inside = (depth > 0) & (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        return (row.clamp(0, self.height - 1), column.clamp(0, self.width - 1)), depth, inside


def moved(cameras: Cameras, way: Float[Tensor, "3"]) -> Cameras:
    """The same cameras, moved by ``way``."""
    poses = cameras.world_from_cam.clone()
    poses[..., :3, 3] += way
    return replace(cameras, world_from_cam=poses)


def cat_cameras(cameras: Sequence[Cameras]) -> Cameras:
    """Join batches of cameras of one image size along the first axis."""
    sizes = {(c.width, c.height) for c in cameras}
    if len(sizes) != 1:
        raise ValueError(f"cameras of different image sizes cannot be joined: {sorted(sizes)}")
    return replace(
        cameras[0],
        world_from_cam=torch.cat([c.world_from_cam for c in cameras]),
        intrinsics=torch.cat([c.intrinsics for c in cameras]),
    )


def pinhole_intrinsics(focal_px: float, width: int, height: int) -> Float[Tensor, "3 3"]:
    """Square pixels and a centred principal point."""
    return torch.tensor([[focal_px, 0.0, width / 2], [0.0, focal_px, height / 2], [0.0, 0.0, 1.0]])


def focal_px_from_fov(fov_deg: float, length_px: int) -> float:
    """Focal length in pixels that spreads ``fov_deg`` degrees over ``length_px`` pixels."""
    return length_px / (2 * math.tan(math.radians(fov_deg) / 2))


def turned(degrees: Sequence[tuple[float, float]]) -> Float[Tensor, "n 4 4"]:
    """Poses at the origin of who looks ahead, +z, and turns the head by these angles: to the right, then up."""
    yaw, pitch = torch.tensor(degrees).deg2rad().unbind(-1)
    ahead = torch.stack([yaw.sin() * pitch.cos(), -pitch.sin(), yaw.cos() * pitch.cos()], dim=-1)
    return look_at(torch.zeros_like(ahead), ahead)


def look_at(
    position: Float[Tensor, "*batch 3"],
    target: Float[Tensor, "*batch 3"],
    up: Float[Tensor, "*#batch 3"] | None = None,
) -> Float[Tensor, "*batch 4 4"]:
    """``world_from_cam`` of a camera at ``position`` that looks at ``target``.

    Args:
        position: camera centres in the world.
        target: points on the optical axes; must differ from the positions.
        up: the world's up direction; default (0, -1, 0), the up of a scene made from a photo.
    """
    up = position.new_tensor([0.0, -1.0, 0.0]) if up is None else up.to(position)
    forward = torch.nn.functional.normalize(target - position, dim=-1)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up.expand_as(forward)), dim=-1)
    down = torch.linalg.cross(forward, right)
    rotation_and_position = torch.stack([right, down, forward, position], dim=-1)
    bottom = position.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*position.shape[:-1], 1, 4)
    return torch.cat([rotation_and_position, bottom], dim=-2)


def opencv_from_opengl(world_from_cam: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """OpenGL camera-to-world matrices (nerfstudio, Blender) as OpenCV ones, or the other way round."""
    return world_from_cam @ OPENGL_FROM_OPENCV.to(world_from_cam)
