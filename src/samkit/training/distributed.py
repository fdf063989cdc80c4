"""Several processes that train one network, each on its share of every batch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Team", "is_first", "joined", "torchrun_size", "torchrun_team", "under_torchrun"]


@dataclass(frozen=True, kw_only=True)
class Team:
    """A process's place among those that train together; alone by default."""

    rank: int = 0
    size: int = 1

    def average(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their mean over all processes, in place."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


@contextmanager
def joined(meeting: str, *, rank: int, size: int) -> Iterator[Team]:
    """Meet the other processes at a file and share the processor's cores with them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(max(1, (cores or 1) // size))
    cv2.setNumThreads(1)
    dist.init_process_group(
        "gloo", init_method=Path(meeting).absolute().as_uri(), rank=rank, world_size=size
    )
    try:
        yield Team(rank=rank, size=size)
    finally:
        dist.destroy_process_group()


def torchrun_size() -> int:
    """How many processes torchrun has started, or 1."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def under_torchrun() -> bool:
    """Whether torchrun has started this process as one of several."""
    return torchrun_size() > 1 and "RANK" in os.environ


def is_first() -> bool:
    """Whether this process is the one of those started by torchrun that writes files."""
    return not under_torchrun() or os.environ["RANK"] == "0"


@contextmanager
def torchrun_team(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """Meet the processes that torchrun has started -> the team, and this process's device."""
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(rank=dist.get_rank(), size=dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
