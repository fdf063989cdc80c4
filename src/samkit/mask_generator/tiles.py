"""Everything mode on images that are too large to be held: tile by tile."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from samkit.arguments import whole_number
from samkit.errors import InputError
from samkit.geometry import Window
from samkit.mask_generator.seams import SeamJoiner
from samkit.masks import Masks
from samkit.media.windows import WindowedImage

__all__ = ["stream_tiles", "tiles_of"]


def tiles_of(image_size: tuple[int, int], tile: int, overlap: int | None = None) -> list[Window]:
    """Equal tiles that cover an image (H, W), row by row.

    Args:
        image_size: (H, W).
        tile: their side in pixels, at least 2; that of the image where it is smaller.
        overlap: neighbours share at least so many pixels: from 1 to half of a tile; by default an
            eighth of it.

    Raises:
        InputError: a number is out of its range.
    """
    side = whole_number("tile", tile, 2)
    shared = max(1, side // 8) if overlap is None else whole_number("overlap", overlap, 1)
    if shared > side // 2:
        raise InputError(f"overlap: expected at most half of the tile, {side // 2}, got {shared}")
    height, width = image_size
    return [
        (x, y, min(x + side, width), min(y + side, height))
        for y in _starts(height, side, shared)
        for x in _starts(width, side, shared)
    ]


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """Where tiles begin along an axis, at even distances."""
    if length <= side:
        return [0]
    count = math.ceil((length - overlap) / (side - overlap))
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def stream_tiles(
    segment: Callable[[npt.NDArray[np.uint8]], Masks],
    image: WindowedImage,
    tiles: Sequence[Window],
    *,
    disjoint: bool,
) -> Iterator[Masks]:
    """See `AutomaticMaskGenerator.stream_tiles`.

    Args:
        segment: pixels (h, w, 3) of a tile -> its masks.
        image: of which the tiles are.
        tiles: as `tiles_of` gives them.
        disjoint: each pixel belongs to one mask at most; all masks come with the last tile.
    """
    joiner = SeamJoiner(tiles, image.image_size)
    kept = []
    for number, window in enumerate(tiles):
        if image.has_data(window):
            masks = segment(image.read(window))
        else:
            masks = Masks.empty((window[3] - window[1], window[2] - window[0]))
        complete = joiner.add(number, masks)
        if disjoint:
            kept.append(complete)
            is_last = number + 1 == len(tiles)
            complete = Masks.concatenate(kept).disjoint() if is_last else complete[:0]
        yield complete
