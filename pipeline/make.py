"""The main job: photos in, a scene folder out.

photos -> depth -> splats -> views of what was hidden, folded in -> refined on all views -> written
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..reconstruct.cameras import Cameras
from ..reconstruct.depth_edges import widen_foreground
from ..reconstruct.errors import InputError
from ..reconstruct.files.atomic import atomic_folder
from ..reconstruct.gaussians import Gaussians
from ..reconstruct.lift import lift
from ..reconstruct.mesh.grid import DepthPicture
from ..reconstruct.scene import PHOTO_UP, Scene, load_scene
from ..reconstruct.transforms_json import images_from_cameras
from .depth import SKY_DEPTH_M, DepthEstimator, load_depth_estimator
from .generators import ViewGenerator
from .generators.choose import load_generator
from .growth.grow import grow
from .growth.layers import grow_layers
from .growth.outskirts import grow_outskirts
from .growth.photos import fold_photos
from .growth.surround import surround
from .imagine import Imagined, imagine_photo, imagine_place
from .make_options import (
    DEFAULT_GENERATOR,
    PERCEPTUAL,
    TEXT_GENERATOR,
    MakeOptions,
    check_request,
)
from .photo import Photo, load_photo
from .photo_files import is_several
from .presets import Preset, named_preset
from .progress import Advance, Reporter, peak_memory_mb
from .refine import input_view_psnr, refine
from .several import pose_photos
from .trajectories import Reach, plan_trajectory, reach_of
from .watch import Nobody, Watcher
from .writer import ViewWriter, write_scene_folder


@dataclass(frozen=True)
class MakeReport:
    """What was made and what it took; printed by ``make --json``."""

    scene: str
    seconds: float
    stages: dict[str, float]
    peak_memory_mb: float
    splats: int
    psnr_input_view: float
    generator: str
    depth_model: str
    device: str
    seed: int


def make_scene(
    inputs: Sequence[Path],
    out: Path,
    options: MakeOptions | None = None,
    *,
    reporter: Reporter | None = None,
    watcher: Watcher | None = None,
    depth_estimator: DepthEstimator | None = None,
    generator: ViewGenerator | None = None,
    overwrite: bool = False,
) -> MakeReport:
    """Make a scene folder from photos, or from ``options.text`` alone.

    Args:
        inputs: one photo, or several of one place, a folder of them or a clip; none if a text is to start from.
        out: the scene folder; it appears whole or not at all.
        options: see ``MakeOptions``.
        reporter: told of every stage; default a silent one.
        watcher: shown the scene while it grows; may stop it early, which keeps what is there.
        depth_estimator: default ``options.depth_model``.
        generator: makes the views; default ``options.generator``.
        overwrite: replace an existing scene folder.

    Raises:
        InputError: the photos, the options or the output folder cannot be used.
    """
    options, watcher = options or MakeOptions(), watcher or Nobody()
    check_request(inputs, out, options, overwrite=overwrite)
    reporter = reporter or Reporter(quiet=True)
    preset = named_preset(options.preset)
    with atomic_folder(out, overwrite=overwrite) as folder:
        several = None
        with reporter.stage("cameras" if is_several(inputs) else "photo") as advance:
            if is_several(inputs):
                several = pose_photos(
                    inputs, long_side=preset.long_side, focal_px=options.focal_px, seed=options.seed,
                    advance=advance,
                )  # fmt: skip
                reporter.note(several.remark)
                start = Imagined(several.photos[0].photo, generator or _generator(options, DEFAULT_GENERATOR))
            elif inputs:
                photo = load_photo(inputs[0], long_side=preset.long_side, focal_px=options.focal_px)
                start = Imagined(photo, generator or _generator(options, DEFAULT_GENERATOR))
            else:
                start = _imagined(options, preset, generator, reporter)
            photo, generator, place = start.photo, start.generator, start.place
            source = inputs[0] if inputs and not several else None
            watcher.photo(photo.image, images_from_cameras(photo.camera, image=source)[0])
        with reporter.stage("depth") as advance:
            estimator = start.depth_estimator or depth_estimator
            estimator = estimator or load_depth_estimator(options.depth_model, device=options.device)
            if several:
                shown, *others = (
                    replace(picture, depth=widen_foreground(picture.depth))
                    for picture in several.measured(estimator, advance=advance)
                )
                far = shown.depth > SKY_DEPTH_M
            else:
                estimate, others = estimator(photo.image, photo.focal_px), []
                depth, far = estimate.depth_m, estimate.far
                depth = depth if place else widen_foreground(depth)
                shown = DepthPicture(photo.image, depth, photo.camera, torch.ones_like(far))
            watcher.depth(shown.depth)
        with reporter.stage("splats"):
            surface = lift(photo.image, shown.depth, photo.camera)
            watcher.update(surface)
        reach = reach_of(shown.depth, far=far)
        clip_cameras, cameras = plan_cameras(
            photo, reach, options.trajectory, preset, place.is_free if place else None
        )
        layers = None
        if (generator.soft or others) and not place:
            with reporter.stage("layers"):
                layers = grow_layers(surface, shown, reach, estimator, only_sky=generator.group_size > 1)
                watcher.update(layers.growth.gaussians)
        further = None
        if layers and others:
            with reporter.stage("photos"):
                folded, further = fold_photos(layers.growth, shown, others)
                layers = replace(layers, growth=folded)
                watcher.update(layers.growth.gaussians)
        with reporter.stage("views") as advance:
            writer = ViewWriter(folder, photo, watcher, advance, total=len(cameras))
            for other in others:
                writer.add_photo(other)
            growth = grow(
                layers.growth.gaussians if layers else surface, shown, cameras, generator, seed=options.seed,
                text=options.text, depth_of=place.depth_of if place else None,
                around=layers.around if layers and not others else None, others=others, textured=generator.soft,
                on_view=writer.add,
            )  # fmt: skip
            growth = layers.growth.before(growth) if layers else growth
        if place:
            with reporter.stage("around") as advance:
                gaussians, faces = surround(
                    growth.gaussians, place, shown, size=preset.face, on_view=_shown(watcher, advance)
                )
                growth = replace(growth, gaussians=gaussians, pieces=[*growth.pieces, *faces])
        with reporter.stage("refine") as advance:
            gaussians = refine(
                growth, photo, preset.iterations, options.seed, watcher, advance,
                weights=options.generated_weights, perceptual=_perceptual(options, generator, place),
                others=further,
            )  # fmt: skip
        if not place and not watcher.cancelled:
            with reporter.stage("outskirts") as advance:
                growth = replace(growth, gaussians=gaussians)
                growth = grow_outskirts(
                    growth,
                    shown,
                    reach,
                    around=layers.around if layers else None,
                    others=others,
                    on_view=_shown(watcher, advance),
                )
                gaussians = growth.gaussians
        with reporter.stage("write") as advance:
            info = {
                "source": _described(inputs, options, photo, several=several is not None),
                "models": {"depth": _credit(estimator), "generator": _credit(generator)},
                "seed": options.seed,
                "cancelled": watcher.cancelled,
                "stages": {name: round(seconds, 3) for name, seconds in reporter.seconds.items()},
            }
            up = place.up if place else torch.tensor(PHOTO_UP)
            scene = Scene(gaussians, up=up, metres_per_unit=1.0, views=writer.views, info=info)
            write_scene_folder(folder, scene, [shown, *growth.pieces], clip_cameras, advance)
    watcher.finish(load_scene(out))
    return MakeReport(
        str(out), sum(reporter.seconds.values()), dict(reporter.seconds), peak_memory_mb(), len(gaussians),
        input_view_psnr(gaussians, photo), generator.name, estimator.name, options.device, options.seed,
    )  # fmt: skip


def _generator(options: MakeOptions, default: str) -> ViewGenerator:
    return load_generator(options.generator or default, device=options.device)


def _perceptual(options: MakeOptions, generator: ViewGenerator, place: object) -> float:
    """The weight to fit with: exact pictures of a place and those of generators without weights gain nothing."""
    if options.perceptual is not None:
        return options.perceptual
    return PERCEPTUAL if generator.licences and not place else 0.0


def _imagined(
    options: MakeOptions, preset: Preset, generator: ViewGenerator | None, reporter: Reporter
) -> Imagined:
    """What a scene from a sentence starts from."""
    if not options.text:
        raise InputError("no photo was given, and no text")
    size = {"long_side": preset.long_side, "focal_px": options.focal_px, "seed": options.seed}
    if generator is None and options.generator in (None, "world"):
        try:
            place = imagine_place(options.text, **size)
        except InputError as error:
            if options.generator == "world":
                raise
            reporter.note(
                f"no place can be built here ({error}); the small diffusion model draws a blur instead"
            )
        else:
            reporter.note(place.remark)
            return place
    return imagine_photo(options.text, generator or _generator(options, TEXT_GENERATOR), **size)


def _shown(watcher: Watcher, advance: Advance) -> Callable[[int, int, Gaussians], bool]:
    """Shows a watcher a scene that grows; the answer is whether to stop."""

    def on_view(done: int, total: int, gaussians: Gaussians) -> bool:
        advance(done, total)
        watcher.update(gaussians)
        return watcher.cancelled

    return on_view


def _described(
    inputs: Sequence[Path], options: MakeOptions, photo: Photo, *, several: bool
) -> dict[str, object]:
    """Where a scene comes from, as recorded in scene.json."""
    if not inputs:
        return {"kind": "text", "text": options.text, "focal": photo.focal_source}
    if several:
        return {"kind": "photos", "files": [path.name for path in inputs], "focal": photo.focal_source}
    return {"kind": "photo", "file": inputs[0].name, "focal": photo.focal_source}


KNOWN_EXTENTS = (2.0, 1.6, 1.3, 1.0, 0.7, 0.4)
"""Of paths through a place that is known; the first whose cameras are all free."""


def plan_cameras(
    photo: Photo,
    reach: Reach,
    trajectory: str,
    preset: Preset,
    is_free: Callable[[Cameras], bool] | None = None,
) -> tuple[Cameras, Cameras]:
    """The clip's cameras along the trajectory, and those to generate for: the furthest from the photo first.

    What the furthest cameras reveal contains most of what those between reveal, so a hole is filled once. Paths are
    wider where somebody knows where cameras can be (``is_free``).
    """
    views = preset.views
    clip = picked = photo.camera
    for extent in KNOWN_EXTENTS if is_free else (1.0,):
        clip = plan_trajectory(
            trajectory, photo.camera.zoomed(CLIP_ZOOM), reach, preset.clip_frames, extent=extent
        )
        picked = plan_trajectory(trajectory, photo.camera, reach, views + 1, extent=extent, once=True)
        if is_free is None or is_free(clip):
            break
    if len(picked) > views + 1:
        picked = picked[torch.linspace(0, len(picked) - 1, views + 1).round().long()]
    picked = picked.resized(photo.camera.width, photo.camera.height)
    distance = (picked.positions - photo.camera.positions).norm(dim=-1) / reach.step
    turn = torch.arccos((picked.forward * photo.camera.forward).sum(-1).clamp(-1, 1))
    order = torch.argsort(distance + turn, descending=True, stable=True)
    return clip, picked[order[: min(views, len(picked))]]


CLIP_ZOOM = 1.06
"""The clip's lens is a little longer than the photo's: its frame stays inside what the views around it cover."""


def _credit(model: DepthEstimator | ViewGenerator) -> dict[str, object]:
    """How a model is recorded in scene.json."""
    return {"name": model.name, "licences": list(model.licences)}
