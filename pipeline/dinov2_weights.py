"""DINOv2 ViT-S/14's weights: out of the pinned ONNX file, once, into safetensors under transformers' names.

The ONNX file holds linear layers transposed and under generated names, so they are found by the name of the MatMul
node that uses them.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..reconstruct.errors import InputError
from .cache import cache_dir
from .weights import DINOV2_SMALL, fetch_files

CHANNELS = 384


def dinov2_weights() -> dict[str, Tensor]:
    """transformers' names to tensors; converted from ONNX once, then a safetensors file in the cache.

    Raises:
        InputError: the ``photo`` extra is not installed or the weights cannot be fetched.
    """
    converted = cache_dir() / "weights" / "dinov2-small.safetensors"
    if not converted.exists():
        tensors = _tensors_from_onnx(fetch_files(DINOV2_SMALL)[0])
        temporary = converted.with_name(f"{converted.name}.{os.getpid()}")
        save_file(tensors, temporary)
        temporary.replace(converted)
    return load_file(converted)


def _tensors_from_onnx(path: Path) -> dict[str, Tensor]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise InputError(f"reading DINOv2 weights needs the photo extra ({error})") from error
    graph = onnx.load(str(path)).graph
    arrays = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in graph.initializer}
    tensors = {
        _name(name.removeprefix("backbone.")): value
        for name, value in arrays.items()
        if name.startswith("backbone.")
    }
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays and node.name.startswith("/backbone/"):
            module = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            tensors[_name(f"{module}.weight")] = arrays[node.input[1]].T.contiguous()
    grid = next(v for v in arrays.values() if v.shape == (1, 37 * 37, CHANNELS))
    class_position = next(
        v for n, v in arrays.items() if v.shape == (1, 1, CHANNELS) and n.startswith("onnx::")
    )
    tensors["embeddings.position_embeddings"] = torch.cat([class_position, grid], dim=1)
    return tensors


def _name(old: str) -> str:
    """Older transformers' parameter names as version 5 spells them."""
    for before, after in (
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
    ):
        old = old.replace(before, after)
    return old
