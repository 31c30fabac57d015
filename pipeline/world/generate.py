"""Makes a synthetic world: scene i depends on (seed, i) alone, so that work can stop, resume and be shared out."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...reconstruct.errors import InputError
from .batch import gather_buffers
from .captions import caption
from .catalogue import attribution, furniture_available, load_catalogue
from .light import light_scene
from .outdoors import make_outdoors
from .paths import plan_shots
from .render import Renderer
from .rooms import make_room
from .scene import Scene
from .shards import ShardWriter, WorldDataset, frame_entry, frame_files
from .textures import mean_color
from .voxels import voxelise

logger = logging.getLogger(__name__)

VERSION = 1


@dataclass(frozen=True)
class WorldSpec:
    """What a world is made of; the same spec gives the same frames."""

    seed: int = 0
    frames: int = 12
    """Frames per scene."""
    width: int = 256
    height: int = 256
    both_aspects: bool = False
    """Swap width and height in half of the scenes."""
    outdoor_share: float = 0.35
    photos: str | None = None
    """Folder of pictures to hang on walls."""
    scenes_per_shard: int = 8


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


def render_scene(
    renderer: Renderer, spec: WorldSpec, number: int
) -> tuple[dict[str, Any], list[dict[str, bytes]]]:
    """Build, light and photograph one scene: its description and the files of its frames."""
    scene, rng = make_scene(spec, number)
    textures = {m.texture for p in scene.placements for m in p.model.materials if m.texture}
    means = {key: mean_color(key) for key in sorted(textures)}
    cell, density = (0.1, 900.0) if scene.indoor else (0.6, 14.0)
    field = light_scene(scene, voxelise(scene, means, cell=cell, density=density))
    renderer.load_scene(scene, gather_buffers(scene, field), field)
    width, height = spec.width, spec.height
    if spec.both_aspects and rng.random() < 0.5:
        width, height = height, width
    shots = plan_shots(scene, field, rng, frames=spec.frames, width=width, height=height)
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


def write_shard(
    renderer: Renderer, spec: WorldSpec, folder: Path, shard: int, last: int, tick: Callable[[int], None]
) -> None:
    """Make one shard, of at most ``spec.scenes_per_shard`` scenes below ``last``; ``tick(frames)`` after each."""
    writer = ShardWriter(shard_path(folder, shard))
    first = shard * spec.scenes_per_shard
    for number in range(first, min(first + spec.scenes_per_shard, last)):
        info, frames = render_scene(renderer, spec, number)
        writer.add_scene(number, info, frames)
        tick(len(frames))
    writer.close()


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
        scenes: how many scenes there shall be, rounded up to whole shards.
        workers: processes.
        on_progress: called as ``on_progress(done_frames, total_frames)``.

    Raises:
        InputError: when the folder holds another world, or rendering is impossible here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_spec(spec, folder)
    photo_list(spec.photos)
    shards = range(-(-scenes // spec.scenes_per_shard))
    last = len(shards) * spec.scenes_per_shard
    missing = [s for s in shards if not shard_path(folder, s).exists()]
    total = len(missing) * spec.scenes_per_shard * spec.frames
    done = 0
    for count in _run(spec, folder, missing, last, workers):
        done += count
        if on_progress:
            on_progress(done, total)
    write_attribution(folder)
    return done


def _check_spec(spec: WorldSpec, folder: Path) -> None:
    path = folder / "world.json"
    stated = {"version": VERSION, "furniture": furniture_available(), **asdict(spec)}
    if path.exists():
        before = json.loads(path.read_text())
        if before != stated:
            names = sorted(k for k in stated if before.get(k) != stated[k])
            raise InputError(
                f"{folder} was begun with other settings ({', '.join(names)}); choose another folder"
            )
        return
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(stated, indent=1))
    scratch.replace(path)


def _run(spec: WorldSpec, folder: Path, shards: list[int], last: int, workers: int):
    """Yield frame counts as scenes are finished, by this process or by several."""
    if not shards:
        return
    if workers <= 1 or len(shards) == 1:
        renderer = Renderer()
        for shard in shards:
            counts: list[int] = []
            write_shard(renderer, spec, folder, shard, last, counts.append)
            yield sum(counts)
        return
    context = multiprocessing.get_context("spawn")
    tasks, ticks = context.SimpleQueue(), context.SimpleQueue()
    for shard in shards:
        tasks.put(shard)
    count = min(workers, len(shards))
    for _ in range(count):
        tasks.put(None)
    threads_before = os.environ.get("LP_NUM_THREADS")
    os.environ["LP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // count))
    try:
        pool = [
            context.Process(target=_work, args=(spec, folder, last, tasks, ticks), daemon=True)
            for _ in range(count)
        ]
        for process in pool:
            process.start()
    finally:
        if threads_before is None:
            del os.environ["LP_NUM_THREADS"]
        else:
            os.environ["LP_NUM_THREADS"] = threads_before
    running = count
    while running:
        message = ticks.get()
        if isinstance(message, int):
            yield message
        elif message is None:
            running -= 1
        else:
            for process in pool:
                process.terminate()
            raise message
    for process in pool:
        process.join()


def _work(spec: WorldSpec, folder: Path, last: int, tasks, ticks) -> None:
    """A worker process: shards from a queue until it says None."""
    try:
        renderer = Renderer()
        while (shard := tasks.get()) is not None:
            write_shard(renderer, spec, folder, shard, last, ticks.put)
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
