"""What a user gives to arrays of a prompt, checked."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from samkit.errors import PromptError
from samkit.prompts.words import describe, show_number, show_numbers

# No image is as large; beyond it, arithmetic on float32 coordinates overflows.
_MAX_COORDINATE = 1e9


def as_array(value: object, what: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise PromptError(
            f"{what}: expected an array of numbers, got {describe(value)} ({error})"
        ) from error


def _numbers(value: object, what: str) -> NDArray[Any]:
    """As an array of real numbers; an empty one of any type passes."""
    array = as_array(value, what)
    if array.size and array.dtype.kind not in "iuf":
        raise PromptError(f"{what}: expected real numbers, got dtype {array.dtype}")
    return array


def coordinates(value: object, what: str) -> NDArray[np.float32]:
    array = _numbers(value, what)
    array = _finite_float32(array if array.size else array.astype(np.float32), what)
    if array.size and np.abs(array).max() > _MAX_COORDINATE:
        raise PromptError(
            f"{what}: expected pixels of at most {_MAX_COORDINATE:.0e}, "
            f"got {np.abs(array).max():.0e}"
        )
    return array


def _finite_float32(array: NDArray[Any], what: str) -> NDArray[np.float32]:
    """A new float32 array, without the -0.0 that would make equal values differ in bytes."""
    with np.errstate(over="ignore", invalid="ignore"):
        copy = np.asarray(np.array(array, np.float32, order="C") + np.float32(0))
    bad = ~np.isfinite(copy)
    if bad.any():
        raise PromptError(
            f"{what}: expected finite float32 numbers, "
            f"got {int(bad.sum())} of {copy.size} that are not, the first is {array[bad].flat[0]}"
        )
    return copy


def labels(value: object, count: int) -> NDArray[np.int32]:
    array = as_array(value, "point labels")
    if array.shape != (count,):
        raise PromptError(
            f"point labels: expected shape ({count},), one label for each point, got {array.shape}"
        )
    if array.size and array.dtype.kind not in "biuf":
        raise PromptError(f"point labels: expected integers, got dtype {array.dtype}")
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise PromptError(
            f"point labels: expected 1 (foreground) or 0 (background), got {wrong[0]}"
        )
    return array.astype(np.int32)


def box(value: object) -> NDArray[np.float32]:
    box = coordinates(value, "box")
    if box.shape != (4,):
        raise PromptError(
            f"box: expected shape (4,) as x0, y0, x1, y1, got {box.shape}; one prompt has one box"
        )
    x0, y0, x1, y1 = box
    swapped = []
    if x0 > x1:
        swapped.append(f"x0 {show_number(x0)} is right of x1 {show_number(x1)}")
    if y0 > y1:
        swapped.append(f"y0 {show_number(y0)} is below y1 {show_number(y1)}")
    if swapped:
        raise PromptError(
            f"box: corners are swapped, {' and '.join(swapped)}; "
            "expected x0, y0, x1, y1 with x0 < x1 and y0 < y1 (not x, y, width, height)"
        )
    if x0 == x1 or y0 == y1:
        empty = " and ".join(
            name for name, none in (("width", x0 == x1), ("height", y0 == y1)) if none
        )
        raise PromptError(
            f"box: expected x0 < x1 and y0 < y1, got ({show_numbers(box)}), whose {empty} is 0"
        )
    return box


def _check_mask_shape(array: NDArray[Any]) -> None:
    if array.ndim != 2:
        raise PromptError(
            f"mask: expected shape (H, W), got {array.shape}; one prompt has one mask"
        )
    if array.size == 0:
        raise PromptError(f"mask: expected at least one pixel, got shape {array.shape}")


def mask_field(value: object) -> NDArray[np.bool_] | NDArray[np.float32]:
    array = as_array(value, "mask")
    _check_mask_shape(array)
    if array.dtype == np.bool_:
        # PIL's mode "1" comes as bools whose byte is 255: made 1, or equal masks would differ.
        inside: NDArray[np.bool_] = np.ascontiguousarray(array).view(np.uint8) != 0
        return inside
    if array.dtype == np.float32:
        return _finite_float32(array, "mask")
    raise PromptError(
        f"mask_input: expected dtype bool or float32, got {array.dtype}; Prompt.mask converts"
    )


def read_mask(array: NDArray[Any]) -> NDArray[np.bool_] | NDArray[np.float32]:
    _check_mask_shape(array)
    kind = array.dtype.kind
    if kind == "b":
        return array
    if kind in "iu":
        return _binary_from_integers(array)
    if kind == "f":
        logits = _finite_float32(array, "mask")
        binary = np.logical_or(logits == 0, logits == 1).all()
        return logits == 1 if binary else logits
    raise PromptError(f"mask: expected dtype bool, integer or float, got {array.dtype}")


def _binary_from_integers(array: NDArray[Any]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = array != 0
    top = array.max()
    if array.min() < 0 or (inside.any() and not np.array_equal(inside, array == top)):
        values = np.unique(array)
        shown = ", ".join(str(v) for v in values[:5]) + (", ..." if len(values) > 5 else "")
        raise PromptError(
            "mask: expected integers that are all 0 or one positive value, "
            f"got {len(values)} values ({shown}); of a label map choose one object, "
            f"Prompt.mask(array == {top}); give logits as floats"
        )
    return inside
