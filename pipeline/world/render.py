"""Renders synthetic scenes with OpenGL (moderngl on EGL: Mesa's software rasteriser or a GPU, no display).

Deferred shading: one pass over the triangles, without multisampling, writes exact depth, normal and instance id as
floats, and what light needs to know of the surface; ambient occlusion and shading then look at pixels only, and
stair-steps are smoothed in the colour picture alone. Shadow maps are drawn once per scene.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import numba
import numpy as np

from ...reconstruct.errors import InputError
from . import shaders
from .batch import VERTEX, SceneBuffers
from .draws import DrawList
from .light import LightField
from .projections import clip_from_cam, lamp_clip_of, sun_clip_of
from .scene import Scene
from .textures import load_texture

MOST_TEXTURES = 512
"""Kept on the renderer's side; about 0.35 MB each."""
SHADES = {
    (False, False): "shade",
    (True, False): "shade_sun",
    (False, True): "shade_lamp",
    (True, True): "shade_both",
}
"""Shading programs by whether the sun shines and a lamp is on: software rasterisers run what a branch leaves out."""


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


P = ParamSpec("P")
T = TypeVar("T")


def _bytes(matrix: np.ndarray) -> bytes:
    return np.ascontiguousarray(matrix.T, np.float32).tobytes()


def _in_own_context(method: Callable[Concatenate[Renderer, P], T]) -> Callable[Concatenate[Renderer, P], T]:
    """GL draws into the context that is current, which is the one opened last; each renderer makes its own current."""

    @wraps(method)
    def within(self: Renderer, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.ctx:
            return method(self, *args, **kwargs)

    return within


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
            for name in ("occlusion", "blur", *SHADES.values(), "sky", "edges")
        }
        self._textures: OrderedDict[tuple[str, bool], object] = OrderedDict()
        self._half_size = False
        self._white = self._upload(np.full((1, 1, 4), 255, np.uint8))
        self._targets: dict[tuple[int, int], dict] = {}
        self._scene: dict | None = None

    def _programs(self) -> None:
        program, cut = self.ctx.program, shaders.CUTOUT_TEST
        make = {
            "geometry": (shaders.GEOMETRY_VERTEX, shaders.GEOMETRY_FRAGMENT),
            "shadow": (shaders.SHADOW_VERTEX, shaders.SHADOW_FRAGMENT),
        }
        self.programs = {}
        for name, (vertex, fragment) in make.items():
            self.programs[name] = program(vertex, fragment.replace("CUTOUT", ""))
            self.programs[name + "_cutout"] = program(vertex, fragment.replace("CUTOUT", cut))
        occlusion = shaders.OCCLUSION_FRAGMENT.replace("SAMPLES", "8")
        self.programs["occlusion"] = program(shaders.SCREEN_VERTEX, occlusion)
        self.programs["blur"] = program(shaders.SCREEN_VERTEX, shaders.BLUR_FRAGMENT)
        self.programs["edges"] = program(shaders.SCREEN_VERTEX, shaders.EDGES_FRAGMENT)
        for (sun, lamp), name in SHADES.items():
            lights = "#define SUN\n" * sun + "#define LAMP\n" * lamp
            fragment = shaders.SHADE_FRAGMENT.replace("LIGHTS", lights)
            self.programs[name] = program(shaders.SCREEN_VERTEX, fragment)
        self.programs["sky"] = program(shaders.SCREEN_VERTEX, shaders.SKY_FRAGMENT)
        self._members = {name: {key: made[key] for key in made} for name, made in self.programs.items()}

    def _set(self, values: dict[str, object], programs: Sequence[str] | None = None) -> None:
        """Set uniforms in the programs that have them."""
        for name in programs or self.programs:
            members = self._members[name]
            for key in members.keys() & values.keys():
                value = values[key]
                if isinstance(value, bytes):
                    members[key].write(value)
                else:
                    members[key].value = value

    def _upload(self, image: np.ndarray):
        texture = self.ctx.texture((image.shape[1], image.shape[0]), 4, image.tobytes())
        texture.build_mipmaps()
        texture.filter = (self.gl.LINEAR_MIPMAP_NEAREST, self.gl.LINEAR)
        return texture

    def _texture(self, key: str | None):
        if key is None:
            return self._white
        kept = (key, self._half_size)
        if kept not in self._textures:
            if len(self._textures) > MOST_TEXTURES:
                self._textures.popitem(last=False)[1].release()  # pyright: ignore[reportAttributeAccessIssue]
            image = load_texture(key)
            self._textures[kept] = self._upload(_halved(image) if self._half_size else image)
        self._textures.move_to_end(kept)
        return self._textures[kept]

    # --- one scene -------------------------------------------------------------------------------

    @_in_own_context
    def load_scene(
        self, scene: Scene, buffers: SceneBuffers, field: LightField, *, detail: float = 1.0
    ) -> None:
        """Upload a scene and draw its shadow maps; replaces the one before.

        Args:
            scene: what to draw.
            buffers: its triangles.
            field: its indirect light.
            detail: below 0.5, as for small pictures, textures and shadow maps of half the size.
        """
        self._release_scene()
        self._half_size = half_size = detail < 0.5
        keys = {r.texture for b in buffers.batches for r in b.ranges} | {scene.sky.cloud_texture}
        for key in sorted(k for k in keys if k):
            self._texture(key)
        vbo, ibo = self.ctx.buffer(buffers.vertices.tobytes()), self.ctx.buffer(buffers.indices.tobytes())
        arrays = {name: self._array(name, vbo, ibo) for name in self.programs if name not in self._screen}
        self._draws = draws = DrawList.of(scene, buffers)
        self._scene = {"scene": scene, "vbo": vbo, "ibo": ibo, "arrays": arrays}
        self._scene["environment"] = self._environment(scene, field)
        near = draws.casting
        sun_size, lamp_size = (1024 if scene.indoor else 2048) >> half_size, 1024 >> half_size
        sun_clip, lamp_clip = sun_clip_of(scene), lamp_clip_of(scene)
        sun, lamp = (
            max(scene.sky.sun) > 0,
            scene.indoor and bool(scene.lamps) and max(scene.lamps[0].color) > 0.01,
        )
        self._scene["shade"] = SHADES[sun, lamp]
        self._scene["sun_map"] = self._shadow_map(
            sun_clip, near if sun else near[:0], sun_size if sun else 16
        )
        self._scene["lamp_map"] = self._shadow_map(
            lamp_clip, near if lamp else near[:0], lamp_size if lamp else 16
        )
        self._scene_uniforms(scene, buffers.light_scale, sun_clip, lamp_clip)

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

    def _shadow_map(self, clip: np.ndarray, batches: np.ndarray, size: int):
        depth = self.ctx.depth_texture((size, size))
        depth.compare_func = "<="
        depth.repeat_x = depth.repeat_y = False
        depth.filter = (self.gl.LINEAR, self.gl.LINEAR)
        target = self.ctx.framebuffer(depth_attachment=depth)
        target.use()
        target.clear(depth=1.0)
        self.ctx.enable_only(self.gl.DEPTH_TEST)
        self._set({"u_clip_from_world": _bytes(clip)}, ("shadow", "shadow_cutout"))
        self._draw(batches, "shadow", textured=False)
        target.release()
        return depth

    def _scene_uniforms(self, scene: Scene, light_scale: float, sun: np.ndarray, lamp: np.ndarray) -> None:
        sky = scene.sky
        main = scene.lamps[0] if scene.indoor and scene.lamps else None
        bias = np.diag([0.5, 0.5, 0.5, 1.0])
        bias[:3, 3] = 0.5
        values = {
            "u_model": _bytes(np.eye(4)),
            "u_zenith": sky.zenith, "u_horizon": sky.horizon, "u_cloud": sky.cloud, "u_cover": sky.cover,
            "u_to_sun": sky.to_sun, "u_sun": sky.sun,
            "u_sun_soft": 0.002 if scene.indoor else 0.0008,
            "u_sun_clip": _bytes(bias @ sun), "u_lamp_clip": _bytes(bias @ lamp),
            "u_lamp_position": main.position if main else (0, 0, 0),
            "u_lamp_color": main.color if main else (0, 0, 0),
            "u_lamp_soft": 0.006,
            "u_fog": tuple(np.array(sky.horizon) * 0.9), "u_fog_density": sky.fog,
            "u_light_scale": light_scale, "u_radius": 0.35 if scene.indoor else 0.7,
            "u_texture": 0, "u_image": 0, "u_geometry": 0, "u_open": 1, "u_occlusion": 1, "u_environment": 2,
            "u_sun_shadow": 3, "u_lamp_shadow": 4, "u_clouds": 5, "u_albedo": 6, "u_light": 7,
        }  # fmt: skip
        self._set(values)

    # --- one frame -------------------------------------------------------------------------------

    @_in_own_context
    def render(self, view: View) -> Rendered:
        """Draw the loaded scene."""
        if self._scene is None:
            raise RuntimeError("load_scene must come before render")
        targets = self._target(view.width, view.height)
        clip = clip_from_cam(view.intrinsics, view.width, view.height)
        self._frame_uniforms(view, clip)
        geometry = self._draw_geometry(targets, self._draws.visible(clip, view.world_from_cam), view.time)
        self._draw_occlusion(targets)
        rgb = self._shade(targets)
        return Rendered(rgb, *_unpacked(geometry))

    def _target(self, width: int, height: int) -> dict:
        size = (width, height)
        if size not in self._targets:
            ctx = self.ctx
            geometry = ctx.texture(size, 4, dtype="f4")
            geometry.filter = (self.gl.NEAREST, self.gl.NEAREST)
            geometry.repeat_x = geometry.repeat_y = False
            half = (max(1, width // 2), max(1, height // 2))
            occlusion, blurred = ctx.texture(half, 1), ctx.texture(half, 1)
            albedo, light = ctx.texture(size, 4), ctx.texture(size, 4, dtype="f2")
            for texture in (albedo, light):
                texture.filter = (self.gl.NEAREST, self.gl.NEAREST)
            depth, color = ctx.depth_renderbuffer(size), ctx.texture(size, 4)
            color.repeat_x = color.repeat_y = False
            self._targets[size] = {
                "geometry": geometry,
                "albedo": albedo,
                "light": light,
                "geometry_fbo": ctx.framebuffer([geometry, albedo, light], depth),
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

    def _frame_uniforms(self, view: View, clip: np.ndarray) -> None:
        look, k = view.look, view.intrinsics
        w, h = view.width, view.height
        half = (max(1, w // 2), max(1, h // 2))
        values = {
            "u_clip_from_cam": _bytes(clip),
            "u_cam_from_world": _bytes(np.linalg.inv(view.world_from_cam)),
            "u_world_from_cam": _bytes(view.world_from_cam),
            "u_lens": (k[0, 2] / w, k[1, 2] / h, w / k[0, 0], h / k[1, 1]),
            "u_size": (float(w), float(h)),
            "u_exposure": look.exposure,
            "u_tone": (look.contrast, look.saturation, look.black),
            "u_vignette": look.vignette,
        }
        self._set(values)
        self._set({"u_texel": (1 / half[0], 1 / half[1])}, ("blur",))
        self._set({"u_texel": (1 / w, 1 / h)}, ("edges",))

    def _draw(self, batches: np.ndarray, program: str, *, textured: bool, time: float = 0.0) -> None:
        """Draw batches, given by their numbers, in their order."""
        assert self._scene is not None
        draws, arrays = self._draws, self._scene["arrays"]
        both = (program, program + "_cutout")
        bound: str | None = ""
        for batch in batches:
            if draws.moving[batch]:
                self._set({"u_model": _bytes(draws.placements[batch].matrix_at(time))}, both)
            for part in draws.ranges[batch]:
                if (textured or part.cutout) and part.texture != bound:
                    self._texture(part.texture).use(0)  # pyright: ignore[reportAttributeAccessIssue]
                    bound = part.texture
                arrays[both[part.cutout]].render(vertices=part.count, first=part.first)
            if draws.moving[batch]:
                self._set({"u_model": _bytes(np.eye(4))}, both)

    def _draw_geometry(self, targets: dict, batches: np.ndarray, time: float) -> np.ndarray:
        target = targets["geometry_fbo"]
        target.use()
        target.clear(0, 0, 0, 0, depth=1.0)
        self.ctx.enable_only(self.gl.DEPTH_TEST)
        self._draw(batches, "geometry", textured=True, time=time)
        data = np.frombuffer(target.read(components=4, dtype="f4"), np.float32)
        return data.reshape(target.height, target.width, 4)

    def _draw_occlusion(self, targets: dict) -> None:
        self.ctx.enable_only(self.gl.NOTHING)
        targets["occlusion_fbo"].use()
        targets["geometry"].use(0)
        self._screen["occlusion"].render(vertices=3)
        targets["blurred_fbo"].use()
        targets["occlusion"].use(1)
        self._screen["blur"].render(vertices=3)

    def _shade(self, targets: dict) -> np.ndarray:
        """Colours of surfaces where there are any, sky elsewhere: the depth test of a screen at the far plane tells."""
        assert self._scene is not None
        scene: Scene = self._scene["scene"]
        target = targets["color_fbo"]
        target.depth_mask = False
        target.use()
        self.ctx.enable_only(self.gl.DEPTH_TEST)
        for unit, name in ((1, "blurred"), (6, "albedo"), (7, "light")):
            targets[name].use(unit)
        for unit, name in ((2, "environment"), (3, "sun_map"), (4, "lamp_map")):
            self._scene[name].use(unit)
        self._texture(scene.sky.cloud_texture).use(5)  # pyright: ignore[reportAttributeAccessIssue]
        for name, passes in ((self._scene["shade"], ">"), ("sky", "<=")):
            self.ctx.depth_func = passes
            self._screen[name].render(vertices=3)
        self.ctx.depth_func = "<"
        self.ctx.enable_only(self.gl.NOTHING)
        smooth = targets["smooth_fbo"]
        smooth.use()
        targets["color"].use(0)
        self._screen["edges"].render(vertices=3)
        data = np.frombuffer(smooth.read(components=3, alignment=1), np.uint8)
        return data.reshape(smooth.height, smooth.width, 3)


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of two by two pixels; sides are powers of two."""
    if min(image.shape[:2]) < 2:
        return image
    wide = image.astype(np.uint16)
    rows = wide[::2] + wide[1::2]
    return ((rows[:, ::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


@numba.njit(cache=True)
def _unpacked(geometry):
    """Depth, unit normals and instances of (depth, octahedral normal, instance) [H, W, 4] (Meyer et al. 2010)."""
    height, width = geometry.shape[:2]
    depth = np.empty((height, width), np.float32)
    normals = np.zeros((height, width, 3), np.float32)
    instances = np.empty((height, width), np.uint16)
    for row in range(height):
        for column in range(width):
            z, x, y, instance = geometry[row, column]
            depth[row, column], instances[row, column] = z, np.uint16(instance)
            if z > 0:
                up = np.float32(1) - abs(x) - abs(y)
                fold = max(-up, np.float32(0))
                x -= np.copysign(fold, x)
                y -= np.copysign(fold, y)
                scale = np.float32(1) / max(np.sqrt(x * x + y * y + up * up), np.float32(1e-9))
                normals[row, column, 0] = x * scale
                normals[row, column, 1] = y * scale
                normals[row, column, 2] = up * scale
    return depth, normals, instances


assert VERTEX.itemsize == 36
