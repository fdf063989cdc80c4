"""Boxes as arrays. Boxes are (N, 4) xyxy in pixels; (0, 0, W, H) covers a whole image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samkit.errors import InputError

__all__ = ["box_area", "box_iou", "clip_boxes", "mask_boxes"]


def box_area(boxes: ArrayLike) -> NDArray[np.float64]:
    """Areas (N,) of boxes (N, 4) in square pixels; 0 for a box with swapped corners.

    Raises:
        InputError: the shape is not (N, 4).
    """
    x0, y0, x1, y1 = _boxes(boxes).T
    area: NDArray[np.float64] = np.maximum(x1 - x0, 0) * np.maximum(y1 - y0, 0)
    return area


def box_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union (N, M), from 0 to 1, of boxes ``a`` (N, 4) and ``b`` (M, 4).

    It is 0 where both boxes are empty.

    Raises:
        InputError: a shape is not (N, 4).
    """
    first, second = _boxes(a), _boxes(b)
    left, top = (np.maximum.outer(first[:, i], second[:, i]) for i in (0, 1))
    right, bottom = (np.minimum.outer(first[:, i], second[:, i]) for i in (2, 3))
    shared = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    union = np.add.outer(box_area(first), box_area(second)) - shared
    iou: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def clip_boxes(boxes: ArrayLike, size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes (N, 4) float32 cut to an image of ``size`` (H, W); the input is not changed.

    A box outside the image becomes an empty one at its border.

    Raises:
        InputError: the shape is not (N, 4).
    """
    height, width = size
    return np.clip(_boxes(boxes), 0, (width, height, width, height)).astype(np.float32)


def mask_boxes(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The tightest boxes (N, 4) float32 around masks (N, H, W) bool.

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


def _boxes(value: ArrayLike) -> NDArray[np.float64]:
    # float64: areas and their differences lose whole pixels in float32 on large images.
    array: NDArray[np.float64] = np.asarray(value, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(f"boxes: expected shape (N, 4), got {array.shape}")
    return array
