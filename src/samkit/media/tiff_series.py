"""Pages of one kind in a TIFF file, and windows of them.

Of a window only the tiles and strips under it are read.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError
from samkit.geometry import Window

__all__ = ["TiffSeries", "values_read"]


class TiffSeries:
    """Pages of one shape and type, as tifffile finds them.

    Attributes:
        keyframe: the page that describes all.
        file_size: bytes of the whole file.
        channels: planes that are the bands of one page.
        count: of pages.
        is_split: whether planes follow each other without descriptions, so that each is read whole.
    """

    def __init__(self, series: Any) -> None:
        self._series = series
        self.file_size = int(series.parent.filehandle.size)
        self.keyframe = series.keyframe
        self.is_split = bool(series.is_truncated)
        own = len(self.keyframe.shape)
        axes, shape = series.axes[:-own], series.shape[:-own]
        if self.keyframe.axes not in ("YX", "YXS", "SYX") or series.shape[-own:] != (
            self.keyframe.shape
        ):
            raise ImageError(f"expected pages of height and width, got axes {series.axes}")
        size = series.parent.filehandle.size
        if math.prod(shape) > size:
            raise ImageError(f"expected at most {size} planes in {size} bytes, got {shape}")
        # Numbers of the planes: pages by bands.
        planes = np.arange(math.prod(shape)).reshape(shape)
        if "C" in axes:
            planes = np.moveaxis(planes, axes.index("C"), -1)
            self.channels = planes.shape[-1]
        else:
            self.channels = 1
        self._planes = planes.reshape(-1, self.channels)
        self.count = len(self._planes)

    def read(self, page: int, window: Window | None = None) -> npt.NDArray[Any]:
        """The values of a page, or of a window of it, (H, W, bands)."""
        return np.concatenate([self._plane(int(i), window) for i in self._planes[page]], axis=2)

    def number(self, page: int) -> Any:
        """The number of a page in the file; of one inside of another several."""
        return self._page(int(self._planes[page][0])).index

    def _page(self, number: int) -> Any:
        page = self._series[number]
        if page is None:
            raise ValueError(f"its page {number} is in another file: give all as an array")
        if page.keyframe.hash != self.keyframe.hash:  # whose size was checked
            raise ValueError(f"its page {number} is of another kind than those that belong to it")
        return page

    def _plane(self, number: int, window: Window | None) -> npt.NDArray[Any]:
        key, series = self.keyframe, self._series
        if window is not None and not self.is_split:
            return _read_window(self._page(number), window)
        if self.is_split:  # only the first plane has a page; the others follow in the file
            size = int(np.prod(key.shape)) * key.dtype.itemsize
            handle = series.parent.filehandle
            values = handle.read_array(
                series.parent.byteorder + key.dtype.char,
                int(np.prod(key.shape)),
                offset=series.dataoffset + number * size,
            ).reshape(key.shape)
        else:
            values = self._page(number).asarray()
        plane: npt.NDArray[Any] = values[:, :, None] if values.ndim == 2 else values
        if key.axes == "SYX":
            plane = plane.transpose(1, 2, 0)
        x0, y0, x1, y1 = window or (0, 0, key.imagewidth, key.imagelength)
        return plane[y0:y1, x0:x1]


def values_read(key: Any, window: Window) -> int:
    """How many values are in memory at a time when a window is read."""
    x0, y0, x1, y1 = window
    rows = (y1 - y0) * int(key.imagewidth * key.shaped[-1])
    piece = rows if key.is_final else math.prod(key.chunks)
    return max(piece, (y1 - y0) * (x1 - x0) * int(key.samplesperpixel))


def _read_window(page: Any, window: Window) -> npt.NDArray[Any]:
    """The values (h, w, bands) of a window xyxy that lies inside of a page of tifffile's.

    Raises:
        Exception: nearly anything, of damaged files.
    """
    key, (x0, y0, x1, y1) = page.keyframe, window
    planes, bands = (key.shaped[0], key.shaped[-1])  # one of them is 1
    result = np.empty((planes, y1 - y0, x1 - x0, bands), key.dtype)
    if key.is_final:
        _copy_rows(page, window, result)
    else:
        for segment in _segments(page, window):
            _copy_segment(page, segment, window, result)
    return result.transpose(1, 2, 0, 3).reshape(y1 - y0, x1 - x0, planes * bands)


def _copy_rows(page: Any, window: Window, result: npt.NDArray[Any]) -> None:
    """Of pixels that lie in the file as they are, row by row."""
    key, (x0, y0, x1, y1) = page.keyframe, window
    file = page.parent.filehandle
    dtype = np.dtype(page.parent.byteorder + key.dtype.char)
    row = key.imagewidth * key.shaped[-1]
    for plane in range(len(result)):
        first = (plane * key.imagelength + y0) * row * dtype.itemsize
        file.seek(page.dataoffsets[0] + first)
        data = file.read((y1 - y0) * row * dtype.itemsize)
        rows = np.frombuffer(data, dtype).reshape(y1 - y0, key.imagewidth, -1)
        result[plane] = rows[:, x0:x1]


@dataclass(frozen=True, slots=True)
class _Segment:
    """A tile or strip: its number in the file, the plane, and its first column and row."""

    index: int
    plane: int
    x: int
    y: int


def _segments(page: Any, window: Window) -> Iterator[_Segment]:
    """The tiles or strips under a window."""
    key, (x0, y0, x1, y1) = page.keyframe, window
    if key.is_tiled:
        height, width = key.tilelength, key.tilewidth
    else:
        height, width = min(key.rowsperstrip, key.imagelength), key.imagewidth
    down, across = math.ceil(key.imagelength / height), math.ceil(key.imagewidth / width)
    for plane in range(key.shaped[0]):
        for i in range(y0 // height, math.ceil(y1 / height)):
            for j in range(x0 // width, math.ceil(x1 / width)):
                yield _Segment((plane * down + i) * across + j, plane, j * width, i * height)


def _copy_segment(page: Any, segment: _Segment, window: Window, result: npt.NDArray[Any]) -> None:
    key, (x0, y0, x1, y1) = page.keyframe, window
    file, i = page.parent.filehandle, segment.index
    size, options = page.databytecounts[i], {}
    data = None
    if size:  # those of no bytes are left out of the file: there are no data
        file.seek(page.dataoffsets[i])
        data = file.read(size)
        if len(data) < size:
            raise ValueError(f"it is truncated: expected {size} bytes, got {len(data)}")
    if key.jpegheader is not None or page.jpegtables is not None:
        options = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
    pixels, _, (_, height, width, _) = key.decode(data, i, **options)
    left, top = max(x0, segment.x), max(y0, segment.y)
    right, bottom = min(x1, segment.x + width), min(y1, segment.y + height)
    target = result[segment.plane, top - y0 : bottom - y0, left - x0 : right - x0]
    if pixels is None:
        target[...] = key.nodata
    else:
        target[...] = pixels[
            0, top - segment.y : bottom - segment.y, left - segment.x : right - segment.x
        ]
