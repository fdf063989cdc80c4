"""Simulated clicks, as the SAM papers place them (2304.02643, appendix D.1)."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.evaluation.metrics import BoolArray

__all__ = ["farthest_point", "next_click"]


def farthest_point(region: npt.NDArray[Any]) -> tuple[int, int]:
    """The pixel (x, y) of a region that is farthest from the region's boundary.

    The image's border counts as boundary. Of several such pixels the first in reading order is
    taken.

    Args:
        region: (H, W) bool.

    Raises:
        InputError: the region is empty or not two-dimensional.

    >>> farthest_point(np.pad(np.ones((3, 5), bool), 1))
    (2, 2)
    """
    if region.ndim != 2:
        raise InputError(f"expected a region (H, W), got shape {region.shape}")
    if not region.any():
        raise InputError("expected a region of at least one pixel, got an empty one")
    padded = np.pad(region.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # Squares are whole numbers; OpenCV's last digits change from one call to the next.
    y, x = divmod(int(np.rint(distance.astype(np.float64) ** 2).argmax()), region.shape[1])
    return x, y


def next_click(
    predicted: BoolArray, target: BoolArray, ignore: BoolArray | None = None
) -> tuple[int, int, int] | None:
    """The click (x, y, label) at the centre of the largest error region, or None without errors.

    Missed and exceeding pixels are two kinds of regions; the largest connected one of either kind
    is clicked, with label 1 (foreground) or 0 (background). All arrays are (H, W).
    """
    regions = []
    for label, error in ((1, target & ~predicted), (0, predicted & ~target)):
        if ignore is not None:
            error = error & ~ignore
        _, parts, stats, _ = cv2.connectedComponentsWithStats(error.astype(np.uint8))
        areas = stats[1:, cv2.CC_STAT_AREA]
        if len(areas):
            largest = int(areas.argmax())
            regions.append((int(areas[largest]), label, parts == largest + 1))
    if not regions:
        return None
    _, label, region = max(regions, key=lambda item: item[:2])
    return (*farthest_point(region), label)
