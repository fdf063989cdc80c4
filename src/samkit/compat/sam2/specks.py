"""Small holes and specks of mask logits."""

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["without_specks"]


def without_specks(
    logits: NDArray[np.float32],
    *,
    holes: float,
    specks: float = 0.0,
    threshold: float = 0.0,
    beyond: float,
) -> NDArray[np.float32]:
    """Logits (N, h, w) with small holes filled and small parts removed.

    Cells belong together where they touch, also by a corner.

    Args:
        logits: not changed.
        holes: of at most so many cells get a logit of `threshold` + `beyond`.
        specks: parts of at most so many cells get a logit of `threshold` - `beyond`.
        threshold: cells with a logit above it are in the mask.
        beyond: above 0.
    """
    result = logits.copy()
    for new, one in zip(result, logits, strict=True):
        new[_small(one <= threshold, holes)] = threshold + beyond
        new[_small(one > threshold, specks)] = threshold - beyond
    return result


def _small(mask: NDArray[np.bool_], area: float) -> NDArray[np.bool_]:
    """The connected parts of a mask of at most `area` cells."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] <= area
    small[0] = False  # what is not in the mask
    return np.asarray(small[labels])
