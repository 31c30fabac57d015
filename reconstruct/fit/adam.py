"""Adam over tensors that share their first axis, where every row has its own clock.

A splat that a step's view does not show gets no gradient; moving it by old momentum only does harm (Mallick et al.,
Taming 3DGS, 2024, and gsplat's SelectiveAdam leave it out too). Here rows may be left out of a step, and the bias
correction counts each row's own steps, so a splat born late starts as carefully as the first ones.

Source: Kingma and Ba, Adam (2015).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..rasterize.cpu.parallel import kernel, run_parallel
from ..rasterize.cpu.simd import fetch_add

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-15
ROWS_PER_PIECE = 2048


class RowAdam:
    """Parameters by name, each [n, ...], with their moments and each row's number of steps."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = {name: t.detach().clone().contiguous() for name, t in tensors.items()}
        self.first = {name: torch.zeros_like(t) for name, t in self.tensors.items()}
        self.second = {name: torch.zeros_like(t) for name, t in self.tensors.items()}
        first = next(iter(self.tensors.values()))
        self.steps = torch.zeros(len(first), dtype=torch.int32, device=first.device)

    def __len__(self) -> int:
        return len(self.steps)

    def leaves(self, rates: Mapping[str, object]) -> dict[str, Tensor]:
        """The tensors themselves; those with a rate collect gradients."""
        return {name: t.requires_grad_(name in rates) for name, t in self.tensors.items()}

    def step(
        self, rates: Mapping[str, Float[Tensor, "columns"]], rows: Bool[Tensor, "n"] | None = None
    ) -> None:
        """Move along ``.grad``, in place, and clear it.

        Args:
            rates: step size of every column (the flattened trailing axes) of each tensor to move.
            rows: which rows to move; default all.
        """
        rows = torch.ones(len(self), dtype=torch.bool, device=self.steps.device) if rows is None else rows
        self.steps += rows
        update = _update_cpu if self.steps.device.type == "cpu" else _update
        with torch.no_grad():
            for name, rate in rates.items():
                tensor = self.tensors[name]
                if tensor.grad is None:
                    continue
                n = len(self)
                p, g = tensor.reshape(n, -1), tensor.grad.reshape(n, -1)
                m, v = self.first[name].reshape(n, -1), self.second[name].reshape(n, -1)
                update(p, g, m, v, rate.to(tensor), rows, self.steps)
                tensor.grad = None

    def keep(self, index: Bool[Tensor, "n"] | Int[Tensor, "m"]) -> None:
        """Keep only these rows, in this order."""
        for table in (self.tensors, self.first, self.second):
            table.update({name: t.detach()[index].contiguous() for name, t in table.items()})
        self.steps = self.steps[index]

    def append(self, tensors: Mapping[str, Tensor]) -> None:
        """Add rows, with no past."""
        for name, new in tensors.items():
            self.tensors[name] = torch.cat([self.tensors[name].detach(), new])
            for table in (self.first, self.second):
                table[name] = torch.cat([table[name], torch.zeros_like(new)])
        added = len(next(iter(tensors.values())))
        self.steps = torch.cat([self.steps, self.steps.new_zeros(added)])

    def forget(
        self, index: Bool[Tensor, "n"] | Int[Tensor, "m"], names: tuple[str, ...] | None = None
    ) -> None:
        """Clear the moments of some rows (of some tensors); with all tensors, their clocks too."""
        for name in names or tuple(self.tensors):
            self.first[name][index] = 0
            self.second[name][index] = 0
        if names is None:
            self.steps[index] = 0

    def widen(self, name: str, columns: int) -> None:
        """Pad the second axis of a tensor with zeros."""
        for table in (self.tensors, self.first, self.second):
            old = table[name].detach()
            new = old.new_zeros(len(old), columns, *old.shape[2:])
            new[:, : old.shape[1]] = old
            table[name] = new

    def state(self) -> dict[str, Tensor]:
        """Everything, flat, for a checkpoint."""
        tables = {"value": self.tensors, "first": self.first, "second": self.second}
        flat = {f"{table}.{name}": t.detach() for table, ts in tables.items() for name, t in ts.items()}
        return {**flat, "steps": self.steps}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state``."""
        tables = {"value": self.tensors, "first": self.first, "second": self.second}
        for table, tensors in tables.items():
            tensors.update({name: state[f"{table}.{name}"].clone() for name in tensors})
        self.steps = state["steps"].clone()


def _update(p: Tensor, g: Tensor, m: Tensor, v: Tensor, rate: Tensor, rows: Tensor, steps: Tensor) -> None:
    """One step in plain torch; what the kernel below does."""
    clock = steps.clamp_min(1).double()[:, None]
    correction1, correction2 = (1 - BETA1**clock).to(p), (1 - BETA2**clock).to(p)
    new_m = BETA1 * m + (1 - BETA1) * g
    new_v = BETA2 * v + (1 - BETA2) * g * g
    root = (new_v / correction2).sqrt()
    new_p = p - rate * (new_m / correction1) / (root + EPSILON)
    for old, new in ((p, new_p), (m, new_m), (v, new_v)):
        old.copy_(torch.where(rows[:, None], new, old))


def _update_cpu(
    p: Tensor, g: Tensor, m: Tensor, v: Tensor, rate: Tensor, rows: Tensor, steps: Tensor
) -> None:
    arrays = [t.detach().numpy() for t in (p, g.contiguous(), m, v, rate, rows, steps)]
    clock = np.arange(int(steps.max()) + 1 if len(steps) else 1).clip(1)
    corrections = ((1 / (1 - beta**clock)).astype(np.float32) for beta in (BETA1, BETA2))
    run_parallel(_update_rows, *arrays, *corrections)


@kernel
def _update_rows(
    counter: np.ndarray,
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    rate: np.ndarray,
    rows: np.ndarray,
    steps: np.ndarray,
    corrections1: np.ndarray,
    corrections2: np.ndarray,
) -> None:
    one = np.float32(1)
    b1, b2, epsilon = np.float32(BETA1), np.float32(BETA2), np.float32(EPSILON)
    n, columns = p.shape
    while True:
        start = fetch_add(counter) * ROWS_PER_PIECE
        if start >= n:
            break
        for i in range(start, min(start + ROWS_PER_PIECE, n)):
            if not rows[i]:
                continue
            c1, c2 = corrections1[steps[i]], corrections2[steps[i]]
            for j in range(columns):
                x = g[i, j]
                mj = b1 * m[i, j] + (one - b1) * x
                vj = b2 * v[i, j] + (one - b2) * x * x
                m[i, j] = mj
                v[i, j] = vj
                p[i, j] -= rate[j] * (mj * c1) / (np.float32(math.sqrt(vj * c2)) + epsilon)
