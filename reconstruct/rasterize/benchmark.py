"""How fast the CPU rasterizer is, on random scenes like fitted ones."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cameras import Cameras, pinhole_intrinsics
from ..gaussians import Gaussians
from ..ssim import ssim
from .cpu.autograd import run_backward
from .cpu.blend import blend
from .cpu.blend_backward import SUMS, blend_backward
from .cpu.forward import Forward, Images, Settings, run_forward
from .cpu.parallel import run_parallel
from .interface import rasterize

CASES = {"270x480_20k": (270, 480, 20_000), "512_60k": (512, 512, 60_000), "512_1m": (512, 512, 1_000_000)}
SPLATS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
SIDES = (128, 256, 512, 1024)


def random_scene(
    n: int, width: int, height: int, *, sh_degree: int = 3, seed: int = 0
) -> tuple[Gaussians, Cameras]:
    """Splats that fill one view as the splats of a fitted scene do.

    Centres are uniform over the image and 5 % beyond it, at depths from 2 to 8. The standard deviations along the
    three axes are log-normal (spread 0.5) around 0.6 sqrt(pixels / splats) pixels, so a splat is wider the fewer there
    are, most are a few pixels wide, and a pixel is covered by about 10; rotations are random; opacities are
    sigmoid(1.5 x normal). The image is about 80 % opaque. 20k splats at 270 x 480 make about 2.4 pairs per splat.
    """
    generator = torch.Generator().manual_seed(seed)
    focal = 0.9 * width
    x, y, z = torch.rand(3, n, generator=generator)
    z = 2 + 6 * z
    x, y = (1.1 * x - 0.55) * width / focal * z, (1.1 * y - 0.55) * height / focal * z
    size = 0.6 * (width * height / n) ** 0.5 * z / focal
    gaussians = Gaussians(
        torch.stack([x, y, z], dim=-1),
        torch.randn(n, 4, generator=generator),
        size.log()[:, None] + 0.5 * torch.randn(n, 3, generator=generator),
        1.5 * torch.randn(n, generator=generator),
        0.2 * torch.randn(n, (sh_degree + 1) ** 2, 3, generator=generator),
    )
    return gaussians, Cameras(
        torch.eye(4)[None], pinhole_intrinsics(focal, width, height)[None], width, height
    )


def benchmark(
    *, repeats: int = 15, scaling: bool = True, on_progress: Callable[..., None] | None = None
) -> dict[str, Any]:
    """Measure everything; times are medians over the repeats.

    Args:
        repeats: of every measurement.
        scaling: also measure over splats, pixels and threads.
        on_progress: called with (done, total).

    Returns:
        A dictionary that can be written as JSON. ``ns_per_pair_forward`` and ``..._backward`` are those of the
        blending; ``case`` entries have whole calls too. ``fps`` are of whole forward calls.
    """
    threads = torch.get_num_threads()
    jobs: list[tuple[str, Callable[[], Any]]] = [
        (name, lambda case=case: _case(*case, repeats)) for name, case in CASES.items()
    ]
    jobs += [
        ("step", lambda: _step_ms(*CASES["270x480_20k"], repeats)),
        ("threads", lambda: _over_threads(repeats)),
    ]
    if scaling:
        jobs += [("splats", lambda: [_case(512, 512, n, repeats) for n in SPLATS])]
        jobs += [("pixels", lambda: [_case(side, side, 60_000, repeats) for side in SIDES])]
    results = {}
    for done, (name, job) in enumerate(jobs):
        if on_progress:
            on_progress(done, len(jobs))
        results[name] = job()
    first, over_threads = results["270x480_20k"], results["threads"]
    return {
        "threads": threads,
        "cpu": _cpu_name(),
        "simd": _simd(),
        "ns_per_pair_forward": first["ns_per_pair_forward"],
        "ns_per_pair_forward_backward": first["ns_per_pair_forward_backward"],
        "speedup_2_threads": over_threads["1"]["call_ms"] / over_threads["2"]["call_ms"],
        "step_ms_270x480_20k": results["step"],
        "fps_512_60k": 1000 / results["512_60k"]["forward_ms"],
        "fps_512_1m": 1000 / results["512_1m"]["forward_ms"],
        "cases": {name: results[name] for name in CASES},
        "over_threads": over_threads,
        "over_splats": results.get("splats"),
        "over_pixels": results.get("pixels"),
    }


def _case(width: int, height: int, n: int, repeats: int) -> dict[str, Any]:
    gaussians, cameras = random_scene(n, width, height)
    settings = Settings(cameras.intrinsics.double().numpy(), width, height, 3, False, 0.01, 1e10)
    tensors = (*gaussians.tensors().values(), torch.zeros(n, 0), cameras.world_from_cam)
    inputs = tuple(tensor.numpy() for tensor in tensors)
    images, forward = run_forward(inputs, settings)
    of_images = tuple(np.ones_like(i) for i in (images.color, images.alpha, images.depth, images.features))
    pairs = len(forward.lists.splats)
    blend_ms = _median_ms(lambda: _blend(forward, images, inputs[5]), repeats)
    back_ms = _median_ms(lambda: _blend_backward(forward, images, inputs[5], of_images), repeats)
    backward = lambda: run_backward(inputs, settings, forward, of_images, with_places=True, with_poses=False)  # noqa: E731
    return {
        "width": width,
        "height": height,
        "splats": n,
        "pairs": pairs,
        "ns_per_pair_forward": blend_ms * 1e6 / pairs,
        "ns_per_pair_forward_backward": (blend_ms + back_ms) * 1e6 / pairs,
        "forward_ms": _median_ms(lambda: rasterize(gaussians, cameras), repeats),
        "backward_ms": _median_ms(backward, repeats),
    }


def _blend(forward: Forward, images: Images, features: np.ndarray) -> None:
    lists, (height, width) = forward.lists, images.alpha.shape[1:]
    run_parallel(
        blend, forward.records.reshape(-1), lists.offsets, lists.splats, len(features), features, lists.columns,
        lists.rows, width, height, *images.flat(), forward.kept, forward.words,
    )  # fmt: skip


def _blend_backward(
    forward: Forward, images: Images, features: np.ndarray, of_images: tuple[np.ndarray, ...]
) -> None:
    lists, (height, width) = forward.lists, images.alpha.shape[1:]
    sums = np.empty(len(lists.splats) * SUMS, np.float32)
    run_parallel(
        blend_backward, forward.records.reshape(-1), lists.offsets, lists.splats, lists.slots, len(features), features,
        lists.columns, lists.rows, width, height, forward.kept, forward.words, *(i.reshape(-1) for i in of_images),
        sums, sums[:0],
    )  # fmt: skip


def _step_ms(width: int, height: int, n: int, repeats: int) -> float:
    """A whole optimisation step: render, 0.8 L1 + 0.2 (1 - SSIM), backward, Adam."""
    gaussians, cameras = random_scene(n, width, height)
    target = torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(1))
    parameters = {name: torch.nn.Parameter(value) for name, value in gaussians.tensors().items()}
    optimizer = torch.optim.Adam([{"params": [p]} for p in parameters.values()], lr=1e-4, fused=True)

    def step() -> Tensor:
        color = rasterize(Gaussians(**parameters), cameras).color
        loss = 0.8 * (color - target).abs().mean() + 0.2 * (1 - ssim(color, target))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return _median_ms(step, repeats)


def _over_threads(repeats: int) -> dict[str, dict[str, float]]:
    """Blending, and whole calls forward and backward, by number of threads; measured in turns, as machines drift."""
    width, height, n = CASES["512_60k"]
    before = torch.get_num_threads()
    cases: dict[int, list[dict[str, Any]]] = {threads: [] for threads in sorted({1, 2, before})}
    try:
        for _ in range(repeats):
            for threads, measured in cases.items():
                torch.set_num_threads(threads)
                measured.append(_case(width, height, n, 3))
    finally:
        torch.set_num_threads(before)
    return {
        str(threads): {
            "blend_ms": statistics.median(
                case["ns_per_pair_forward_backward"] * case["pairs"] / 1e6 for case in measured
            ),
            "call_ms": statistics.median(case["forward_ms"] + case["backward_ms"] for case in measured),
        }
        for threads, measured in cases.items()
    }


def _median_ms(function: Callable[[], Any], repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _simd() -> str:
    from llvmlite.binding import get_host_cpu_features

    features = get_host_cpu_features()
    widest = [name for name in ("avx512f", "avx2", "avx", "sse4.2", "neon") if features.get(name)]
    return widest[0] if widest else "unknown"
