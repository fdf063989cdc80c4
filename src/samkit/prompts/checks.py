"""Values from outside to the arrays of a prompt, checked."""

import base64
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samkit import rle
from samkit.errors import InputError, PromptError, shown
from samkit.limits import check_image_size

# No image is as large; beyond it, arithmetic on float32 coordinates overflows.
_MAX_COORDINATE = 1e9
_MASK_KEYS = ({"size", "counts"}, {"size", "logits"})


def describe(value: object) -> str:
    """A value in an error message: its type and shape."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if isinstance(value, (list, tuple)) and value:
        return f"{type(value).__name__} of {type(value[0]).__name__}"
    return type(value).__name__


def show_numbers(*values: Any) -> str:
    """Numbers in an error message: whole ones without a decimal point."""
    return ", ".join(str(value).removesuffix(".0") for value in values)


def as_array(value: object, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # of damaged pictures that Pillow has not decoded, nearly anything
        raise PromptError(
            f"{what}: expected an array of numbers, got {describe(value)} ({error})"
        ) from error
    if np.ma.is_masked(value):
        raise PromptError(f"{what}: expected no masked values; give array.filled(...)")
    return array


def coordinates(value: object, what: str) -> NDArray[np.float32]:
    """A new array of pixels, of any shape; an empty one may have any type."""
    array = as_array(value, what)
    if not array.size:
        return np.zeros(array.shape, np.float32)
    if array.dtype.kind not in "iuf":
        raise PromptError(f"{what}: expected real numbers, got {shown(value)} ({array.dtype})")
    array = _finite_float32(array, what)
    if np.abs(array).max() > _MAX_COORDINATE:
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


def labels(value: object, count: int, of: str = "point") -> NDArray[np.int32]:
    array = as_array(value, f"{of} labels")
    if array.shape != (count,):
        raise PromptError(
            f"{of} labels: expected shape ({count},), one label for each {of}, got {array.shape}"
        )
    if array.size and array.dtype.kind not in "biuf":
        raise PromptError(f"{of} labels: expected integers, got dtype {array.dtype}")
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise PromptError(f"{of} labels: expected 1 (foreground) or 0 (background), got {wrong[0]}")
    return array.astype(np.int32)


def box(value: object) -> NDArray[np.float32]:
    box = coordinates(value, "box")
    if box.shape != (4,):
        raise PromptError(
            f"box: expected shape (4,) as x0, y0, x1, y1, got {box.shape}; one prompt has one box"
        )
    x0, y0, x1, y1 = box
    swapped = [
        f"{axis}0 {show_numbers(low)} is {where} {axis}1 {show_numbers(high)}"
        for axis, low, high, where in (("x", x0, x1, "right of"), ("y", y0, y1, "below"))
        if low > high
    ]
    if swapped:
        raise PromptError(
            f"box: corners are swapped, {' and '.join(swapped)}; "
            "expected x0, y0, x1, y1 with x0 < x1 and y0 < y1 (not x, y, width, height)"
        )
    empty = [side for side, low, high in (("width", x0, x1), ("height", y0, y1)) if low == high]
    if empty:
        raise PromptError(
            f"box: expected x0 < x1 and y0 < y1, got ({show_numbers(*box)}), "
            f"whose {' and '.join(empty)} is 0"
        )
    return box


def mask_field(value: object) -> NDArray[np.bool_] | NDArray[np.float32]:
    """For `Prompt.mask_input`: a bool mask or float32 logits."""
    array = _mask_array(value)
    if array.dtype == np.bool_:
        # PIL's mode "1" comes as bools whose byte is 255: made 1, or equal masks would differ.
        inside: NDArray[np.bool_] = np.ascontiguousarray(array).view(np.uint8) != 0
        return inside
    if array.dtype.newbyteorder("=") == np.float32:
        return _finite_float32(array, "mask")
    raise PromptError(
        f"mask_input: expected dtype bool or float32, got {array.dtype}; Prompt.mask converts"
    )


def read_mask(value: object) -> NDArray[np.bool_] | NDArray[np.float32]:
    """For `Prompt.mask`: a mask of any type, binary or logits."""
    array = _mask_array(value)
    kind = array.dtype.kind
    if kind == "b":
        return array
    if kind == "f":
        return _mask_of_floats(_finite_float32(array, "mask"))
    if kind not in "iu":
        raise PromptError(f"mask: expected dtype bool, integer or float, got {array.dtype}")
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


def _mask_of_floats(array: NDArray[np.float32]) -> NDArray[np.bool_] | NDArray[np.float32]:
    """See `Prompt.mask`."""
    if array.min() < 0:
        return array
    inside: NDArray[np.bool_] = array > 0
    top = array.max()
    if top == 0 or (top >= 1 and np.array_equal(inside, array == top)):
        return inside
    raise PromptError(
        "mask: expected floats that are all 0 or one value from 1 on (binary), or logits, some of "
        f"which are negative, got {array[inside].min():g} to {top:g}; of probabilities write "
        "Prompt.mask(array > 0.5), of grey values Prompt.mask(array > 127), and for logits without "
        "any background Prompt(mask_input=np.float32(array))"
    )


def _mask_array(value: object) -> NDArray[Any]:
    if isinstance(value, (str, bytes, os.PathLike)):
        raise PromptError(
            f"mask: expected an array (H, W), got {shown(value)}; of a file write "
            "Prompt.mask(PIL.Image.open(path))"
        )
    array = as_array(value, "mask")
    if array.ndim != 2:
        raise PromptError(
            f"mask: expected shape (H, W), got {array.shape}; one prompt has one mask"
        )
    if array.size == 0:
        raise PromptError(f"mask: expected at least one pixel, got shape {array.shape}")
    check_image_size(array.shape[0], array.shape[1], "mask", PromptError)
    return array


def mask_from_dict(values: object) -> NDArray[np.bool_] | NDArray[np.float32]:
    """The mask that `Prompt.to_dict` wrote as run lengths or logits."""
    if not isinstance(values, Mapping) or set(values) not in _MASK_KEYS:
        got = f"keys {list(values)!r:.80}" if isinstance(values, Mapping) else describe(values)
        raise PromptError(f"mask: expected a dict with size, and counts or logits, got {got}")
    size = values["size"]
    is_pair = isinstance(size, (list, tuple)) and len(size) == 2
    if not is_pair or not all(type(side) is int and side > 0 for side in size):
        raise PromptError("mask: expected size [height, width] of whole numbers from 1 on")
    height, width = size
    check_image_size(height, width, "mask", PromptError)
    if "counts" in values:
        try:
            counts = rle.checked_counts(values, (height, width), "the mask")
        except InputError as error:
            raise PromptError(f"mask: {error}") from error
        return rle.decode_one(counts, (height, width))
    try:
        data = base64.b64decode(values["logits"], validate=True)
    except (TypeError, ValueError) as error:
        raise PromptError(f"mask: expected logits as base64 ({error})") from error
    if len(data) != height * width * 4:
        raise PromptError(
            f"mask: expected logits of {height} x {width} float32 numbers, got {len(data)} bytes"
        )
    return np.frombuffer(data, "<f4").reshape(height, width).astype(np.float32)
