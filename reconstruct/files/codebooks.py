"""Vector quantisation for formats that store indices into small tables."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from .splat_file import chunks

_ROUNDS = 8
_LARGEST_SAMPLE = 1 << 20
_CACHED = 1 << 18


def scalar_codebook(values: Float[Tensor, "*n"], size: int = 256) -> Float[Tensor, "size"]:
    """Increasing levels that represent the values with little squared error (Lloyd 1982).

    Half of the first levels are spread over the values' range, half over their ranks, so that neither the crowd nor
    the rare large values are forgotten.
    """
    flat = values.flatten()
    flat = flat[:: max(1, len(flat) // _LARGEST_SAMPLE)].double().sort().values
    spread = torch.linspace(0, 1, size // 2, dtype=torch.float64)
    ranks = flat[(spread * (len(flat) - 1)).long()]
    low, high = values.min().double(), values.max().double()
    levels = torch.cat([ranks, low + spread * (high - low)]).sort().values
    sums = torch.cat([flat.new_zeros(1), flat.cumsum(0)])
    for _ in range(4 * _ROUNDS):
        edges = torch.searchsorted(flat, (levels[1:] + levels[:-1]) / 2)
        edges = torch.cat([edges.new_zeros(1), edges, edges.new_tensor([len(flat)])])
        counts = edges.diff()
        levels = torch.where(counts > 0, sums[edges].diff() / counts.clamp_min(1), levels).sort().values
    return levels.float()


def nearest_level(values: Float[Tensor, "*n"], levels: Float[Tensor, "k"]) -> UInt8[Tensor, "*n"]:
    """Index of the nearest of at most 256 increasing levels."""
    return torch.searchsorted((levels[1:] + levels[:-1]) / 2, values.contiguous()).to(torch.uint8)


def vector_codebook(
    vectors: Float[Tensor, "n d"], size: int, *, seed: int = 0
) -> tuple[Float[Tensor, "size d"], Int64[Tensor, "n"]]:
    """A table of vectors and the row of each given one, by k-means in two levels.

    The vectors are first parted into about sqrt(size) groups; each group then gets rows of its own, in proportion
    to its vectors. This costs n * sqrt(size) distances instead of n * size.

    Args:
        vectors: what to represent.
        size: rows of the table, at most n.
        seed: of the first guesses; the same seed gives the same table.

    Returns:
        The table, and an index into it for every vector.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # thousands of small products, each too small to be shared between threads
    try:
        return _two_levels(vectors, size, torch.Generator().manual_seed(seed))
    finally:
        torch.set_num_threads(threads)


def _two_levels(
    vectors: Float[Tensor, "n d"], size: int, generator: torch.Generator
) -> tuple[Float[Tensor, "size d"], Int64[Tensor, "n"]]:
    groups = 1 << (size.bit_length() - 1) // 2
    _, group = _kmeans(vectors, groups, generator)
    counts = torch.bincount(group, minlength=groups)
    order, ends = group.argsort(stable=True), counts.cumsum(0).tolist()
    to_share = size - int((counts > 0).sum())  # beyond the one row that every group gets
    table, labels = vectors.new_zeros(size, vectors.shape[1]), torch.empty_like(group)
    used = start = 0
    for end in ends:
        if end == start:
            continue
        members = order[start:end]
        share = 1 + to_share * end // len(vectors) - to_share * start // len(vectors)
        rows, label = _kmeans(vectors[members], min(share, len(members)), generator)
        table[used : used + len(rows)] = rows
        labels[members] = label + used
        used, start = used + len(rows), end
    return table, labels


def _kmeans(
    vectors: Float[Tensor, "n d"], size: int, generator: torch.Generator
) -> tuple[Float[Tensor, "size d"], Int64[Tensor, "n"]]:
    """Lloyd's algorithm from randomly chosen vectors; centres that nobody is nearest to stay where they are."""
    centers = vectors[torch.randperm(len(vectors), generator=generator)[:size]].clone()
    if size == len(vectors):
        return centers, _nearest(vectors, centers)
    sample = vectors[:: max(1, len(vectors) // (size * 512))]
    for _ in range(_ROUNDS):
        label = _nearest(sample, centers)
        counts = torch.bincount(label, minlength=size)
        sums = torch.zeros_like(centers).index_add_(0, label, sample)
        centers = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp_min(1), centers)
    return centers, _nearest(vectors, centers)


def _nearest(vectors: Float[Tensor, "n d"], centers: Float[Tensor, "k d"]) -> Int64[Tensor, "n"]:
    """Index of the nearest centre, in blocks that stay in the cache; NumPy's argmin is vectorised, torch's is not."""
    half_squares, columns = centers.square().sum(dim=1) / 2, centers.T.contiguous()
    rows = max(1, _CACHED // len(centers))
    block = torch.empty(min(rows, len(vectors)), len(centers))
    label = np.empty(len(vectors), np.int64)
    for part in chunks(len(vectors), rows):
        distances = block[: part.stop - part.start]
        torch.addmm(half_squares, vectors[part], columns, alpha=-1, out=distances)
        distances.numpy().argmin(axis=1, out=label[part])
    return torch.from_numpy(label)
