"""DINOv2 ViT-S/14 image features at any input size.

Source: Oquab et al., DINOv2 (2023). The layers are torch's own, so nothing larger than torch has to be imported; that
they compute what transformers' ``Dinov2Model`` computes is a test.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .dinov2_weights import CHANNELS, dinov2_weights

PATCH = 14
LAYERS, HEADS, GRID = 12, 6, 37
"""``GRID`` patches a side have positions of their own; other sizes interpolate them."""
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class DinoV2(nn.Module):
    """The network; frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, CHANNELS, PATCH, PATCH)
        self.class_token = nn.Parameter(torch.zeros(1, 1, CHANNELS))
        self.positions = nn.Parameter(torch.zeros(1, 1 + GRID * GRID, CHANNELS))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                CHANNELS, HEADS, 4 * CHANNELS, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True,
                norm_first=True,
            )
            for _ in range(LAYERS)
        )  # fmt: skip
        self.norm = nn.LayerNorm(CHANNELS, eps=1e-6)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 1+n 384"]]:
        """What each layer leaves, the class token first; ``pixels`` have zero mean and unit variance."""
        patches = self.patches(pixels)
        x = patches.flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)
        x = x + self._positions(*patches.shape[-2:])
        left = []
        for layer in self.layers:
            x = layer(x)
            left.append(x)
        return left

    def _positions(self, rows: int, columns: int) -> Float[Tensor, "1 1+n 384"]:
        if (rows, columns) == (GRID, GRID):
            return self.positions
        grid = self.positions[:, 1:].reshape(1, GRID, GRID, CHANNELS).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, (rows, columns), mode="bicubic", align_corners=False)
        return torch.cat([self.positions[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


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
    left = model(((images - mean) / std).permute(0, 3, 1, 2))
    return [model.norm(left[i - 1])[:, 1:].reshape(b, h // PATCH, w // PATCH, CHANNELS) for i in layers]


@lru_cache(maxsize=2)
def load_dinov2(device: torch.device) -> DinoV2:
    """The frozen network on a device; fetches the weights on first use. Its input may want gradients.

    Raises:
        InputError: the ``photo`` extra is not installed or the weights cannot be fetched.
    """
    with torch.inference_mode(False):  # whoever comes first may be in it, who comes later may want gradients
        with torch.device("meta"):
            model = DinoV2()
        model.load_state_dict(_torch_names(dinov2_weights()), assign=True)
        return model.eval().requires_grad_(False).to(device)


def _torch_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """transformers' weights for torch's layers; the scales after attention and MLP go into the matrices before them."""
    renamed = {
        "class_token": weights["embeddings.cls_token"],
        "positions": weights["embeddings.position_embeddings"],
        "patches.weight": weights["embeddings.patch_embeddings.projection.weight"],
        "patches.bias": weights["embeddings.patch_embeddings.projection.bias"],
        "norm.weight": weights["layernorm.weight"],
        "norm.bias": weights["layernorm.bias"],
    }
    for i in range(LAYERS):
        old, new = f"encoder.layer.{i}.", f"layers.{i}."
        after_attention, after_mlp = (weights[f"{old}layer_scale{k}.lambda1"] for k in (1, 2))
        for kind in ("weight", "bias"):
            part = {name: weights[f"{old}{name}.{kind}"] for name in (
                "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2",
                "norm1", "norm2",
            )}  # fmt: skip
            qkv = [part[f"attention.{name}_proj"] for name in "qkv"]
            renamed[f"{new}self_attn.in_proj_{kind}"] = torch.cat(qkv)
            renamed[f"{new}self_attn.out_proj.{kind}"] = _scaled(part["attention.o_proj"], after_attention)
            renamed[f"{new}linear1.{kind}"] = part["mlp.fc1"]
            renamed[f"{new}linear2.{kind}"] = _scaled(part["mlp.fc2"], after_mlp)
            renamed[f"{new}norm1.{kind}"], renamed[f"{new}norm2.{kind}"] = part["norm1"], part["norm2"]
    return renamed


def _scaled(tensor: Tensor, rows: Tensor) -> Tensor:
    return tensor * (rows[:, None] if tensor.ndim == 2 else rows)
