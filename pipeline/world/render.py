"""Renders synthetic scenes with OpenGL (moderngl on EGL: Mesa's software rasteriser or a GPU, no display).

Per frame: a pass without multisampling writes exact depth, normal and instance id as floats; ambient occlusion is
computed from it; a second pass shades the visible surfaces only, and stair-steps are smoothed in the colour picture
alone. Shadow maps are drawn once per scene.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...reconstruct.errors import InputError
from . import shaders
from .batch import VERTEX, Batch, SceneBuffers
from .light import LightField
from .scene import Scene
from .textures import load_texture

NEAR, FAR = 0.04, 3000.0


@dataclass(frozen=True)
class Look:
    """What the photographer and the camera's processing choose."""

    exposure: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Multiplies linear RGB: exposure and white balance."""
    contrast: float = 0.15
    saturation: float = 1.0
    black: float = 0.0
    """Displayed value of black (haze in the lens)."""
    vignette: float = 0.2


@dataclass(frozen=True)
class View:
    """One picture to take."""

    world_from_cam: np.ndarray
    """float64 [4, 4], OpenCV axes."""
    intrinsics: np.ndarray
    """float64 [3, 3], pixels."""
    width: int
    height: int
    time: float = 0.0
    look: Look = Look()


@dataclass(frozen=True)
class Rendered:
    """What came out."""

    rgb: np.ndarray
    """uint8 [H, W, 3], sRGB."""
    depth: np.ndarray
    """float32 [H, W], z along the camera's axis in metres; 0 for the sky."""
    normals: np.ndarray
    """float32 [H, W, 3], unit, in the camera's axes, facing the camera; 0 for the sky."""
    instances: np.ndarray
    """uint16 [H, W]; 0 for the sky."""


def clip_from_cam(view: View) -> np.ndarray:
    """float64 [4, 4]: OpenGL projection whose framebuffer rows run from the picture's top to its bottom."""
    k, w, h = view.intrinsics, view.width, view.height
    return np.array(
        [
            [2 * k[0, 0] / w, 2 * k[0, 1] / w, 2 * k[0, 2] / w - 1, 0],
            [0, 2 * k[1, 1] / h, 2 * k[1, 2] / h - 1, 0],
            [0, 0, (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)],
            [0, 0, 1, 0],
        ]
    )


def _bytes(matrix: np.ndarray) -> bytes:
    return np.ascontiguousarray(matrix.T, np.float32).tobytes()


class Renderer:
    """Holds the GL context, its programs and cached textures; draws one scene at a time."""

    def __init__(self) -> None:
        """Open a headless context.

        Raises:
            InputError: when moderngl is not installed or EGL gives no context.
        """
        try:
            import moderngl
        except ImportError as error:
            raise InputError("rendering needs moderngl: pip install 'cosmorama[world]'") from error
        self.gl = moderngl
        try:
            self.ctx = moderngl.create_standalone_context(backend="egl")  # pyright: ignore[reportArgumentType]
        except Exception as error:
            raise InputError(
                f"no OpenGL through EGL: {error}; on Debian install libegl1 and libgl1-mesa-dri"
            ) from error
        self._programs()
        corners = self.ctx.buffer(np.array([-1, -1, 3, -1, -1, 3], np.float32).tobytes())
        self._screen = {
            name: self.ctx.vertex_array(self.programs[name], [(corners, "2f", "in_corner")])
            for name in ("occlusion", "blur", "sky", "edges")
        }
        self._textures: OrderedDict[str, object] = OrderedDict()
        self._white = self._upload(np.full((1, 1, 4), 255, np.uint8))
        self._targets: dict[tuple[int, int], dict] = {}
        self._scene: dict | None = None

    def _programs(self) -> None:
        program, cut = self.ctx.program, shaders.CUTOUT_TEST
        make = {
            "geometry": (shaders.GEOMETRY_VERTEX, shaders.GEOMETRY_FRAGMENT),
            "shadow": (shaders.SHADOW_VERTEX, shaders.SHADOW_FRAGMENT),
            "color": (shaders.COLOR_VERTEX, shaders.COLOR_FRAGMENT),
        }
        self.programs = {}
        for name, (vertex, fragment) in make.items():
            self.programs[name] = program(vertex, fragment.replace("CUTOUT", ""))
            self.programs[name + "_cutout"] = program(vertex, fragment.replace("CUTOUT", cut))
        occlusion = shaders.OCCLUSION_FRAGMENT.replace("SAMPLES", "8")
        self.programs["occlusion"] = program(shaders.SCREEN_VERTEX, occlusion)
        self.programs["blur"] = program(shaders.SCREEN_VERTEX, shaders.BLUR_FRAGMENT)
        self.programs["edges"] = program(shaders.SCREEN_VERTEX, shaders.EDGES_FRAGMENT)
        self.programs["sky"] = program(shaders.SCREEN_VERTEX, shaders.SKY_FRAGMENT)

    def _set(self, program: str, **values) -> None:
        members = self.programs[program]
        for name, value in values.items():
            if name in members:
                if isinstance(value, bytes):
                    members[name].write(value)
                else:
                    members[name].value = value

    def _upload(self, image: np.ndarray):
        texture = self.ctx.texture((image.shape[1], image.shape[0]), 4, image.tobytes())
        texture.build_mipmaps()
        texture.filter = (self.gl.LINEAR_MIPMAP_LINEAR, self.gl.LINEAR)
        return texture

    def _texture(self, key: str | None):
        if key is None:
            return self._white
        if key not in self._textures:
            if len(self._textures) > 256:
                self._textures.popitem(last=False)[1].release()  # pyright: ignore[reportAttributeAccessIssue]
            self._textures[key] = self._upload(load_texture(key))
        self._textures.move_to_end(key)
        return self._textures[key]

    # --- one scene -------------------------------------------------------------------------------

    def load_scene(self, scene: Scene, buffers: SceneBuffers, field: LightField) -> None:
        """Upload a scene and draw its shadow maps; replaces the one before."""
        self._release_scene()
        keys = {r.texture for b in buffers.batches for r in b.ranges} | {scene.sky.cloud_texture}
        for key in sorted(k for k in keys if k):
            self._texture(key)
        vbo, ibo = self.ctx.buffer(buffers.vertices.tobytes()), self.ctx.buffer(buffers.indices.tobytes())
        arrays = {name: self._array(name, vbo, ibo) for name in self.programs if name not in self._screen}
        self._scene = {"scene": scene, "buffers": buffers, "vbo": vbo, "ibo": ibo, "arrays": arrays}
        self._scene["environment"] = self._environment(scene, field)
        static = [b for b in buffers.batches if scene.placements[b.placement].motion is None]
        near = [b for b in static if not scene.placements[b.placement].background]
        sun_size = 1024 if scene.indoor else 2048
        self._scene["sun_clip"] = sun_clip = _sun_clip(scene)
        on = max(scene.sky.sun) > 0
        self._scene["sun_map"] = self._shadow_map(sun_clip, near if on else [], sun_size if on else 16)
        self._scene["lamp_clip"] = lamp_clip = _lamp_clip(scene)
        on = scene.indoor and bool(scene.lamps) and max(scene.lamps[0].color) > 0.01
        self._scene["lamp_map"] = self._shadow_map(lamp_clip, near if on else [], 1024 if on else 16)

    def _array(self, name: str, vbo, ibo):
        fields = [
            ("3f4", "in_position"), ("4f1", "in_normal"), ("2f4", "in_uv"), ("4f1", "in_albedo"),
            ("4f1", "in_light"), ("1i4", "in_id"),
        ]  # fmt: skip
        program = self.programs[name]
        widths = [12, 4, 8, 4, 4, 4]
        used = [(f, a) if a in program else (f"{w // 4}x4", None) for (f, a), w in zip(fields, widths)]
        layout = " ".join(f for f, _ in used)
        names = [a for _, a in used if a]
        return self.ctx.vertex_array(program, [(vbo, layout, *names)], ibo)

    def _release_scene(self) -> None:
        if self._scene is None:
            return
        for array in self._scene["arrays"].values():
            array.release()
        for name in ("vbo", "ibo", "sun_map", "lamp_map", "environment"):
            self._scene[name].release()
        self._scene = None

    def _environment(self, scene: Scene, field: LightField):
        """A small panorama of what the middle of the scene reflects, with mip levels for roughness."""
        height, width = 32, 64
        theta = (np.arange(height) + 0.5) / height * np.pi
        phi = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
        directions = np.stack(
            np.broadcast_arrays(
                np.sin(theta)[:, None] * np.cos(phi),
                np.sin(theta)[:, None] * np.sin(phi),
                np.cos(theta)[:, None],
            ),
            axis=-1,
        ).reshape(-1, 3)
        middle = (np.array(scene.low) + np.array(scene.high)) / 2
        middle[2] = 1.3
        _, seen = field.look(np.repeat(middle[None], len(directions), 0), directions)
        pixels = np.minimum(seen, 40.0).reshape(height, width, 3)
        texture = self.ctx.texture((width, height), 3, pixels.astype(np.float16).tobytes(), dtype="f2")
        texture.build_mipmaps()
        texture.filter = (self.gl.LINEAR_MIPMAP_LINEAR, self.gl.LINEAR)
        texture.repeat_y = False
        return texture

    def _shadow_map(self, clip: np.ndarray, batches: Sequence[Batch], size: int):
        depth = self.ctx.depth_texture((size, size))
        depth.compare_func = "<="
        depth.repeat_x = depth.repeat_y = False
        depth.filter = (self.gl.LINEAR, self.gl.LINEAR)
        target = self.ctx.framebuffer(depth_attachment=depth)
        target.use()
        target.clear(depth=1.0)
        self.ctx.enable_only(self.gl.DEPTH_TEST)
        for name in ("shadow", "shadow_cutout"):
            self._set(name, u_clip_from_world=_bytes(clip))
        self._draw(batches, "shadow", textured=False)
        target.release()
        return depth

    # --- one frame -------------------------------------------------------------------------------

    def render(self, view: View) -> Rendered:
        """Draw the loaded scene."""
        if self._scene is None:
            raise RuntimeError("load_scene must come before render")
        targets = self._target(view.width, view.height)
        batches = self._visible(view)
        self._frame_uniforms(view)
        geometry = self._draw_geometry(targets, batches)
        self._draw_occlusion(targets, view)
        rgb = self._draw_color(targets, batches)
        depth = geometry[..., 0].copy()
        instances = geometry[..., 3].astype(np.uint16)
        normals = unpack_octahedral(geometry[..., 1:3])
        normals[depth <= 0] = 0
        return Rendered(rgb, depth, normals, instances)

    def _target(self, width: int, height: int) -> dict:
        size = (width, height)
        if size not in self._targets:
            ctx = self.ctx
            geometry = ctx.texture(size, 4, dtype="f4")
            geometry.filter = (self.gl.NEAREST, self.gl.NEAREST)
            geometry.repeat_x = geometry.repeat_y = False
            half = (max(1, width // 2), max(1, height // 2))
            occlusion, blurred = ctx.texture(half, 1), ctx.texture(half, 1)
            depth, color = ctx.depth_renderbuffer(size), ctx.texture(size, 4)
            color.repeat_x = color.repeat_y = False
            self._targets[size] = {
                "geometry": geometry,
                "geometry_fbo": ctx.framebuffer([geometry], depth),
                "occlusion": occlusion,
                "occlusion_fbo": ctx.framebuffer([occlusion]),
                "blurred": blurred,
                "blurred_fbo": ctx.framebuffer([blurred]),
                "color": color,
                "color_fbo": ctx.framebuffer([color], depth),
                "smooth_fbo": ctx.framebuffer([ctx.renderbuffer(size, 4)]),
                "half": half,
            }
        return self._targets[size]

    def _visible(self, view: View) -> list[Batch]:
        """Batches whose bounds touch the view's frustum, near ones first."""
        assert self._scene is not None
        cam_from_world = np.linalg.inv(view.world_from_cam)
        scene: Scene = self._scene["scene"]
        batches = self._scene["buffers"].batches
        low = np.array([b.low for b in batches])
        high = np.array([b.high for b in batches])
        corners = np.stack([np.where([i & 1, i >> 1 & 1, i >> 2 & 1], high, low) for i in range(8)], axis=1)
        cam = corners @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
        clip = np.concatenate([cam, np.ones((*cam.shape[:2], 1))], axis=-1) @ clip_from_cam(view).T
        w = clip[..., 3]
        out = (w < NEAR).all(axis=1)
        for axis in (0, 1):
            out |= (clip[..., axis] > w).all(axis=1) | (clip[..., axis] < -w).all(axis=1)
        nearest = np.where(w > 0, w, 0).min(axis=1)
        moving = np.array([scene.placements[b.placement].motion is not None for b in batches])
        order = np.argsort(nearest + 1e-4 * np.ptp(low, axis=1), kind="stable")
        return [batches[i] for i in order if not out[i] or moving[i]]  # pyright: ignore[reportIndexIssue]

    def _frame_uniforms(self, view: View) -> None:
        assert self._scene is not None
        scene: Scene = self._scene["scene"]
        sky, look, k = scene.sky, view.look, view.intrinsics
        w, h = view.width, view.height
        lens = (k[0, 2] / w, k[1, 2] / h, w / k[0, 0], h / k[1, 1])
        lamp = scene.lamps[0] if scene.indoor and scene.lamps else None
        haze = np.array(sky.horizon) * 0.9
        bias = np.diag([0.5, 0.5, 0.5, 1.0])
        bias[:3, 3] = 0.5
        values = {
            "u_clip_from_cam": _bytes(clip_from_cam(view)),
            "u_cam_from_world": _bytes(np.linalg.inv(view.world_from_cam)),
            "u_world_from_cam": _bytes(view.world_from_cam),
            "u_model": _bytes(np.eye(4)),
            "u_lens": lens,
            "u_size": (float(w), float(h)),
            "u_eye": tuple(view.world_from_cam[:3, 3]),
            "u_exposure": look.exposure,
            "u_tone": (look.contrast, look.saturation, look.black),
            "u_vignette": look.vignette,
            "u_zenith": sky.zenith, "u_horizon": sky.horizon, "u_cloud": sky.cloud, "u_cover": sky.cover,
            "u_to_sun": sky.to_sun, "u_sun": sky.sun, "u_sun_on": float(max(sky.sun) > 0),
            "u_sun_soft": 0.002 if scene.indoor else 0.0008,
            "u_sun_clip": _bytes(bias @ self._scene["sun_clip"]),
            "u_lamp_clip": _bytes(bias @ self._scene["lamp_clip"]),
            "u_lamp_position": lamp.position if lamp else (0, 0, 0),
            "u_lamp_color": lamp.color if lamp else (0, 0, 0),
            "u_lamp_soft": 0.006,
            "u_fog": tuple(haze), "u_fog_density": sky.fog,
            "u_light_scale": self._scene["buffers"].light_scale,
            "u_radius": 0.35 if scene.indoor else 0.7,
            "u_texture": 0, "u_open": 1, "u_environment": 2, "u_sun_shadow": 3, "u_lamp_shadow": 4, "u_clouds": 5,
            "u_geometry": 0, "u_occlusion": 1,
        }  # fmt: skip
        self._view_time = view.time
        for name in self.programs:
            self._set(name, **values)

    def _draw(self, batches: Sequence[Batch], program: str, *, textured: bool) -> None:
        """Draw batches; runs of indices are joined where nothing changes between them."""
        assert self._scene is not None
        scene: Scene = self._scene["scene"]
        arrays = self._scene["arrays"]
        plain, cutout = arrays[program], arrays[program + "_cutout"]
        pending: tuple[int, int] | None = None
        for batch in batches:
            moving = scene.placements[batch.placement].motion is not None
            if moving:
                matrix = _bytes(scene.placements[batch.placement].matrix_at(self._view_time))
                self._set(program, u_model=matrix)
                self._set(program + "_cutout", u_model=matrix)
            for part in batch.ranges:
                if part.cutout or textured or moving:
                    if part.cutout or textured:
                        self._texture(part.texture).use(0)  # pyright: ignore[reportAttributeAccessIssue]
                    (cutout if part.cutout else plain).render(vertices=part.count, first=part.first)
                elif pending and pending[0] + pending[1] == part.first:
                    pending = (pending[0], pending[1] + part.count)
                else:
                    if pending:
                        plain.render(vertices=pending[1], first=pending[0])
                    pending = (part.first, part.count)
            if moving:
                self._set(program, u_model=_bytes(np.eye(4)))
                self._set(program + "_cutout", u_model=_bytes(np.eye(4)))
        if pending:
            plain.render(vertices=pending[1], first=pending[0])

    def _draw_geometry(self, targets: dict, batches: Sequence[Batch]) -> np.ndarray:
        target = targets["geometry_fbo"]
        target.use()
        target.clear(0, 0, 0, 0, depth=1.0)
        self.ctx.enable_only(self.gl.DEPTH_TEST)
        self._draw(batches, "geometry", textured=False)
        data = np.frombuffer(target.read(components=4, dtype="f4"), np.float32)
        return data.reshape(target.height, target.width, 4)

    def _draw_occlusion(self, targets: dict, view: View) -> None:
        self.ctx.enable_only(self.gl.NOTHING)
        targets["occlusion_fbo"].use()
        targets["geometry"].use(0)
        self._screen["occlusion"].render(vertices=3)
        targets["blurred_fbo"].use()
        targets["occlusion"].use(1)
        width, height = targets["half"]
        self._set("blur", u_texel=(1 / width, 1 / height))
        self._screen["blur"].render(vertices=3)

    def _draw_color(self, targets: dict, batches: Sequence[Batch]) -> np.ndarray:
        assert self._scene is not None
        scene: Scene = self._scene["scene"]
        target = targets["color_fbo"]  # shares the geometry pass's depth, so that every pixel is shaded once
        target.use()
        self.ctx.enable_only(self.gl.DEPTH_TEST)
        self.ctx.depth_func = "<="
        targets["blurred"].use(1)
        self._scene["environment"].use(2)
        self._scene["sun_map"].use(3)
        self._scene["lamp_map"].use(4)
        self._texture(scene.sky.cloud_texture).use(5)  # pyright: ignore[reportAttributeAccessIssue]
        self._draw(batches, "color", textured=True)
        self._screen["sky"].render(vertices=3)
        self.ctx.enable_only(self.gl.NOTHING)
        smooth = targets["smooth_fbo"]
        smooth.use()
        targets["color"].use(0)
        self._set("edges", u_image=0, u_texel=(1 / smooth.width, 1 / smooth.height))
        self._screen["edges"].render(vertices=3)
        data = np.frombuffer(smooth.read(components=3, alignment=1), np.uint8)
        return data.reshape(smooth.height, smooth.width, 3)


def unpack_octahedral(packed: np.ndarray) -> np.ndarray:
    """Unit vectors [..., 3] of octahedral coordinates [..., 2] (Meyer et al. 2010)."""
    x, y = packed[..., 0], packed[..., 1]
    z = 1 - np.abs(x) - np.abs(y)
    fold = np.maximum(-z, 0)
    vectors = np.stack([x - np.copysign(fold, x), y - np.copysign(fold, y), z], axis=-1)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _sun_clip(scene: Scene) -> np.ndarray:
    """Orthographic projection along the sun's rays around the scene."""
    forward = -np.array(scene.sky.to_sun)
    up = np.array([0.0, 1.0, 0.0]) if abs(forward[2]) > 0.9 else np.array([0.0, 0.0, 1.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    low, high = np.array(scene.low), np.array(scene.high)
    corners = np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    local = corners @ rotation.T
    small, large = local.min(axis=0) - 0.1, local.max(axis=0) + 0.1
    clip = np.eye(4)
    for axis in range(3):
        scale = 2 / (large[axis] - small[axis])
        clip[axis, :3] = rotation[axis] * scale
        clip[axis, 3] = -(large[axis] + small[axis]) / 2 * scale
    return clip


def _lamp_clip(scene: Scene, fov_deg: float = 155.0) -> np.ndarray:
    """Wide perspective projection straight down from the main lamp."""
    if not scene.lamps:
        return np.eye(4)
    f = 1 / np.tan(np.radians(fov_deg) / 2)
    near, far = 0.08, 12.0
    x, y, z = scene.lamps[0].position
    view = np.array([[1, 0, 0, -x], [0, -1, 0, y], [0, 0, -1, z], [0, 0, 0, 1.0]])
    projection = np.array(
        [
            [f, 0, 0, 0],
            [0, f, 0, 0],
            [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, 1, 0],
        ]
    )
    return projection @ view


assert VERTEX.itemsize == 36
