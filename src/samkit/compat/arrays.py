"""Arrays from what a caller gives."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samkit.errors import InputError, PromptError

__all__ = ["array_of", "finite_numbers"]


def array_of(value: Any, name: str, error: type[InputError] = PromptError) -> NDArray[Any]:
    """A new array of the values of an array, tensor or nested lists.

    Raises:
        error: it is none of these, such as nested lists of different lengths.
    """
    if np.ma.is_masked(value):
        raise error(f"{name}: expected no masked values; give array.filled(...)")
    try:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            value = (value.float() if value.is_floating_point() else value).numpy()
        return np.array(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as reason:
        raise error(f"{name}: expected an array of numbers ({reason})") from reason


def finite_numbers(value: Any, name: str) -> NDArray[np.float32]:
    """A new array of finite float32 numbers; it may be empty.

    Raises:
        PromptError: it is something else.
    """
    array = array_of(value, name)
    if array.dtype.kind not in "biuf" and array.size:
        raise PromptError(f"{name}: expected numbers, got {array.dtype}")
    array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise PromptError(f"{name}: expected finite numbers, got NaN or infinity")
    return array
