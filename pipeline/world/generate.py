"""Makes a synthetic world: scene i depends on (seed, i) alone, so that work can stop, resume and be shared out."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import queue
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...reconstruct.errors import InputError
from .batch import gather_buffers
from .captions import caption
from .catalogue import attribution, furniture_available, load_catalogue
from .light import LightField, light_scene
from .models import load_model
from .outdoors import make_outdoors
from .paths import ShotKind, plan_shots
from .render import Renderer
from .rooms import make_room
from .scene import Scene
from .shards import ShardWriter, WorldDataset, frame_entry, frame_files
from .singles import plan_singles
from .textures import mean_color
from .voxels import voxelise

logger = logging.getLogger(__name__)

VERSION = 4


@dataclass(frozen=True)
class WorldSpec:
    """What a world is made of; the same spec gives the same frames."""

    seed: int = 0
    frames: int = 32
    """Frames per scene."""
    width: int = 256
    height: int = 256
    both_aspects: bool = False
    """Swap width and height in half of the scenes."""
    outdoor_share: float = 0.35
    photos: str | None = None
    """Folder of pictures to hang on walls."""
    scenes_per_shard: int = 8
    shots: ShotKind = "mixed"
    """``single``, ``close``: see ``plan_singles``; the others: see ``plan_shots``."""


def make_scene(spec: WorldSpec, number: int) -> tuple[Scene, np.random.Generator]:
    """Scene ``number`` of a world, and the generator that goes on to plan its shots."""
    rng = np.random.default_rng([spec.seed, number])
    if rng.random() < spec.outdoor_share:
        return make_outdoors(rng), rng
    return make_room(rng, photos=photo_list(spec.photos)), rng


def photo_list(folder: str | None) -> list[str]:
    """Pictures in a folder, sorted.

    Raises:
        InputError: when a folder is given that holds none.
    """
    if folder is None:
        return []
    kinds = {".jpg", ".jpeg", ".png", ".webp"}
    found = sorted(str(p) for p in Path(folder).glob("*") if p.suffix.lower() in kinds)
    if not found:
        raise InputError(f"no .jpg, .png or .webp pictures in {folder}")
    return found


def voxel_size(scene: Scene, detail: float = 1.0) -> float:
    """Metres: about 60,000 voxels fill a room, fewer where little detail is drawn; in the open 0.6 m or more.

    In steps of a sixth, so that the samples of a model's surface, whose density follows it, serve many scenes.
    """
    if not scene.indoor:
        return 0.6 * detail ** (-1 / 4)
    smallest = 0.1 * (7 / 6) ** round(2 * (1 - detail))
    wanted = np.cbrt(np.prod(np.array(scene.high) - np.array(scene.low)) / (60_000 * detail**0.5))
    return smallest * (7 / 6) ** max(0, round(np.log(wanted / smallest) / np.log(7 / 6)))


def with_detail(scene: Scene, detail: float) -> Scene:
    """The scene with its catalogue models in fewer triangles, where they are as the catalogue has them."""
    if detail == 1.0:
        return scene
    items = {item.key: item for item in load_catalogue()} if furniture_available() else {}
    placements = []
    for placement in scene.placements:
        item = items.get(placement.catalogue_key or "")
        if item is not None and placement.model.positions is load_model(item).positions:
            finish = dict(enumerate(placement.model.materials))
            placement = replace(placement, model=load_model(item, detail).with_materials(finish))
        placements.append(placement)
    return replace(scene, placements=tuple(placements))


def detail_for(width: int, height: int) -> float:
    """Share of the models' triangles worth drawing in pictures of this size."""
    side = max(width, height)
    return 0.25 if side <= 160 else 0.55 if side <= 288 else 1.0


def load_lit(renderer: Renderer, scene: Scene, detail: float = 1.0) -> tuple[Scene, LightField]:
    """Light a scene and hand it to the renderer; returns it as it is drawn, and its light."""
    scene = with_detail(scene, detail)
    textures = {m.texture for p in scene.placements for m in p.model.materials if m.texture}
    means = {key: mean_color(key) for key in sorted(textures)}
    cell = voxel_size(scene, detail)
    density = (9.0 if scene.indoor else 5.0) / cell**2
    field = light_scene(scene, voxelise(scene, means, cell=cell, density=density))
    renderer.load_scene(scene, gather_buffers(scene, field), field, detail=detail)
    return scene, field


def render_scene(
    renderer: Renderer, spec: WorldSpec, number: int
) -> tuple[dict[str, Any], list[dict[str, bytes]]]:
    """Build, light and photograph one scene: its description and the files of its frames."""
    scene, rng = make_scene(spec, number)
    detail = detail_for(spec.width, spec.height)
    scene, field = load_lit(renderer, scene, detail)
    width, height = spec.width, spec.height
    if spec.both_aspects and rng.random() < 0.5:
        width, height = height, width
    if spec.shots in ("single", "close"):
        close = spec.shots == "close"
        shots = plan_singles(scene, field, rng, frames=spec.frames, width=width, height=height, close=close)
    else:
        shots = plan_shots(
            scene, field, rng, frames=spec.frames, width=width, height=height, around=spec.shots == "around"
        )
    frames, entries = [], []
    for shot, views in enumerate(shots):
        for view in views:
            picture = renderer.render(view)
            frames.append(frame_files(picture))
            entries.append(frame_entry(view, shot, caption(scene, picture)))
    info = {
        "scene": number,
        "kind": scene.kind,
        "indoor": scene.indoor,
        "up": [0, 0, 1],
        "width": width,
        "height": height,
        "instances": [p.label for p in scene.placements],
        "moving": [i + 1 for i, p in enumerate(scene.placements) if p.motion is not None],
        "models": sorted({p.catalogue_key for p in scene.placements if p.catalogue_key}),
        "frames": entries,
    }
    return info, frames


def shard_path(folder: Path, shard: int) -> Path:
    """Where a shard lies."""
    return folder / f"shard-{shard:05d}.zip"


def write_shard(renderer: Renderer, spec: WorldSpec, folder: Path, shard: int, scenes: int) -> Iterator[int]:
    """Make one shard, of its scenes below ``scenes``; yields the number of frames after each."""
    writer = ShardWriter(shard_path(folder, shard))
    for number in _shard_scenes(spec, shard, scenes):
        info, frames = render_scene(renderer, spec, number)
        writer.add_scene(number, info, frames)
        yield len(frames)
    writer.close()


def _shard_scenes(spec: WorldSpec, shard: int, scenes: int) -> range:
    first = shard * spec.scenes_per_shard
    return range(first, min(first + spec.scenes_per_shard, scenes))


def _complete(spec: WorldSpec, folder: Path, shard: int, scenes: int) -> bool:
    """True when a shard is there and holds every scene it shall hold."""
    path = shard_path(folder, shard)
    if not path.exists():
        return False
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    return all(f"{number:08d}/scene.json" in names for number in _shard_scenes(spec, shard, scenes))


def generate_world(
    spec: WorldSpec,
    folder: Path,
    *,
    scenes: int,
    workers: int = 2,
    on_progress: Callable[..., None] | None = None,
) -> int:
    """Make the scenes 0..scenes-1 that are not there yet; returns how many frames were made now.

    Args:
        spec: what to make.
        folder: where the shards go; a folder begun with another spec is refused.
        scenes: how many scenes there shall be.
        workers: processes.
        on_progress: called as ``on_progress(done_frames, total_frames)``.

    Raises:
        InputError: when the folder holds another world, or rendering is impossible here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_spec(spec, folder)
    photo_list(spec.photos)
    shards = range(-(-scenes // spec.scenes_per_shard))
    missing = [s for s in shards if not _complete(spec, folder, s, scenes)]
    total = sum(len(_shard_scenes(spec, s, scenes)) for s in missing) * spec.frames
    done = 0
    for count in _run(spec, folder, missing, scenes, workers):
        done += count
        if on_progress:
            on_progress(done, total)
    write_attribution(folder)
    return done


def _check_spec(spec: WorldSpec, folder: Path) -> None:
    path = folder / "world.json"
    stated = {"version": VERSION, "furniture": furniture_available(), **asdict(spec)}
    if path.exists():
        before = {"shots": "mixed"} | json.loads(path.read_text())
        if before != stated:
            names = sorted(k for k in stated if before.get(k) != stated[k])
            raise InputError(
                f"{folder} was begun with other settings ({', '.join(names)}); choose another folder"
            )
        return
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(stated, indent=1))
    scratch.replace(path)


def _run(spec: WorldSpec, folder: Path, shards: list[int], scenes: int, workers: int) -> Iterator[int]:
    """Yield frame counts as scenes are finished, by this process or by several."""
    if not shards:
        return
    if workers <= 1 or len(shards) == 1:
        renderer = Renderer()
        for shard in shards:
            yield from write_shard(renderer, spec, folder, shard, scenes)
        return
    context = multiprocessing.get_context("spawn")
    tasks, ticks = context.SimpleQueue(), context.Queue()
    count = min(workers, len(shards))
    for task in [*shards, *[None] * count]:
        tasks.put(task)
    pool = [
        context.Process(target=_work, args=(spec, folder, scenes, tasks, ticks, count), daemon=True)
        for _ in range(count)
    ]
    for process in pool:
        process.start()
    try:
        yield from _collect(pool, ticks)
    finally:
        for process in pool:
            process.terminate()
            process.join()


def _collect(pool: list, ticks) -> Iterator[int]:
    """Frame counts from the workers until all have finished; their errors are raised here."""
    running = len(pool)
    while running:
        try:
            message = ticks.get(timeout=5)
        except queue.Empty:
            dead = [p.exitcode for p in pool if p.exitcode not in (None, 0)]
            if dead:
                raise RuntimeError(
                    f"a world worker died with exit code {dead[0]}; run again to go on"
                ) from None
            continue
        if isinstance(message, Exception):
            raise message
        if message is None:
            running -= 1
        else:
            yield message


def _work(spec: WorldSpec, folder: Path, scenes: int, tasks, ticks, workers: int) -> None:
    """A worker process: shards from a queue until it says None."""
    try:
        # Mesa's software rasteriser reads this when the context opens; 0: no threads beside this one
        share = (os.cpu_count() or 1) // workers
        os.environ.setdefault("LP_NUM_THREADS", str(share if share > 1 else 0))
        renderer = Renderer()
        while (shard := tasks.get()) is not None:
            for count in write_shard(renderer, spec, folder, shard, scenes):
                ticks.put(count)
        ticks.put(None)
    except Exception as error:
        ticks.put(error)


def write_attribution(folder: Path) -> list[dict[str, str]]:
    """Write ``attribution.json``: name, author, licence of every model in the folder's scenes."""
    dataset = WorldDataset(folder)
    used = {key for info in dataset.scenes.values() for key in info["models"]}
    credits = attribution([i for i in load_catalogue() if i.key in used]) if used else []
    scratch = folder / ".attribution.part"
    scratch.write_text(json.dumps(credits, indent=1))
    scratch.replace(folder / "attribution.json")
    return credits
