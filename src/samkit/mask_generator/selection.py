"""Which masks are kept."""

import numpy as np
import numpy.typing as npt

__all__ = ["near_inner_edge", "non_maximum_suppression"]

# A mask whose box ends within so many pixels of a crop's edge is taken to be cut off there.
_EDGE = 20


def non_maximum_suppression(
    boxes: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], threshold: float
) -> npt.NDArray[np.int64]:
    """Indices of the boxes that are kept, best first.

    In descending order of scores (of equal ones the first first), a box is kept unless its IoU
    with one that was kept is above the threshold.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
    """
    order = np.argsort(-scores, kind="stable")
    x0, y0, x1, y1 = boxes[order].astype(np.float64).T
    area = (x1 - x0) * (y1 - y0)
    open_ = np.ones(len(order), bool)
    kept = []
    for i in range(len(order)):
        if not open_[i]:
            continue
        kept.append(order[i])
        rest = np.flatnonzero(open_[i + 1 :]) + i + 1
        w = np.minimum(x1[i], x1[rest]) - np.maximum(x0[i], x0[rest])
        h = np.minimum(y1[i], y1[rest]) - np.maximum(y0[i], y0[rest])
        shared = w.clip(0) * h.clip(0)
        union = area[i] + area[rest] - shared
        # Boxes without any area overlap with nothing.
        open_[rest[shared > threshold * union]] = False
    return np.array(kept, np.int64)


def near_inner_edge(
    boxes: npt.NDArray[np.floating],
    crop: tuple[int, int, int, int],
    image_size: tuple[int, int],
) -> npt.NDArray[np.bool_]:
    """(N,): whether a box ends near an edge of the crop that is not near an edge of the image.

    Args:
        boxes: (N, 4) xyxy in the image.
        crop: xyxy.
        image_size: (height, width).
    """
    height, width = image_size
    image = np.array([0, 0, width, height])
    near_crop = np.abs(boxes - np.array(crop)) <= _EDGE
    near_image = np.abs(boxes - image) <= _EDGE
    return np.asarray((near_crop & ~near_image).any(1))
