"""Holes of masks, and their separate parts."""

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["cleaned", "without_small_regions"]


def cleaned(
    mask: npt.NDArray[np.bool_], *, fill_holes: int | bool, min_area: int, largest: bool
) -> npt.NDArray[np.bool_]:
    """Fill holes of a mask (H, W), then drop parts of it. See `Masks.cleaned`."""
    if not mask.size:  # of the box of an empty mask
        return mask
    if fill_holes:
        holes = _enclosed(mask)
        mask = mask | (holes if fill_holes is True else _small(holes, fill_holes)[0])
    if largest:
        return _small(mask, 1)[1]
    return _without_small_parts(mask, min_area) if min_area else mask


def without_small_regions(
    mask: npt.NDArray[np.bool_], area: int
) -> tuple[npt.NDArray[np.bool_], bool]:
    """Fill holes, then remove parts, that are smaller than `area` pixels.

    Neighbours may touch by a corner. If all parts are small, the largest one stays.

    Returns:
        The mask (H, W), and whether it was changed.
    """
    holes, _ = _small(~mask, area)
    filled = mask | holes
    left = _without_small_parts(filled, area)
    return left, bool(holes.any() or (left != filled).any())


def _without_small_parts(mask: npt.NDArray[np.bool_], area: int) -> npt.NDArray[np.bool_]:
    """Without parts smaller than `area`; if all are, the largest one stays."""
    islands, largest = _small(mask, area)
    if islands.any() and (islands == mask).all():
        islands &= ~largest
    return mask & ~islands


def _small(
    mask: npt.NDArray[np.bool_], area: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The connected parts smaller than `area`, and the largest part."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    sizes = stats[:, cv2.CC_STAT_AREA]
    small = sizes < area
    small[0] = False
    largest = labels == (1 + int(sizes[1:].argmax()) if count > 1 else -1)
    return np.asarray(small[labels]), largest


def _enclosed(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The background that does not reach the edge of the image; corners do not connect it."""
    _, labels = cv2.connectedComponents((~mask).view(np.uint8), connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = np.zeros(int(labels.max()) + 1, np.bool_)
    outside[edge] = True
    return np.asarray(~mask & ~outside[labels])
