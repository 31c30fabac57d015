"""One process or several (torchrun): ranks, devices, precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """Where this process stands among those that train together."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model on this process's device, its gradients averaged over all processes."""
        model = model.to(self.device)
        if self.count == 1:
            return model
        return DistributedDataParallel(model, find_unused_parameters=True)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a detached scalar over all processes."""
        if self.count == 1:
            return value
        value = value.detach().clone()
        torch.distributed.all_reduce(value)
        return value / self.count


@contextmanager
def join_processes(device: torch.device | str = "cpu") -> Iterator[Processes]:
    """Join the group that torchrun announces through ``RANK`` and ``WORLD_SIZE``; alone if it announces none.

    Args:
        device: ``cuda`` means this process's own GPU (``LOCAL_RANK``). NCCL is used there, gloo otherwise.
    """
    device = torch.device(device)
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if device.type == "cuda" and count > 1:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if count == 1:
        yield Processes(0, 1, device)
        return
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, device)
    finally:
        torch.distributed.destroy_process_group()


def bf16_helps(device: torch.device | str) -> bool:
    """Whether bf16 autocast is faster here: GPUs, and CPUs with bf16 instructions.

    Without the instructions (AVX2 only) a bf16 linear layer was measured 20 times slower than fp32.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(device: torch.device | str, *, bf16: bool) -> AbstractContextManager[object]:
    """bf16 autocast on the device, or nothing."""
    if not bf16:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
