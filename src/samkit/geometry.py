"""Sizes and windows of images, and the boxes of masks."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from samkit.errors import InputError, shown

__all__ = ["Window", "checked_size", "checked_window", "mask_boxes"]

Window: TypeAlias = tuple[int, int, int, int]
"""A part of an image: xyxy in whole pixels, far edges exclusive."""


def checked_size(value: object, name: str) -> tuple[int, int]:
    """A size (height, width) in pixels; ``name`` is what error messages call it.

    Raises:
        InputError: not two whole numbers of at least 1.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # such as nested lists of different lengths
        array = np.array(None)
    is_size = array.shape == (2,) and array.dtype.kind in "iu" and array.min() >= 1
    # An array of a boolean and a number holds numbers.
    if not is_size or any(isinstance(side, (bool, np.bool_)) for side in value):  # type: ignore[attr-defined]
        raise InputError(
            f"{name}: expected (height, width) in pixels, both at least 1, got {shown(value)}"
        )
    return int(array[0]), int(array[1])


def checked_window(value: object, image_size: tuple[int, int] | None) -> Window:
    """A window (x0, y0, x1, y1) that lies inside an image (H, W), if its size is known.

    Raises:
        InputError: not four whole numbers, reversed or empty, or partly outside of the image.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # such as nested lists of different lengths
        array = np.array(None)
    if array.shape != (4,) or array.dtype.kind not in "iu":
        raise InputError(f"window: expected (x0, y0, x1, y1) in whole pixels, got {shown(value)}")
    x0, y0, x1, y1 = (int(one) for one in array)
    if x0 >= x1 or y0 >= y1:
        raise InputError(
            f"window: expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1, got {(x0, y0, x1, y1)}"
        )
    if image_size is None:
        return x0, y0, x1, y1
    height, width = image_size
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise InputError(
            f"window: expected one inside the image of {width} x {height} pixels (width x height), "
            f"got {(x0, y0, x1, y1)}"
        )
    return x0, y0, x1, y1


def mask_boxes(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The tightest boxes (N, 4) float32 xyxy around masks (N, H, W) bool.

    Right and bottom are exclusive, so a mask of the single pixel (x, y) gives (x, y, x+1, y+1)
    and a full one gives (0, 0, W, H). An empty mask gives zeros.

    Raises:
        InputError: not a bool array of shape (N, H, W).
    """
    if masks.ndim != 3 or masks.dtype != np.bool_:
        raise InputError(
            f"masks: expected bool of shape (N, H, W), got {masks.dtype} of {masks.shape}"
        )
    count, height, width = masks.shape
    boxes = np.zeros((count, 4), np.float32)
    if masks.size == 0:
        return boxes
    columns: NDArray[np.bool_] = np.any(masks, axis=1)
    rows: NDArray[np.bool_] = np.any(masks, axis=2)
    boxes[:, 0] = columns.argmax(axis=1)
    boxes[:, 1] = rows.argmax(axis=1)
    boxes[:, 2] = width - columns[:, ::-1].argmax(axis=1)
    boxes[:, 3] = height - rows[:, ::-1].argmax(axis=1)
    boxes[~np.any(rows, axis=1)] = 0
    return boxes
