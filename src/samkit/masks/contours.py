"""Outlines of masks as polygons along the edges of pixels."""

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from samkit.geometry import mask_boxes

Ring: TypeAlias = npt.NDArray[np.float32]
"""(K, 2) xy, not closed by a repeated point."""
Part: TypeAlias = list[Ring]
"""An outer ring and the rings of its holes."""


def outer_contours(
    mask: npt.NDArray[np.bool_], epsilon: float = 0.0, corner: tuple[int, int] = (0, 0)
) -> list[Ring]:
    """Trace the outer contours of a mask (H, W).

    Vertices lie on the corners of pixels: pixel (x, y) is the square from (x, y) to (x+1, y+1), so
    a mask of the whole image gives the ring (0, 0), (0, H), (W, H), (W, 0). With ``epsilon=0`` the
    area of the rings is exactly the number of pixels of the mask with its holes filled. Pixels that
    touch at a corner only belong to one ring. Holes, and what lies in them, are lost.

    Args:
        mask: (H, W) bool.
        epsilon: how far, in pixels, a simplified ring may be from the exact one; 0 keeps every
            corner. A part that would lose all its area keeps every corner too.
        corner: (x, y) of the mask's top left corner, where it is a part of an image.

    Returns:
        One ring (K, 2) float32 xy per part, K >= 3, not closed by a repeated point; the largest
        part first.
    """
    return [part[0] for part in _parts(mask, cv2.RETR_EXTERNAL, epsilon, corner)]


def parts_with_holes(
    mask: npt.NDArray[np.bool_], epsilon: float = 0.0, corner: tuple[int, int] = (0, 0)
) -> list[Part]:
    """Trace the parts of a mask (H, W) with their holes; what lies in a hole is a part again.

    As `outer_contours`, with the rings of the holes after each outer one, the other way round.
    With ``epsilon=0`` the area of the outer rings less that of the holes is the number of pixels.
    """
    return _parts(mask, cv2.RETR_CCOMP, epsilon, corner)


def joined(rings: list[Ring]) -> Ring:
    """Several rings as one (K, 2), for formats that hold a single polygon for each object.

    The first ring's start is joined to that of each other one by a line there and back, which
    covers no area. No rings give (0, 2).
    """
    if len(rings) <= 1:
        return rings[0] if rings else np.zeros((0, 2), np.float32)
    start = rings[0][:1]
    parts = [rings[0], start]
    for ring in rings[1:]:
        parts += [ring, ring[:1], start]
    return np.concatenate(parts)


def area(ring: npt.NDArray[np.generic]) -> float:
    """Area of a ring (K, 2) in square pixels, whichever way round it goes."""
    x, y = ring.astype(np.float64).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _parts(
    mask: npt.NDArray[np.bool_], mode: int, epsilon: float, corner: tuple[int, int]
) -> list[Part]:
    """Parts, the largest first: an outer ring and, if the mode says so, those of its holes."""
    left, top, right, bottom = mask_boxes(mask[None])[0].astype(int).tolist()
    crop = mask[top:bottom, left:right]
    if crop.size == 0:
        return []
    # cv2 puts vertices on the centres of the outermost pixels, which loses half a pixel all round.
    # With each pixel doubled these are at 2x or 2x + 1, which tells its left edge from its right.
    doubled = np.repeat(np.repeat(crop.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, tree = cv2.findContours(doubled, mode, cv2.CHAIN_APPROX_SIMPLE)
    offset = np.array([left + corner[0], top + corner[1]], np.float32)
    parts: dict[int, Part] = {}
    for i, (contour, parent) in enumerate(zip(contours, tree[0, :, 3].tolist(), strict=True)):
        corners = _corners((contour.reshape(-1, 2).astype(np.int32) + 1) // 2)
        ring = _simplified(corners.astype(np.float32) + offset, epsilon)
        # An outer ring comes before its holes only by its number.
        parts.setdefault(i if parent < 0 else parent, []).insert(0 if parent < 0 else 1, ring)
    return sorted(parts.values(), key=lambda part: area(part[0]), reverse=True)


def _corners(points: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Drop repeated points, then those where the ring goes straight on."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    before = points - np.roll(points, 1, axis=0)
    after = np.roll(points, -1, axis=0) - points
    turns: npt.NDArray[np.bool_] = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    corners: npt.NDArray[np.int32] = points[turns]
    return corners


def _simplified(ring: Ring, epsilon: float) -> Ring:
    if epsilon == 0:
        return ring
    simple = cv2.approxPolyDP(ring.reshape(-1, 1, 2), epsilon, True).reshape(-1, 2)
    if len(simple) < 3 or area(simple) == 0:
        return ring
    return simple.astype(np.float32)
