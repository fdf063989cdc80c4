"""How well outlines agree: the boundary measure F of DAVIS (Perazzi et al., CVPR 2016)."""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.evaluation.metrics import BoolArray

__all__ = ["boundary_f", "boundary_pixels"]

# Outlines agree where they are this close, as a fraction of the image's diagonal.
_TOLERANCE = 0.008


def boundary_pixels(mask: BoolArray) -> BoolArray:
    """Pixels of (H, W) that differ from their right, lower or lower right neighbour."""
    boundary = np.zeros(mask.shape, np.bool_)
    boundary[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    boundary[:-1] |= mask[:-1] != mask[1:]
    boundary[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return boundary


def boundary_f(predicted: BoolArray, target: BoolArray, ignore: BoolArray | None = None) -> float:
    """F of a mask's outline: the harmonic mean of precision and recall of its boundary pixels.

    A boundary pixel is matched when the other outline is within 0.8% of the diagonal.

    Args:
        predicted, target: (H, W) bool.
        ignore: (H, W) bool, pixels that belong to neither mask.

    Returns:
        0..1; 1 where neither mask has an outline, 0 where only one has.

    Raises:
        InputError: the masks have different sizes, or are not (H, W).
    """
    if predicted.shape != target.shape or target.ndim != 2:
        raise InputError(
            f"expected two masks (H, W) of one size, got {predicted.shape} and {target.shape}"
        )
    if ignore is not None:
        predicted, target = predicted & ~ignore, target & ~ignore
    outline, truth = boundary_pixels(predicted), boundary_pixels(target)
    if not outline.any() or not truth.any():
        return float(outline.any() == truth.any())
    radius = math.ceil(_TOLERANCE * math.hypot(*target.shape))
    precision = float((outline & _dilated(truth, radius)).sum() / outline.sum())
    recall = float((truth & _dilated(outline, radius)).sum() / truth.sum())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _dilated(pixels: BoolArray, radius: int) -> npt.NDArray[Any]:
    steps = np.arange(-radius, radius + 1)
    disc = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)
    return cv2.dilate(pixels.astype(np.uint8), disc).astype(np.bool_)
