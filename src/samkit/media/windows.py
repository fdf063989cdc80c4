"""An image that is too large to be held, read window by window."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError
from samkit.files import open_file
from samkit.geometry import Window, checked_window
from samkit.media.files import as_path
from samkit.media.image import ImageSource, read_image
from samkit.media.pixels import Scale, checked_bands, checked_scale, spread_of
from samkit.media.tiff import TiffPages, is_tiff

__all__ = ["WindowedImage"]

_BAND_PIXELS = 2**24  # of which ranges of values are collected at a time


class WindowedImage:
    """An image, opened to read windows of it.

    Of a TIFF file only what is under a window is read; any other image is read once and held. To be
    closed, or used in a ``with`` statement.

    Args:
        source, page, bands, scale: as in `samkit.read_image`. "minmax" and "percentile" are of the
            whole image, so that all windows look alike; a TIFF is read through once for that.

    Attributes:
        image_size: (H, W) in pixels.

    Raises:
        ImageError, InputError: as `samkit.read_image`.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        page: int | None = None,
        bands: int | Sequence[int] | None = None,
        scale: Scale = "full",
    ) -> None:
        self._bands, self._scale = checked_bands(bands), checked_scale(scale)
        self._open, self._is_read = ExitStack(), False
        self._tiff: TiffPages | None = None
        with ExitStack() as stack:  # closes what is open if the rest fails
            if isinstance(source, (str, os.PathLike)):
                file = stack.enter_context(open_file(as_path(source), ImageError))
                if is_tiff(file):
                    self._tiff = stack.enter_context(TiffPages(file, os.fspath(source)))
            if self._tiff is not None:
                self._page = self._tiff.chosen(page)
                self.image_size = self._tiff.size(self._page)
                if not self._tiff.has_windows(self._page):
                    self._tiff = None
            if self._tiff is None:
                self._pixels = read_image(source, page=page, bands=bands, scale=self._scale)
                self.image_size = self._pixels.shape[0], self._pixels.shape[1]
            elif self._scale in ("minmax", "percentile"):
                count = self.image_size[0] * self.image_size[1]
                self._scale = spread_of(self._values(), count, self._scale, str(source))
            self._open = stack.pop_all()

    def __enter__(self) -> "WindowedImage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def read(self, window: Sequence[int]) -> npt.NDArray[np.uint8]:
        """A window (x0, y0, x1, y1) as (h, w, 3) uint8 RGB.

        Raises:
            InputError: it is not inside of the image.
            ImageError: the file is damaged.
        """
        inside = checked_window(window, self.image_size)
        if self._tiff is None:
            x0, y0, x1, y1 = inside
            return np.ascontiguousarray(self._pixels[y0:y1, x0:x1])
        with warnings.catch_warnings():
            if self._is_read:  # the first window tells of values that are dark; others may well be
                warnings.simplefilter("ignore")
            rgb = self._tiff.read(self._page, bands=self._bands, scale=self._scale, window=inside)
        self._is_read = True
        assert rgb is not None  # or the file would have been read whole
        return rgb

    def has_data(self, window: Sequence[int]) -> bool:
        """Whether a TIFF has a pixel there that it does not mark as missing.

        Marks are the value of GDAL's tag, opacity of 0, and a mask in the file. Other images have
        data everywhere.

        Raises:
            InputError, ImageError: as `read`.
        """
        inside = checked_window(window, self.image_size)
        if self._tiff is None or not self._tiff.is_masked(self._page):
            return True
        return bool(self._tiff.valid(self._page, inside, bands=self._bands)[1].any())

    def _values(self) -> Iterator[npt.NDArray[Any]]:
        """All values of the shown bands that are data, some rows at a time."""
        assert self._tiff is not None
        height, width = self.image_size
        rows = max(1, _BAND_PIXELS // width)
        for y in range(0, height, rows):
            window: Window = (0, y, width, min(y + rows, height))
            values, is_valid = self._tiff.valid(self._page, window, bands=self._bands)
            yield values[is_valid]
