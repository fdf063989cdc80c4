"""Soft edges: how much of each pixel a mask covers."""

import cv2
import numpy as np
import numpy.typing as npt

from samkit.geometry import mask_boxes

__all__ = ["soft_alpha"]

# How unlike two sides of an edge in the picture must be for the guided filter to keep it: a
# variance of brightness 0..1.
_EDGE_VARIANCE = 1e-4


def soft_alpha(
    mask: npt.NDArray[np.bool_],
    image: npt.NDArray[np.uint8],
    *,
    feather: float = 0.0,
    refine: int = 0,
) -> npt.NDArray[np.float32]:
    """Opacity of a mask.

    Args:
        mask: (H, W).
        image: (H, W, 3) RGB, which ``refine`` follows.
        feather: width in pixels of the edge, across which the opacity falls from 0.84 to 0.16
            (two standard deviations of a Gaussian); 0 for none.
        refine: how many pixels the outline may move to follow edges of the picture, as hair and
            fur do: the radius of a guided filter (K. He et al., "Guided image filtering", ECCV
            2010, section 3.1), guided by the brightness; 0 for none.

    Returns:
        (H, W) 0..1.
    """
    alpha = mask.astype(np.float32)
    x0, y0, x1, y1 = mask_boxes(mask[None])[0].astype(int).tolist()
    if x1 <= x0 or not (feather or refine):
        return alpha
    # Farther away nothing changes.
    margin = int(np.ceil(2 * feather)) + 2 * refine + 2
    height, width = mask.shape
    part = (
        slice(max(0, y0 - margin), min(height, y1 + margin)),
        slice(max(0, x0 - margin), min(width, x1 + margin)),
    )
    near = alpha[part]
    if refine:
        grey = cv2.cvtColor(np.ascontiguousarray(image[part]), cv2.COLOR_RGB2GRAY)
        near = _guided(near, grey / np.float32(255), refine)
    if feather:
        near = np.asarray(cv2.GaussianBlur(near, (0, 0), feather / 2), np.float32)
    alpha[part] = near
    return alpha


def _guided(
    alpha: npt.NDArray[np.float32], guide: npt.NDArray[np.floating], radius: int
) -> npt.NDArray[np.float32]:
    """In each window the alpha is a linear function of the guide; a pixel has the mean of all."""
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        return np.asarray(cv2.blur(values, window), np.float32)

    of_guide, of_alpha = mean(guide), mean(alpha)
    variance = mean(guide * guide) - of_guide * of_guide
    slope = (mean(guide * alpha) - of_guide * of_alpha) / (variance + _EDGE_VARIANCE)
    offset = of_alpha - slope * of_guide
    return np.clip(mean(slope) * guide + mean(offset), 0, 1)
