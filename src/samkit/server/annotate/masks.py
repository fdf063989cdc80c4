"""The mask of what was clicked and painted."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.image_predictor import ImageEmbedding, ImagePredictor
from samkit.masks import Masks
from samkit.prompts import Prompt
from samkit.server.annotate.sidecars import Stroke

__all__ = ["masks_of_steps", "painted"]

# Binary digits of a pixel's parts in coordinates of strokes.
_SHIFT = 4
# Pixels that all strokes may cover, counted at each of their points: some seconds.
_MOST_PAINTED = 2**34


def masks_of_steps(
    predictor: ImagePredictor,
    embedding: ImageEmbedding,
    steps: Sequence[Prompt],
    *,
    candidates: int = 1,
) -> Masks:
    """The masks of prompts about one object, each of which refines what those before gave.

    Args:
        predictor, embedding: of the photograph.
        steps: at least one.
        candidates: how many masks for the last one.

    Raises:
        InputError: there are no steps, or they cannot be joined.
    """
    if not steps:
        raise InputError("expected at least one prompt, got none")
    whole, masks = steps[0], None
    for i, step in enumerate(steps):
        whole = whole + step if i else step
        last = i == len(steps) - 1
        masks = predictor.predict(
            embedding, whole, prior=masks, candidates=candidates if last else 1
        )
    assert masks is not None
    return masks


def painted(mask: npt.NDArray[np.bool_], strokes: Sequence[Stroke]) -> npt.NDArray[np.bool_]:
    """A mask (H, W) with strokes over it, in their order.

    Raises:
        InputError: painting them would take too long.
    """
    work = sum(
        len(stroke.points) * min(4 * stroke.radius**2, float(mask.size)) for stroke in strokes
    )
    if work > _MOST_PAINTED:
        raise InputError("strokes: expected fewer or smaller ones; they cover too many pixels")
    canvas = mask.astype(np.uint8)
    for stroke in strokes:
        # Middles of pixels are whole numbers to the drawing.
        points = (np.array(stroke.points, np.float64) - 0.5) * 2**_SHIFT
        way = np.round(points).clip(-(2**30), 2**30).astype(np.int32)
        value = 0 if stroke.erase else 1
        if stroke.radius > 0.5:
            width = max(1, min(round(2 * stroke.radius), 32_767))  # the most that OpenCV draws
            cv2.polylines(canvas, [way], False, value, width, cv2.LINE_8, _SHIFT)
        for x, y in way[[0, -1]].tolist():  # the ends are round
            radius = round(max(0.0, stroke.radius - 0.5) * 2**_SHIFT)
            cv2.circle(canvas, (x, y), radius, value, -1, cv2.LINE_8, _SHIFT)
    return canvas.astype(np.bool_)
