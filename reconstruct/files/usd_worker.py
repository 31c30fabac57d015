"""Runs alone, in a process with bounded memory: takes the splats out of a USD file and leaves plain arrays.

    python usd_worker.py SCENE.usdc FOLDER MAX_SPLATS MAX_BYTES

USD is a large native library; what a hostile file makes of it stays in this process. The file is opened without
anything it refers to (sublayers, references, payloads), so it can name no other file. Leaves ``splats_K.npz`` files
and ``scene.json`` in the folder; complaints about the file go to stderr in one line, with exit code 2. Imports
nothing of this package, so that it starts fast.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

_TYPE = "ParticleField3DGaussianSplat"
_SH = "radiance:sphericalHarmonicsCoefficients"


def main(source: str, folder: str, max_splats: int, max_bytes: int) -> None:
    """Extract every splat prim of a file into a folder."""
    _limit_memory(max_bytes)
    sdf, usd, geometry = (import_module(f"pxr.{name}") for name in ("Sdf", "Usd", "UsdGeom"))
    layer = sdf.Layer.OpenAsAnonymous(source)
    if layer is None:
        raise ValueError("it is not a USD file")
    _cut_references(layer)
    stage = usd.Stage.Open(layer, usd.Stage.LoadNone)
    prims = [prim for prim in stage.Traverse() if prim.GetTypeName() == _TYPE]
    if not prims:
        raise ValueError(f"it has no {_TYPE} prim")
    placed = []
    for i, prim in enumerate(prims):
        arrays = _arrays(prim, max_splats)
        max_splats -= len(arrays["positions"])
        np.savez(Path(folder) / f"splats_{i}.npz", allow_pickle=False, **arrays)
        matrix = geometry.Xformable(prim).ComputeLocalToWorldTransform(usd.TimeCode.Default())
        placed.append(np.array(matrix).T.tolist())  # USD's matrices act on rows
    scene = {
        "up_axis": str(geometry.GetStageUpAxis(stage)),
        "metres_per_unit": stage.GetMetadata("metersPerUnit")
        if stage.HasAuthoredMetadata("metersPerUnit")
        else None,
        "codes_per_second": float(stage.GetTimeCodesPerSecond()),
        "world_from_prim": placed,
    }
    (Path(folder) / "scene.json").write_text(json.dumps(scene))


def _limit_memory(max_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows; the parent's time limit still holds
        return
    resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _cut_references(layer: Any) -> None:
    """Remove everything that would make USD open another file."""
    layer.subLayerPaths.clear()

    def cut(path: Any) -> None:
        spec = layer.GetPrimAtPath(path) if path.IsPrimPath() else None
        if spec is not None:
            for name in ("references", "payload", "inheritPaths", "specializes", "variantSetNames"):
                if spec.HasInfo(name):
                    spec.ClearInfo(name)

    layer.Traverse("/", cut)


def _arrays(prim: Any, max_splats: int) -> dict[str, np.ndarray]:
    """The attributes of one prim; positions and orientations also at every time sample, if there are several."""
    first = _value(prim, "positions", 3, None)
    if first is None or not 0 < len(first) <= max_splats:
        raise ValueError(f"it has {0 if first is None else len(first)} positions")
    count, degree = len(first), prim.GetAttribute("radiance:sphericalHarmonicsDegree").Get()
    degree = int(degree) if degree is not None else 0
    if not 0 <= degree <= 8:
        raise ValueError(f"its harmonics have degree {degree}")
    coefficients = (degree + 1) ** 2
    arrays = {
        "positions": first,
        "orientations": _or(
            _value(prim, "orientations", 4, count), np.tile(np.array([0, 0, 0, 1], np.float32), (count, 1))
        ),
        "scales": _or(_value(prim, "scales", 3, count), np.ones((count, 3), np.float32)),
        "opacities": _or(_value(prim, "opacities", 1, count), np.ones((count, 1), np.float32)),
        "sh": _or(_value(prim, _SH, 3, count * coefficients), np.zeros((count, 3), np.float32)),
    }
    arrays["sh"] = arrays["sh"].reshape(count, -1, 3)[:, :16]
    names = [f"{name}{half}" for name in ("positions", "orientations") for half in ("", "h")]
    times = sorted({time for name in names for time in prim.GetAttribute(name).GetTimeSamples()})
    if len(times) > 1:
        arrays["times"] = np.array(times)
        for name, width in (("positions", 3), ("orientations", 4)):
            moved = [_or(_value(prim, name, width, count, time), arrays[name]) for time in times]
            arrays[f"moving_{name}"] = np.stack(moved)
    return arrays


def _value(
    prim: Any, name: str, width: int, count: int | None, time: float | None = None
) -> np.ndarray | None:
    """A float array of an attribute, full precision preferred to half; None if it is not there."""
    for attribute in (prim.GetAttribute(name), prim.GetAttribute(f"{name}h")):
        if not attribute or not attribute.HasValue():
            continue
        samples = attribute.GetTimeSamples()
        value = attribute.Get(time if time is not None else samples[0]) if samples else attribute.Get()
        if value is None or not len(value):
            continue
        rows = np.array(value, dtype=np.float32).reshape(len(value), -1)
        if rows.shape[1] != width or (count is not None and len(rows) < count):
            raise ValueError(
                f"{name} has {len(rows)} entries of {rows.shape[1]}, {count} of {width} are needed"
            )
        return rows if count is None else rows[:count]
    return None


def _or(value: np.ndarray | None, default: np.ndarray) -> np.ndarray:
    return default if value is None else value


def guarded(source: str, folder: str, max_splats: int, max_bytes: int) -> int:
    """Run ``main``; the exit code, and a complaint on stderr if there is one."""
    try:
        main(source, folder, max_splats, max_bytes)
    except MemoryError:
        print("it needs more memory than splats of its size do", file=sys.stderr, flush=True)
        return 2
    except (ValueError, RuntimeError, OSError) as error:
        complaint = " ".join(str(error).split()).rsplit(" : ", 1)[
            -1
        ]  # without "Error in 'function' at line N"
        print(complaint.strip("'")[:200], file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    code = guarded(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.flush()
    os._exit(code)  # the library's clean-up may fail where memory ran out
