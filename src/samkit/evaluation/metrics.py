"""How well masks agree."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError

__all__ = ["BoolArray", "bounding_box", "mask_iou"]

BoolArray: TypeAlias = npt.NDArray[np.bool_]
"""One mask (H, W), or several."""


def mask_iou(
    predicted: BoolArray, target: BoolArray, ignore: BoolArray | None = None
) -> npt.NDArray[np.float64]:
    """Intersection over union of masks, pair by pair.

    Args:
        predicted, target: (..., H, W) bool, of shapes that broadcast.
        ignore: (H, W) bool, pixels that do not count.

    Returns:
        (...) in 0..1; 1 where both masks are empty.

    Raises:
        InputError: the masks have different sizes, or are not bool.

    >>> a = np.array([[True, True, False]])
    >>> b = np.array([[False, True, True]])
    >>> round(float(mask_iou(a, b)), 3)
    0.333
    >>> float(mask_iou(a, b, ignore=np.array([[True, False, False]])))
    0.5
    """
    for name, mask in (("predicted", predicted), ("target", target), ("ignore", ignore)):
        if mask is None:
            continue
        if mask.dtype != np.bool_:
            raise InputError(f"{name}: expected masks of bool, got {mask.dtype}")
        if mask.ndim < 2 or mask.shape[-2:] != target.shape[-2:]:
            raise InputError(
                f"{name}: expected masks of size {target.shape[-2:]}, got shape {mask.shape}"
            )
    if ignore is not None:
        predicted, target = predicted & ~ignore, target & ~ignore
    intersection = np.count_nonzero(predicted & target, axis=(-2, -1))
    union = np.count_nonzero(predicted | target, axis=(-2, -1))
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)


def bounding_box(mask: BoolArray) -> tuple[int, int, int, int]:
    """The smallest box (x0, y0, x1, y1) around a mask (H, W), in pixels, the far edges exclusive.

    Raises:
        InputError: the mask is empty.

    >>> bounding_box(np.array([[False, True, True], [False, False, False]]))
    (1, 0, 3, 1)
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        raise InputError("expected a mask of at least one pixel, got an empty one")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
