"""Pictures of a mesh by casting rays: what it looks like without a viewer, and how it compares with photos."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras
from .mesh import Mesh, open3d_from_mesh, tensor_from_numpy

_CLAY = 0.82


def ray_scene(mesh: Mesh) -> Any:
    """An ``open3d.t.geometry.RaycastingScene`` of the mesh."""
    import open3d as o3d

    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(open3d_from_mesh(mesh))
    return scene


def cast(scene: Any, camera: Cameras) -> dict[str, np.ndarray]:
    """What the pixels of a camera (a batch of one) meet.

    Returns:
        ``depth`` [h, w] z, 0 for nothing; ``face`` [h, w] int64, -1 for nothing; ``uv`` [h, w, 2] barycentric
        coordinates of the face's second and third corner.
    """

    origins, directions = camera.rays()
    rays = torch.cat([origins[0], directions[0]], dim=-1).contiguous().numpy()
    hit = scene.cast_rays(tensor_from_numpy(rays))
    depth = hit["t_hit"].numpy()
    there = np.isfinite(depth)
    face = np.where(there, hit["primitive_ids"].numpy().astype(np.int64), -1)
    return {"depth": np.where(there, depth, 0.0), "face": face, "uv": hit["primitive_uvs"].numpy()}


def render_mesh(
    mesh: Mesh, camera: Cameras, *, clay: bool = False, scene: Any = None
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    """Colour and depth from one camera, over black.

    Args:
        mesh: shown with its texture, else with its vertex colours, without light.
        camera: a batch of one.
        clay: show the shape instead: one colour, lit from the camera.
        scene: from ``ray_scene``, to save making it again.
    """
    hit = cast(ray_scene(mesh) if scene is None else scene, camera)
    there, face, uv = hit["face"] >= 0, hit["face"].clip(0), hit["uv"].astype(np.float64)
    weights = np.concatenate([1 - uv.sum(-1, keepdims=True), uv], axis=-1)
    if clay or (mesh.texture is None and mesh.colors is None):
        _, directions = camera.rays()
        way = torch.nn.functional.normalize(directions[0], dim=-1).numpy()
        facing = -(mesh.face_normals[face] * way).sum(-1)
        lit = np.where(facing > 0, 0.15 + _CLAY * facing, 0.1 * -facing)  # the back is almost black
        picture = lit[..., None] * np.ones(3)
    elif mesh.texture is not None and mesh.uvs is not None:
        picture = sample_texture(mesh.texture, (mesh.uvs[face] * weights[..., None]).sum(-2))
    else:
        assert mesh.colors is not None
        picture = (mesh.colors[mesh.faces[face]] * weights[..., None]).sum(-2) / 255
    picture = torch.from_numpy(np.where(there[..., None], picture, 0.0)).float()
    return picture.clamp(0, 1), torch.from_numpy(hit["depth"]).float()


def sample_texture(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear colours in [0, 1] at uv [..., 2]; (0, 0) is the corner of the first texel."""
    height, width = texture.shape[:2]
    x = (uv[..., 0] * width - 0.5).clip(0, width - 1)
    y = (uv[..., 1] * height - 0.5).clip(0, height - 1)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    top = texture[y0, x0] * (1 - fx) + texture[y0, x1] * fx
    low = texture[y1, x0] * (1 - fx) + texture[y1, x1] * fx
    return (top * (1 - fy) + low * fy) / 255
