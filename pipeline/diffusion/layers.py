"""Building blocks that both denoisers share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def fourier_features(values: Float[Tensor, "*b"], octaves: int) -> Float[Tensor, "*b 2*octaves+1"]:
    """The value itself and sines and cosines of it times pi 2^k, k = 0 .. octaves - 1."""
    angles = values[..., None] * (math.pi * 2.0 ** torch.arange(octaves, device=values.device))
    return torch.cat([values[..., None], angles.sin(), angles.cos()], dim=-1)


def sinusoidal_embedding(values: Float[Tensor, "*b"], channels: int) -> Float[Tensor, "*b channels"]:
    """Cosines and sines with wavelengths from 2 pi / 100 to 200 pi, for scalars of about -2 to 2."""
    half = channels // 2
    frequencies = torch.exp(torch.linspace(math.log(100), math.log(0.01), half, device=values.device))
    angles = values[..., None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotary_angles(
    rows: int, columns: int, head_channels: int, *, device: torch.device
) -> Float[Tensor, "n half"]:
    """Angles of rotary positions (Su et al. 2021): half of the pairs turn with the row, half with the column."""
    quarter = head_channels // 4
    frequencies = 100.0 ** -(torch.arange(quarter, device=device) / quarter)
    y, x = torch.meshgrid(
        torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
    )
    return torch.cat([y.reshape(-1, 1) * frequencies, x.reshape(-1, 1) * frequencies], dim=-1)


def rotate(x: Float[Tensor, "*b n c"], angles: Float[Tensor, "n half"]) -> Float[Tensor, "*b n c"]:
    """Turn the pairs (i, i + c / 2) of channels by the angles."""
    cos, sin = angles.cos().to(x), angles.sin().to(x)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Attention(nn.Module):
    """Multi-head self-attention with normalised queries and keys (Henry et al. 2020)."""

    def __init__(self, width: int, head_channels: int) -> None:
        super().__init__()
        self.heads = width // head_channels
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.query_norm = nn.RMSNorm(head_channels)
        self.key_norm = nn.RMSNorm(head_channels)

    def forward(
        self, x: Float[Tensor, "b n c"], angles: Float[Tensor, "n half"] | None = None
    ) -> Float[Tensor, "b n c"]:
        """Every token attends to every token of its sample."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = self.query_norm(q), self.key_norm(k)
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        return self.out(attend(q, k, v).transpose(1, 2).flatten(2))


def attend(
    q: Float[Tensor, "b heads n c"], k: Float[Tensor, "b heads m c"], v: Float[Tensor, "b heads m c"]
) -> Float[Tensor, "b heads n c"]:
    """softmax(q k^T / sqrt(c)) v: fused on a GPU, written out on the CPU, where our short sequences train faster so."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v)
    weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1)
    return weights.to(v.dtype) @ v


def zero_init(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """The layer with weights and bias set to zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def keep_or_null(values: Tensor, null: Tensor, kept: Tensor) -> Tensor:
    """``values`` for the samples (or views) that have a condition, the learned ``null`` (broadcast) for the others."""
    return torch.where(
        kept.reshape(kept.shape + (1,) * (values.ndim - kept.ndim)), values, null.to(values.dtype)
    )
