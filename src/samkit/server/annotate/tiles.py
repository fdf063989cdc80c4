"""Photographs of any size in tiles, so that a page shows only what is in view."""

import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit.errors import InputError

__all__ = ["TILE", "Pyramid"]

TILE = 512
"""Side of a tile in pixels."""

_QUALITY = 92


class Pyramid:
    """A picture in full, and halved until it is one tile.

    Args:
        image: (H, W, 3) RGB.
    """

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        self._levels = [image]
        while max(self._levels[-1].shape[:2]) > TILE:
            height, width = self._levels[-1].shape[:2]
            half = (max(1, -(-width // 2)), max(1, -(-height // 2)))
            smaller = cv2.resize(self._levels[-1], half, interpolation=cv2.INTER_AREA)
            self._levels.append(np.asarray(smaller, np.uint8))

    @property
    def full(self) -> npt.NDArray[np.uint8]:
        """The picture (H, W, 3)."""
        return self._levels[0]

    @property
    def levels(self) -> int:
        """How many levels there are; 0 is the picture in full."""
        return len(self._levels)

    @property
    def nbytes(self) -> int:
        """Bytes of all levels."""
        return sum(level.nbytes for level in self._levels)

    def tile(self, level: int, column: int, row: int) -> bytes:
        """A tile as JPEG.

        Raises:
            InputError: there is none.
        """
        if not 0 <= level < self.levels or min(column, row) < 0:
            raise InputError("there is no such tile")
        part = self._levels[level][
            row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE
        ]
        if not part.size:
            raise InputError("there is no such tile")
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(part)).save(file, "JPEG", quality=_QUALITY)
        return file.getvalue()
