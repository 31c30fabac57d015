"""Kernels on several threads.

Kernels are compiled without the interpreter lock and are called once per thread, from plain Python threads; inside,
they draw the number of the next piece of work from a shared counter until none is left. What a piece of work writes
depends on the piece alone, so results do not depend on the number of threads. Unlike Numba's own threading layers this
needs no OpenMP or TBB, survives a fork, and several threads may render at the same time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np

_pool: ThreadPoolExecutor | None = None


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call for the argument types at hand, keep the result on disk, release the lock.

    Products and sums may be fused; nothing else is reordered, and NaN stays NaN. Numba keeps a compiled kernel until
    the file that holds it changes; since kernels call functions of other files, here it is until one of those changes.
    """
    compiled: Any = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})(function)
    own_file = Path(function.__code__.co_filename)
    compiled._cache._cache_file._source_stamp = (_stamp(own_file), *_SHARED_STAMPS)
    return compiled


def _stamp(file: Path) -> tuple[int, int]:
    return file.stat().st_mtime_ns, file.stat().st_size


_SHARED_STAMPS = tuple(_stamp(file) for file in sorted(Path(__file__).parent.glob("*.py")))


def run_parallel(function: Callable[..., Any], *args: Any) -> None:
    """Call ``function(counter, *args)`` on as many threads as torch uses, and wait.

    ``function`` is a kernel that does piece ``fetch_add(counter)`` until that exceeds what there is.
    """
    counter = np.zeros(1, np.int64)
    helpers = [_threads().submit(function, counter, *args) for _ in range(_thread_count() - 1)]
    function(counter, *args)
    for helper in helpers:
        if not helper.cancel():
            helper.result()


def _thread_count() -> int:
    """As many as torch uses; as there are cores, if nobody has imported torch."""
    torch_threads = getattr(sys.modules.get("torch"), "get_num_threads", os.cpu_count)
    return torch_threads() or 1


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="rasterize")
    return _pool


def _forget_threads() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
