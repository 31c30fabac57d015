"""What hardware, backends and weights a machine has; the source of ``cosmorama doctor``."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from .cache import cache_dir
from .weights import DINOV2_SMALL, MINILM, WheelFile, cached_files

EXTRAS: dict[str, tuple[dict[str, str], str]] = {
    "photo": (
        {"transformers": "transformers", "huggingface-hub": "huggingface_hub", "onnx": "onnx",
         "pillow-heif": "pillow_heif", "opencv-python-headless": "cv2", "imageio-ffmpeg": "imageio_ffmpeg"},
        "photo to scene, HEIC photos, films of scenes",
    ),
    "splats": ({"usd-core": "pxr", "zstandard": "zstandard"}, "usd files, spz of version 4"),
    "mesh": ({"open3d": "open3d", "fast-simplification": "fast_simplification"}, "fused and textured meshes"),
    "sfm": ({"pycolmap": "pycolmap"}, "several photos, clips, COLMAP captures"),
    "world": (
        {"moderngl": "moderngl", "fast-simplification": "fast_simplification"},
        "places from a sentence, the synthetic training world",
    ),
    "diffusion": (
        {"diffusers": "diffusers", "transformers": "transformers", "huggingface-hub": "huggingface_hub"},
        "large hub generators",
    ),
    "gpu": ({"gsplat": "gsplat", "nerfacc": "nerfacc"}, "CUDA rasterisation and volume rendering"),
}  # fmt: skip


def examine() -> dict[str, Any]:
    """Everything that ``doctor`` tells, as plain data."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "version": _version("cosmorama"),
        "hardware": {
            "cpu": _cpu_name(), "threads": torch.get_num_threads(), "cores": os.cpu_count(),
            "simd": torch.backends.cpu.get_cpu_capability(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "gpu": torch.cuda.get_device_name() if cuda else None,
        },
        "backends": {
            "rasterizer": "gsplat (CUDA)" if cuda and find_spec("gsplat") else "Numba (CPU)",
            "networks": f"torch {torch.__version__} on {'cuda' if cuda else 'cpu'}",
        },
        "extras": {
            name: {"for": purpose, "packages": {pip: _version(pip) for pip in packages}}
            for name, (packages, purpose) in EXTRAS.items()
        },
        "weights": [*_shipped_weights(), *map(_fetched_weight, (DINOV2_SMALL, MINILM))],
        "cache": str(cache_dir()),
        "tools": {name: shutil.which(name) for name in ("chromium", "node", "splat-transform")},
    }  # fmt: skip


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    h = found["hardware"]
    out = [
        f"cosmorama {found['version']}",
        f"  hardware   {h['cpu']}, {h['cores']} cores ({h['simd']}), {h['memory_gb']} GB; GPU: {h['gpu'] or 'none'}",
        f"  splats     {found['backends']['rasterizer']}",
        f"  networks   {found['backends']['networks']}",
        "extras",
    ]
    for name, extra in found["extras"].items():
        missing = [pip for pip, v in extra["packages"].items() if v is None]
        state = f"missing {', '.join(missing)}: pip install 'cosmorama[{name}]'" if missing else "ok"
        if name == "gpu" and h["gpu"] is None:
            state = "of no use here, there is no GPU"
        out.append(f"  {name:<10} {extra['for']}: {state}")
    out.append(f"weights (cache: {found['cache']})")
    out += [f"  {w['name']}: {w['state']}; {w['licence']}" for w in found["weights"]]
    return out


def _fetched_weight(source: WheelFile) -> dict[str, str]:
    state = "in the cache" if cached_files(source) else f"fetched when first needed ({source.megabytes} MB)"
    return {"name": source.name, "state": state, "licence": source.licence}


def _shipped_weights() -> list[dict[str, str]]:
    """One entry per safetensors file in assets; the licence stands under that heading of the card beside it."""
    from importlib.resources import files
    from pathlib import Path

    found = []
    for path in sorted(Path(str(files("cosmorama.assets"))).rglob("*.safetensors")):
        card = path.parent / "README.md"
        after = card.read_text().partition("## Licence\n")[2].strip() if card.exists() else ""
        licence = after.splitlines()[0] if after else "see its card"
        size = f"shipped, {path.stat().st_size / 1e6:.1f} MB"
        found.append({"name": f"{path.parent.name}/{path.name}", "state": size, "licence": licence})
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
