"""DINOv2 ViT-S/14 image features at any input size.

Source: Oquab et al., DINOv2 (2023); the network is transformers' ``Dinov2Model``, its weights come out of the
pinned ONNX file in ``weights.py``. That file holds linear layers transposed and under generated names, so they are
found by the name of the MatMul node that uses them.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..reconstruct.errors import InputError
from .cache import cache_dir
from .weights import DINOV2_SMALL, fetch_files

if TYPE_CHECKING:
    from transformers import Dinov2Model

PATCH = 14
CHANNELS = 384
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def dinov2_features(
    images: Float[Tensor, "b h w 3"], *, layers: tuple[int, ...] = (3, 6, 9, 12)
) -> list[Float[Tensor, "b hp wp 384"]]:
    """Patch features after the given transformer layers (1 to 12), each through the final layer norm.

    Args:
        images: sRGB in [0, 1]; height and width must be multiples of 14.
        layers: which layers; features of layer 12 are the network's output.

    Returns:
        One tensor per layer, hp = h / 14, wp = w / 14.
    """
    b, h, w, _ = images.shape
    if h % PATCH or w % PATCH:
        raise ValueError(f"image size {w}x{h} is not a multiple of {PATCH}")
    model = load_dinov2(images.device)
    mean, std = images.new_tensor(MEAN), images.new_tensor(STD)
    pixels = ((images - mean) / std).permute(0, 3, 1, 2)
    hidden = model(pixel_values=pixels, output_hidden_states=True).hidden_states
    return [model.layernorm(hidden[i])[:, 1:].reshape(b, h // PATCH, w // PATCH, CHANNELS) for i in layers]


@lru_cache(maxsize=2)
def load_dinov2(device: torch.device) -> Dinov2Model:
    """The frozen network on a device; fetches the weights on first use.

    Raises:
        InputError: the ``photo`` extra is not installed or the weights cannot be fetched.
    """
    try:
        from transformers import Dinov2Config, Dinov2Model
    except ImportError as error:
        raise InputError(
            f"DINOv2 features need the photo extra: pip install 'cosmorama[photo]' ({error})"
        ) from error
    config = Dinov2Config(hidden_size=CHANNELS, num_hidden_layers=12, num_attention_heads=6, image_size=518)
    with torch.device("meta"):
        model = Dinov2Model(config)
    model.load_state_dict(_state_dict(), strict=False, assign=True)
    missing = [name for name, p in model.named_parameters() if p.is_meta]
    if missing != ["embeddings.mask_token"]:
        raise RuntimeError(f"DINOv2 weights were not found for {missing}")
    model.embeddings.mask_token = torch.nn.Parameter(torch.zeros(1, CHANNELS))
    model.eval().requires_grad_(False)
    return model.to(device)  # type: ignore[arg-type]


def _state_dict() -> dict[str, Tensor]:
    """transformers' names to tensors; converted from ONNX once, then a safetensors file in the cache."""
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
