"""OpenUSD .usdc and .usdz: one UsdVol.ParticleField3DGaussianSplat prim, with time samples for motion.

Scales are linear and opacities lie in 0..1; each splat's harmonics stand together, in our order. The up axis and the
unit are the stage's metadata. Source: the OpenUSD schema ``usdVol``. Reading happens in a process of its own (see
``usd_worker``).
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..gaussians import Gaussians, cat_gaussians
from ..motion import Motion
from ..transform import transform_gaussians, transform_motion
from .axes import split_similarity
from .splat_file import SplatFile, Traits, allocate, chunks, most_splats

TRAITS = Traits(axes="y up", unit="required", moves=True)
_CODES_PER_SECOND = 24.0
_SECONDS, _SECONDS_PER_GB = 60, 60
_Y_FROM_Z_UP = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)


def read(path: Path) -> SplatFile:
    """Read every splat prim, transforms applied, y up; motion if there is one prim with several time samples."""
    _check_magic(path)
    with tempfile.TemporaryDirectory() as folder:
        _extract(path, Path(folder))
        scene = json.loads((Path(folder) / "scene.json").read_text())
        parts = []
        for i, matrix in enumerate(scene["world_from_prim"]):
            with np.load(Path(folder) / f"splats_{i}.npz", allow_pickle=False) as arrays:
                parts.append(_place(path, *_splats(arrays, scene["codes_per_second"]), np.array(matrix)))
    moving = [motion for _, motion in parts if motion is not None]
    notes = ("motion of several prims was left out",) if moving and len(parts) > 1 else ()
    gaussians, motion = parts[0]
    if len(parts) > 1:
        gaussians, motion = cat_gaussians([splats for splats, _ in parts]), None
    if scene["up_axis"] == "Z":
        gaussians = transform_gaussians(gaussians, _Y_FROM_Z_UP)
        motion = None if motion is None else transform_motion(motion, _Y_FROM_Z_UP)
        notes += ("axes were turned from z up to y up",)
    unit = scene["metres_per_unit"]
    unit = unit if unit is not None and math.isfinite(unit) and unit > 0 else None
    return SplatFile(gaussians, motion=motion, metres_per_unit=unit, notes=notes)


def write(path: Path, file: SplatFile) -> tuple[str, ...]:
    """Write one prim; only opacities of almost 0 or 1 lose precision."""
    usd = _library(path)
    if path.suffix.lower() == ".usdz":
        utilities = import_module("pxr.UsdUtils")
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            layer = Path(folder) / "splats.usdc"
            _write_layer(usd, layer, file)
            if not utilities.CreateNewUsdzPackage(str(layer), str(path)):
                raise OSError(f"the USD library could not package {path}")
    else:
        _write_layer(usd, path, file)
    return ("opacities of almost 0 or 1 lose precision: USD holds them after the sigmoid",)


def _library(path: Path) -> ModuleType:
    try:
        usd, volumes = import_module("pxr.Usd"), import_module("pxr.UsdVol")
    except ImportError as error:
        raise InputError(f"{path}: USD needs the extra 'splats' (pip install 'cosmorama[splats]')") from error
    if not hasattr(volumes, "ParticleField3DGaussianSplat"):
        raise InputError(f"{path}: this USD library is too old for splats; usd-core 26.3 or newer is needed")
    return usd


def _write_layer(usd: Any, path: Path, file: SplatFile) -> None:
    gaussians, motion = file.gaussians, file.motion
    geometry, volumes, vt = (import_module(f"pxr.{name}") for name in ("UsdGeom", "UsdVol", "Vt"))
    stage = usd.Stage.CreateNew(str(path))
    geometry.SetStageUpAxis(stage, geometry.Tokens.y)
    if file.metres_per_unit is not None:
        geometry.SetStageMetersPerUnit(stage, file.metres_per_unit)
    prim = volumes.ParticleField3DGaussianSplat.Define(stage, "/Splats")
    stage.SetDefaultPrim(prim.GetPrim())
    means, quats = prim.CreatePositionsAttr(), prim.CreateOrientationsAttr()
    extent = [gaussians.means.amin(0).tolist(), gaussians.means.amax(0).tolist()]
    prim.CreateExtentAttr(vt.Vec3fArray([tuple(corner) for corner in extent]))
    if motion is None:
        means.Set(vt.Vec3fArray.FromNumpy(gaussians.means.numpy()))
        quats.Set(vt.QuatfArray.FromNumpy(_xyzw(gaussians.quats)))
    else:
        stage.SetTimeCodesPerSecond(_CODES_PER_SECOND)
        codes = (motion.times.double() * motion.seconds * _CODES_PER_SECOND).tolist()
        stage.SetStartTimeCode(codes[0])
        stage.SetEndTimeCode(codes[-1])
        for i, code in enumerate(codes):
            means.Set(vt.Vec3fArray.FromNumpy(motion.means[i].contiguous().numpy()), code)
            quats.Set(vt.QuatfArray.FromNumpy(_xyzw(motion.quats[i])), code)
    prim.CreateScalesAttr(vt.Vec3fArray.FromNumpy(gaussians.scales.numpy()))
    prim.CreateOpacitiesAttr(vt.FloatArray.FromNumpy(gaussians.opacities.numpy()))
    prim.CreateRadianceSphericalHarmonicsDegreeAttr(gaussians.sh_degree)
    harmonics = gaussians.sh.flatten(0, 1).contiguous().numpy()
    prim.CreateRadianceSphericalHarmonicsCoefficientsAttr(vt.Vec3fArray.FromNumpy(harmonics))
    stage.GetRootLayer().Save()


def _xyzw(quats: Float[Tensor, "n 4"]) -> np.ndarray:
    return torch.nn.functional.normalize(quats, dim=1)[:, [1, 2, 3, 0]].contiguous().numpy()


def _check_magic(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
    packaged = path.suffix.lower() == ".usdz"
    if not start.startswith(b"PK\x03\x04" if packaged else b"PXR-USDC"):
        raise InputError(f"{path} is not a {path.suffix} file: it does not begin as one")
    if importlib.util.find_spec("pxr") is None:
        raise InputError(f"{path}: USD needs the extra 'splats' (pip install 'cosmorama[splats]')")


def _extract(path: Path, folder: Path) -> None:
    """Let the worker take the arrays out, within limits that grow with the file."""
    size = path.stat().st_size
    command = [
        sys.executable,
        "-I",
        str(Path(__file__).with_name("usd_worker.py")),
        str(path.resolve()),
        str(folder),
    ]
    command += [str(most_splats(size)), str((2 << 30) + size * 20)]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_SECONDS + size / 1e9 * _SECONDS_PER_GB, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path} takes the USD library too long to read") from error
    if done.returncode:
        lines = [line for line in done.stderr.decode("ascii", "replace").splitlines() if line.isprintable()]
        reason = lines[-1] if done.returncode == 2 and lines else "the USD library failed on it"
        raise InputError(f"{path} cannot be read: {reason[:200]}")


def _splats(arrays: Any, codes_per_second: float) -> tuple[Gaussians, Motion | None]:
    """Raw parameters from the worker's arrays."""
    positions, harmonics = arrays["positions"], arrays["sh"]
    gaussians = allocate(len(positions), math.isqrt(harmonics.shape[1]) - 1)
    scales, opacities = torch.from_numpy(arrays["scales"]), torch.from_numpy(arrays["opacities"])
    gaussians.means[:] = torch.from_numpy(positions)
    gaussians.quats[:] = torch.from_numpy(arrays["orientations"])[:, [3, 0, 1, 2]]
    gaussians.log_scales[:] = scales.log()
    gaussians.sh[:] = torch.from_numpy(harmonics)
    for part in chunks(len(gaussians)):
        unit = opacities[part, 0].double().clamp(1e-6, 1 - 1e-6)
        gaussians.opacity_logits[part] = torch.logit(unit).float()
    if "times" not in arrays:
        return gaussians, None
    codes = torch.from_numpy(arrays["times"])
    length = float(codes[-1] - codes[0])
    if not (math.isfinite(length) and codes_per_second > 0 and math.isfinite(codes_per_second)):
        return gaussians, None
    quats = torch.from_numpy(arrays["moving_orientations"])[..., [3, 0, 1, 2]]
    means = torch.from_numpy(arrays["moving_positions"])
    times = ((codes - codes[0]) / length).float()
    return gaussians, Motion(times, means, quats, length / codes_per_second)


def _place(
    path: Path, gaussians: Gaussians, motion: Motion | None, matrix: np.ndarray
) -> tuple[Gaussians, Motion | None]:
    """Apply a prim's transform, which must be a similarity."""
    move = split_similarity(path, matrix)
    return transform_gaussians(gaussians, *move), None if motion is None else transform_motion(motion, *move)
