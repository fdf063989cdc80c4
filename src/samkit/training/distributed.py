"""Data-parallel training: several processes train one network, each on its share of each batch."""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.distributed as dist
from torch import Tensor

from samkit.errors import SamkitError

__all__ = ["Worker", "is_main_process", "torchrun_world_size", "worker_group"]


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process of data-parallel training; by default the only one."""

    rank: int = 0
    world_size: int = 1

    def all_reduce_mean(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their mean over all processes, in place."""
        if self.world_size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world_size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def torchrun_world_size() -> int:
    """The number of processes that torchrun started together with this one, or 1."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_main_process() -> bool:
    """Whether this process writes the files; torchrun starts others that do not."""
    return torchrun_world_size() == 1 or os.environ["RANK"] == "0"


@contextmanager
def worker_group(
    processes: int, device: torch.device, target: Callable[..., object], arguments: tuple[Any, ...]
) -> Iterator[tuple[Worker, torch.device]]:
    """Join the processes that train together -> this worker, and its device.

    Under torchrun these are its processes. Otherwise this process starts `processes` - 1 others on
    the CPU, which run `target(worker, *arguments)`.
    """
    if torchrun_world_size() > 1:
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        with _process_group("nccl" if device.type == "cuda" else "gloo") as worker:
            yield worker, device
        return
    if processes < 2:
        yield Worker(), device
        return
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        rendezvous = (Path(folder).absolute() / "rendezvous").as_uri()
        others = [
            context.Process(
                target=_run, args=(rendezvous, rank, processes, target, *arguments), daemon=True
            )
            for rank in range(1, processes)
        ]
        for other in others:
            other.start()
        try:
            with _cpu_group(rendezvous, 0, processes) as worker:
                yield worker, device
                for other in others:
                    other.join()
        except RuntimeError as error:  # as gloo says it
            for rank, other in enumerate(others, 1):
                other.join(timeout=1)
                if other.exitcode:
                    raise SamkitError(
                        f"process {rank} ended with {other.exitcode}, perhaps for want of memory"
                    ) from error
            raise
        finally:
            for other in others:
                other.terminate()
                other.join()
            torch.set_num_threads(threads)


def _run(
    rendezvous: str, rank: int, world_size: int, target: Callable[..., object], *arguments: Any
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends this one
    try:
        with _cpu_group(rendezvous, rank, world_size) as worker:
            target(worker, *arguments)
    except SamkitError as error:  # the main process mostly fails with the same error
        raise SystemExit(f"process {rank}: {error}") from None


@contextmanager
def _cpu_group(rendezvous: str, rank: int, world_size: int) -> Iterator[Worker]:
    """Join processes that share the cores of the CPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(max(1, (cores or 1) // world_size))
    cv2.setNumThreads(1)
    with _process_group("gloo", rendezvous, rank, world_size) as worker:
        yield worker


@contextmanager
def _process_group(
    backend: str, rendezvous: str | None = None, rank: int = -1, world_size: int = -1
) -> Iterator[Worker]:
    """Join a process group; torchrun's, unless the other arguments are given."""
    dist.init_process_group(backend, init_method=rendezvous, rank=rank, world_size=world_size)
    try:
        yield Worker(rank=dist.get_rank(), world_size=dist.get_world_size())
    finally:
        dist.destroy_process_group()
