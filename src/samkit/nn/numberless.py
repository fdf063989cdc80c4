"""Networks without numbers, into which those of a checkpoint are put."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["without_numbers"]


@contextmanager
def without_numbers() -> Iterator[None]:
    """Modules that are made meanwhile have parameters and buffers on the meta device."""
    with torch.device("meta"), _NothingRandom():
        yield


class _NothingRandom(TorchFunctionMode):
    """Leave out normal random numbers.

    On the meta device those are functions in Python, for which torch imports its compiler: that
    takes a second and 70 MB.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.init.normal_:
            return args[0] if args else kwargs["tensor"]
        if func is torch.randn:
            func = torch.empty
        return func(*args, **kwargs)
