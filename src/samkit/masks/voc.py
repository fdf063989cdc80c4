"""Pictures as Pascal VOC has them: the numbers of categories or objects, with a border between."""

from collections.abc import Callable
from typing import IO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit.errors import InputError
from samkit.masks import drawing
from samkit.masks.categories import Categories
from samkit.masks.fields import Fields
from samkit.masks.storage import Storage

__all__ = ["VOC"]

_VOID = 255
_WINDOW = np.ones((5, 5), np.uint8)
"""Pixels around which more than one object lies, or one and the background, are of the border."""


def _write_classes(masks: Storage, fields: Fields, categories: Categories, file: IO[bytes]) -> None:
    objects = _objects(masks, fields)
    if (count := len(categories.names)) >= _VOID:
        raise InputError(f"expected at most {_VOID - 1} categories for Pascal VOC, got {count}")
    numbers = np.array([0, *(number + 1 for number in categories.numbers)], np.uint8)
    _save(numbers[objects], objects, file)


def _write_objects(masks: Storage, fields: Fields, categories: Categories, file: IO[bytes]) -> None:
    objects = _objects(masks, fields)
    _save(objects, objects, file)


VOC: dict[str, Callable[[Storage, Fields, Categories, IO[bytes]], None]] = {
    "voc-class": _write_classes,
    "voc-object": _write_objects,
}
"""Format -> what writes it."""


def _objects(masks: Storage, fields: Fields) -> npt.NDArray[np.uint8]:
    """(H, W): mask i has the value i + 1; the best score is on top."""
    if (count := len(masks)) >= _VOID:
        raise InputError(f"expected at most {_VOID - 1} masks for Pascal VOC, got {count}")
    index = np.zeros(masks.image_size, np.uint8)
    for i in drawing.painting_order(fields.scores):
        index[masks[i]] = i + 1
    return index


def _save(values: npt.NDArray[np.uint8], objects: npt.NDArray[np.uint8], file: IO[bytes]) -> None:
    """Write values (H, W), with the border between objects (H, W)."""
    border = cv2.dilate(objects, _WINDOW) != cv2.erode(objects, _WINDOW)
    image = Image.fromarray(np.where(border, np.uint8(_VOID), values))
    image.putpalette(_palette().ravel().tolist())
    image.save(file, "PNG")


def _palette() -> npt.NDArray[np.uint8]:
    """(256, 3): the highest bits of red are the bits 0, 3 and 6 of a number, and so on."""
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        place, channel = divmod(bit, 3)
        colours[:, channel] |= (np.arange(256, dtype=np.uint8) >> bit & 1) << (7 - place)
    return colours
