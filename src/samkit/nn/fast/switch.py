"""Whether fast forms are used, and how to turn them off."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

__all__ = ["fast_on_cpu", "few_at_a_time", "plain"]

_PLAIN = ContextVar("plain", default=False)


@contextmanager
def plain() -> Iterator[None]:
    """Turn all fast forms off in this thread (or asynchronous task)."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def fast_on_cpu(x: Tensor) -> bool:
    """Whether to use fast forms for x: on a CPU, without gradients, and not in `plain`.

    Never while a graph is traced, which may run on other devices and with other sizes.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined]
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and not _PLAIN.get()
    )


def few_at_a_time(batch: Tensor, count: int) -> Iterator[slice]:
    """Slices of the first axis: `count` at a time, to fit a CPU's cache; in the plain form, all."""
    if not fast_on_cpu(batch):
        yield slice(None)
        return
    for start in range(0, max(1, len(batch)), count):
        yield slice(start, start + count)
