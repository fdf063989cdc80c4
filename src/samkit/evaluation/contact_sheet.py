"""Pictures of single results on one sheet: where a model fails."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from samkit.errors import InputError
from samkit.evaluation.datasets import Dataset
from samkit.evaluation.interactive import Measurement, ObjectResult
from samkit.evaluation.metrics import bounding_box

__all__ = ["contact_sheet"]

_TILE, _CAPTION, _COLUMNS = 240, 18, 4
_TRUTH, _PREDICTED = (0, 200, 83), (255, 109, 0)  # green and orange


def contact_sheet(
    results: Sequence[tuple[ObjectResult, Measurement]], dataset: Dataset
) -> npt.NDArray[np.uint8]:
    """Draw results around their objects: the truth outlined in green, the prediction in orange.

    Args:
        results: from `InteractiveReport.worst`.
        dataset: the evaluated data set.

    Returns:
        (H, W, 3) uint8 RGB, tiles from left to right and top to bottom.

    Raises:
        InputError: there is nothing to draw.
    """
    if not results:
        raise InputError("expected at least one result to draw, got none")
    columns = min(_COLUMNS, len(results))
    rows = -(-len(results) // columns)
    sheet = Image.new("RGB", (columns * _TILE, rows * (_TILE + _CAPTION)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (item, measurement) in enumerate(results):
        x, y = place % columns * _TILE, place // columns * (_TILE + _CAPTION)
        sheet.paste(Image.fromarray(_tile(item, measurement, dataset)), (x, y + _CAPTION))
        pen.text((x + 4, y + 3), f"{measurement.iou:.2f}  {item.image} #{item.index}", "black")
    return np.array(sheet)


def _tile(item: ObjectResult, measurement: Measurement, dataset: Dataset) -> npt.NDArray[np.uint8]:
    """The part of the image around the object and its mask, scaled to a square tile."""
    annotated = dataset[item.number]
    truth, predicted = annotated.masks[item.index], measurement.mask.masks[0]
    x0, y0, x1, y1 = bounding_box(truth | predicted)
    side = round(1.2 * max(x1 - x0, y1 - y0)) + 8
    left, top = (x0 + x1 - side) // 2, (y0 + y1 - side) // 2
    # Pixels outside the image become grey.
    scale = _TILE / side
    place = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]], np.float32)
    tile = cv2.warpAffine(
        annotated.image,
        place,
        (_TILE, _TILE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(128, 128, 128),
    )
    for mask, colour in ((truth, _TRUTH), (predicted, _PREDICTED)):
        pixels = mask.astype(np.uint8)
        shown = cv2.warpAffine(pixels, place, (_TILE, _TILE), flags=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(shown, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, outlines, -1, colour, 2)
    return np.asarray(tile, np.uint8)
