"""Arrays from whatever a caller gives."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samkit.errors import InputError, PromptError

__all__ = ["array_of", "numbers"]


def array_of(value: ArrayLike, name: str) -> NDArray[Any]:
    """As an array.

    Raises:
        InputError: it is none, such as nested lists of different lengths.
    """
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: expected an array of numbers ({error})") from error


def numbers(value: ArrayLike, name: str) -> NDArray[np.float32]:
    """As an array of finite float32 numbers.

    Raises:
        InputError: it is something else.
    """
    array = array_of(value, name)
    if array.dtype.kind not in "biuf" and array.size:
        raise PromptError(f"{name}: expected numbers, got {array.dtype}")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise PromptError(f"{name}: expected finite numbers, got NaN or infinity")
    return array
