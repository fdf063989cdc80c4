"""Checks of values for N masks; what passes is read-only."""

from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError, shown
from samkit.geometry import checked_size

_LARGE = 1e9  # no image is so large

_Item = TypeVar("_Item")
_Array = TypeVar("_Array", bound=npt.NDArray[Any])


def mask_stack(value: object) -> npt.NDArray[np.bool_]:
    """Check masks (N, H, W). A read-only bool array is returned itself, any other is copied."""
    array = _array("masks", value)
    if array.ndim != 3:
        hint = ": use mask[None] for a single one" if array.ndim == 2 else ""
        raise InputError(f"expected masks of shape (N, H, W), got {array.shape}{hint}")
    checked_size(array.shape[1:], "image size")
    if array.dtype != np.bool_:
        if not np.issubdtype(array.dtype, np.integer):
            raise InputError(
                f"expected masks of bool, got {array.dtype}: use logits > 0 or values > 0.5"
            )
        if array.size and (array.min() < 0 or array.max() > 1):
            raise InputError(
                f"expected masks of bool or of 0 and 1, got {array.dtype} from "
                f"{array.min()} to {array.max()}: use values > 0"
            )
    elif not array.flags.writeable:
        return array
    return frozen(array.astype(np.bool_, order="C"))


def each(what: str, values: Iterable[_Item]) -> Iterator[_Item]:
    """Check that there are several values."""
    try:
        if not isinstance(values, (str, bytes, Mapping)):
            return iter(values)
    except TypeError:  # an array of no axis too, which has __iter__
        pass
    raise InputError(f"expected a list of {what}, got {type(values).__name__}")


def floats(name: str, value: object, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Check finite numbers of a shape."""
    array = numbers(name, value)
    if array.shape != shape:
        raise InputError(f"expected {name} of shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"expected {name} to be finite, got NaN or infinity")
    return array


def number(name: str, value: Any, *, most: float | None) -> float:
    """Check a finite number from 0 to `most`, if there is one; far larger ones become `_LARGE`."""
    is_real = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if not is_real or not 0 <= value < float("inf") or (most is not None and value > most):
        raise InputError(
            f"{name}: expected a number from 0 {'on' if most is None else f'to {most}'}, "
            f"got {shown(value)}"
        )
    return float(min(value, _LARGE))


def logits(value: object | None, count: int) -> npt.NDArray[np.float32] | None:
    """Check logits (N, h, w), h and w at least 1, or None."""
    if value is None:
        return None
    array = numbers("logits", value)
    if array.ndim != 3 or array.shape[0] != count or 0 in array.shape[1:]:
        raise InputError(f"expected logits of shape ({count}, h, w), got {array.shape}")
    return array


def identifiers(name: str, value: object | None, count: int) -> npt.NDArray[np.int64]:
    """Check integers (N,); None gives 0, 1, 2, ..."""
    array = np.arange(count) if value is None else _array(name, value)
    if array.shape != (count,):
        raise InputError(f"expected {name} of shape ({count},), got {array.shape}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"expected {name} of integers, got {array.dtype}")
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"expected {name} of 64-bit integers, got {array.max()}")
    return frozen(array.astype(np.int64))


def texts(name: str, value: object, count: int) -> npt.NDArray[np.str_]:
    """Check texts (N,)."""
    array = _array(name, value)
    if array.shape != (count,) or (count and array.dtype.kind != "U"):
        raise InputError(
            f"expected {name} of shape ({count},) of texts, got {array.shape} of {array.dtype}"
        )
    return frozen(array.astype(np.str_))


def frozen(array: _Array) -> _Array:
    """Make an array read-only and return it."""
    array.flags.writeable = False
    return array


def positions(index: object, count: int) -> npt.NDArray[np.int64]:
    """Turn an index (int, slice, bool array or int array) into positions 0..N-1.

    Raises:
        IndexError: out of range, of another type, or a bool array of another length.
    """
    every = np.arange(count, dtype=np.int64)
    if isinstance(index, slice):
        try:
            return every[index]
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # a step of 0
            raise IndexError(f"cannot index {count} masks with {shown(index)}: {error}") from error
    try:
        array = np.asarray(index, np.int64 if isinstance(index, list) and not index else None)
        at = np.atleast_1d(every[array])
    except (
        IndexError,
        TypeError,
        ValueError,
        RuntimeError,
        OverflowError,
    ) as error:  # ragged lists
        raise IndexError(f"cannot index {count} masks with {shown(index)}: {error}") from error
    unfit = array.dtype == np.bool_ and array.size != count  # none at all, which numpy takes
    if isinstance(index, tuple) or at.ndim > 1 or unfit:
        raise IndexError(
            f"expected an int, a slice, or a bool or int array to index {count} masks, "
            f"got {shown(index)}"
        )
    return at


def _array(name: str, value: object) -> npt.NDArray[Any]:
    if np.ma.is_masked(value):
        raise InputError(f"expected {name} without masked values; give array.filled(...)")
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        # Ragged lists; tensors of another device or with a gradient.
        raise InputError(f"expected {name} as an array of numbers: {error}") from error


def numbers(name: str, value: object) -> npt.NDArray[np.float32]:
    """Check real numbers of any shape."""
    array = _array(name, value)
    if array.size and not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise InputError(f"expected {name} as an array of numbers, got {array.dtype}")
    if np.iscomplexobj(array):
        raise InputError(f"expected {name} as an array of real numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        return frozen(array.astype(np.float32))
