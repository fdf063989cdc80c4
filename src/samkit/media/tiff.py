"""Pages of TIFF files, of which there are more kinds than Pillow reads rightly."""

import math
import re
from collections.abc import Sequence
from math import prod
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit.errors import ImageError, shown
from samkit.geometry import Window
from samkit.limits import check_image_size, limits
from samkit.media.pixels import Scale, rgb_from_array
from samkit.media.tiff_series import TiffSeries, values_read

__all__ = ["TiffPages", "is_tiff"]

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags and values of TIFF 6.0, part 1; GDAL's for a value that stands for none.
_ORIENTATION, _GDAL_NODATA = 274, 42113
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED = 0, 1, 2, 3, 5
_YCBCR, _CIELAB = 6, 8
_READ_HERE = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED)
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2
_JPEG = 7
_LYING = (5, 6, 7, 8)  # orientations with rows and columns exchanged


def is_tiff(file: IO[bytes]) -> bool:
    """Whether a file begins as a TIFF or BigTIFF does."""
    file.seek(0)
    return file.read(4) in _MAGIC


class TiffPages:
    """The pages of a TIFF file, each an image (H, W) or (H, W, bands).

    Planes along the axes of time, depth and the like are pages; channels are bands. Thumbnails and
    the smaller levels of a pyramid do not count.

    Args:
        file: stays open; it is the caller's.
        name: what error messages call it.

    Raises:
        ImageError: it is damaged, or there is no page.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        from tifffile import TiffFile

        self._name = name
        file.seek(0)
        try:
            # Other files that an OME-TIFF names are not looked for.
            self._tiff = TiffFile(file, name=name, _multifile=False)
            _check_ome(self._tiff)
            series = [one for one in self._tiff.series if not one.keyframe.is_reduced]
            masks = [one for one in series if one.keyframe.is_mask]
            series = [one for one in series if not one.keyframe.is_mask] or masks
            if series and len(series[0].levels) > 1:  # a slide: the others are its label and such
                series = series[:1]
            self._series = [TiffSeries(one) for one in series]
            self._masks = [TiffSeries(one) for one in masks]
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # of damaged files, nearly anything
            raise ImageError(f"cannot read {name}: {error}") from error
        self.count = sum(one.count for one in self._series)
        if not self.count:
            raise ImageError(f"cannot read {name}: expected pages of full size, got none")

    def __enter__(self) -> "TiffPages":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the pages; the file stays open."""
        self._tiff.close()

    def chosen(self, page: int | None) -> int:
        """The page that is meant: where none is given, the only one.

        Raises:
            ImageError: there are several.
        """
        if page is None and self.count > 1:
            raise ImageError(
                f"{self._name} has {self.count} pages: choose one with read_image(..., page=0), in "
                "a command --page 0, or go through all as a video: VideoPredictor, samkit track"
            )
        return page or 0

    def size(self, page: int) -> tuple[int, int]:
        """(H, W) of a page, upright.

        Raises:
            ImageError: there is no such page.
        """
        key = self._find(page)[0].keyframe
        height, width = key.imagelength, key.imagewidth
        return (width, height) if key.tags.valueof(_ORIENTATION) in _LYING else (height, width)

    def read(
        self,
        page: int,
        *,
        bands: tuple[int, ...] | None = None,
        scale: Scale = "full",
        window: Window | None = None,
    ) -> npt.NDArray[np.uint8] | None:
        """One page as (H, W, 3) uint8 RGB, upright; see `samkit.read_image` for the arguments.

        Of a window that lies inside of the page only what is under it is read, but for pages that
        have to be turned.

        Returns:
            None where the colours are of a model that Pillow knows better, such as YCbCr.

        Raises:
            ImageError: there is no such page, it is damaged or too large, or its bands are no
                colours and none were chosen.
        """
        series, inner = self._find(page)
        is_upright = _is_upright(series.keyframe)
        rgb = self._read(series, inner, bands, scale, window if is_upright else None)
        if window is None or is_upright or rgb is None:
            return rgb
        x0, y0, x1, y1 = window
        return np.ascontiguousarray(rgb[y0:y1, x0:x1])

    def has_windows(self, page: int) -> bool:
        """Whether windows of a page can be read, without the rest of it."""
        key = self._find(page)[0].keyframe
        return _is_upright(key) and not _is_for_pillow(key, in_parts=True)

    def is_masked(self, page: int) -> bool:
        """Whether a page may have pixels without data; see `valid`."""
        key = self._find(page)[0].keyframe
        masks = bool(self._masks) and page == 0
        return masks or _has_alpha(key) or key.tags.valueof(_GDAL_NODATA) is not None

    def valid(
        self, page: int, window: Window, *, bands: tuple[int, ...] | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """The values (h, w, bands) in a window of a page as they are stored, and which are data.

        None are where all shown bands have the value that GDAL's tag says, where opacity is 0, and
        where the file's mask is 0. The page has to have windows.

        Raises:
            ImageError: as `read`.
        """
        series, inner = self._find(page)
        key = series.keyframe
        values, tag, _ = self._values(series, inner, window)
        count = values.shape[2]
        shown = values[:, :, list(bands or _colours(series, count) or range(count))]
        valid = np.ones(values.shape[:2], np.bool_)
        missing = _number(tag)
        if missing is not None:
            valid &= ~((shown == missing) | np.isnan(shown)).all(axis=2)
        if _has_alpha(key) and count == key.samplesperpixel:
            valid &= values[:, :, -1] != 0
        for mask in self._masks[:1] if page == 0 else ():
            if mask.keyframe.shape[:2] == key.shape[:2]:
                valid &= (self._values(mask, 0, window)[0] != 0).any(axis=2)
        return shown, valid

    def read_labels(self) -> tuple[npt.NDArray[Any], bool]:
        """The values of the first page as they are stored, (H, W, bands), upright.

        Returns:
            The values, and whether they are indices to a palette.

        Raises:
            ImageError: it is damaged, too large, or white is zero.
        """
        key = self._series[0].keyframe
        if key.photometric == _WHITE_IS_ZERO:
            raise ImageError(f"{self._name}: expected a mask where black is zero, and not white")
        array, _, orientation = self._values(self._series[0], 0)
        return _upright(array, orientation), key.photometric == _PALETTE

    def number(self, page: int) -> int:
        """The number of a page among all that the file has, thumbnails included, from 0.

        Raises:
            ImageError: there is no such page, or it is inside of another one.
        """
        series, inner = self._find(page)
        number = series.number(inner)
        if not isinstance(number, int):
            raise ImageError(f"cannot read {self._name}: page {page} is inside of another one")
        return number

    def _find(self, page: int) -> tuple[TiffSeries, int]:
        """The series of a page, and its number there."""
        if page >= self.count:
            raise ImageError(f"{self._name}: expected a page below {self.count}, got {shown(page)}")
        for series in self._series:
            if page < series.count:
                break
            page -= series.count
        return series, page

    def _read(
        self,
        series: TiffSeries,
        page: int,
        bands: tuple[int, ...] | None,
        scale: Scale,
        window: Window | None,
    ) -> npt.NDArray[np.uint8] | None:
        key = series.keyframe
        if _is_for_pillow(key, in_parts=window is not None):
            return None
        array, missing, orientation = self._values(series, page, window)
        rgb = self._rgb(array, series, bands, scale, _number(missing))
        return _upright(rgb, orientation)

    def _values(
        self, series: TiffSeries, page: int, window: Window | None = None
    ) -> tuple[npt.NDArray[Any], object, object]:
        """The values of a page (H, W, bands), that which stands for none, and the orientation."""
        what, tags = f"cannot read {self._name}", series.keyframe.tags
        try:
            _check(series, what, window)
            values = series.read(page, window)
            return values, tags.valueof(_GDAL_NODATA), tags.valueof(_ORIENTATION)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # of damaged files, nearly anything
            raise ImageError(f"{what}: {error}") from error

    def _rgb(
        self,
        array: npt.NDArray[Any],
        series: TiffSeries,
        bands: tuple[int, ...] | None,
        scale: Scale,
        missing: float | None,
    ) -> npt.NDArray[np.uint8]:
        """The values (H, W, bands) of a page as RGB."""
        key, count = series.keyframe, array.shape[2]
        if key.photometric == _PALETTE and bands is None:
            return _through_palette(array[:, :, 0], key.colormap, self._name)
        is_ink = key.photometric == _SEPARATED and count == 4 and bands is None
        if bands is None and not is_ink:
            bands = _colours(series, count)
            if bands is None:
                chosen = "0, 1, 2" if count > 2 else "0,"
                raise ImageError(
                    f"{self._name} has {count} bands, and does not say which are red, green and "
                    f"blue: choose one or three with read_image(..., bands=({chosen})), in a "
                    f"command --bands {chosen.replace(' ', '').rstrip(',')}"
                )
        bits, top = key.bitspersample, None
        if bits == 1 or array.dtype.kind == "b":
            array = array.astype(np.bool_)
        elif array.dtype.kind == "u" and isinstance(bits, int) and bits < 32:
            top = 2**bits - 1
        if is_ink:
            return _from_ink(
                [
                    rgb_from_array(array, self._name, bands=(i,), scale=scale, top=top)[:, :, 0]
                    for i in range(4)
                ]
            )
        rgb = rgb_from_array(array, self._name, bands=bands, scale=scale, top=top, missing=missing)
        if key.photometric == _WHITE_IS_ZERO:
            rgb = 255 - rgb
            shown = array[:, :, list(bands or ())]
            if missing is not None or shown.dtype.kind == "f":
                rgb[(np.isnan(shown) | (shown == missing)).any(2)] = 0  # which became white
        return rgb


def _check_ome(tiff: Any) -> None:
    """Check that OME-XML declares no more planes than the file has bytes."""
    planes, size = 0, tiff.filehandle.size
    for pixels in re.findall(r"<(?:\w+:)?Pixels\s[^>]*", tiff.ome_metadata or ""):
        sides = re.findall(r"Size[ZCT]\s*=\s*[\"'](\d+)", pixels)
        planes += math.prod(int(side[:19]) for side in sides)
    if planes > size:
        raise ImageError(f"expected at most {size} planes in {size} bytes, got {planes:.3g}")


def _check(series: TiffSeries, what: str, window: Window | None) -> None:
    """Check that pages are of colours that are understood, and what is read not too large."""
    key = series.keyframe
    if key.photometric not in _READ_HERE and not key.is_mask and not _decodes_to_rgb(key):
        raise ImageError(f"{what}: colours {key.photometric!r} of {key.bitspersample} bits")
    most = 4 * limits().image_pixels
    if window is None or series.is_split:
        check_image_size(key.imagelength, key.imagewidth, what)
        pixels = key.imagelength * key.imagewidth * series.channels
    else:
        check_image_size(window[3] - window[1], window[2] - window[0], what)
        pixels = values_read(key, window) * series.channels // key.samplesperpixel
    if key.is_tiled:  # each tile is unpacked whole
        pixels = max(pixels, key.tilelength * key.tilewidth * key.tiledepth)
    if prod(key.chunked) > series.file_size or max(key.databytecounts) > series.file_size:
        raise ImageError(f"{what}: it is truncated, or its tags are damaged")
    if pixels * key.samplesperpixel > most:
        raise ImageError(
            f"{what}: expected at most {most} values (4 x samkit.limits' image_pixels), got "
            f"{pixels} pixels of {key.samplesperpixel}"
        )


def _colours(series: TiffSeries, count: int) -> tuple[int, ...] | None:
    """The bands that are shown where none are chosen; None if that is not clear."""
    key = series.keyframe
    if (key.photometric == _RGB or _decodes_to_rgb(key)) and count in (3, 4):
        return (0, 1, 2)
    if key.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and count == 1 + _has_alpha(key):
        return (0,)
    return None


def _has_alpha(key: Any) -> bool:
    """Whether the last band, and no other one, is opacity."""
    return tuple(key.extrasamples) in ((_ASSOCIATED_ALPHA,), (_UNASSOCIATED_ALPHA,))


def _is_for_pillow(key: Any, *, in_parts: bool) -> bool:
    """Whether the colours are of a model that Pillow knows better; it reads no parts."""
    is_known = in_parts and _decodes_to_rgb(key)
    return key.photometric in (_YCBCR, _CIELAB) and key.bitspersample == 8 and not is_known


def _is_upright(key: Any) -> bool:
    return key.tags.valueof(_ORIENTATION) in (None, 1)


def _decodes_to_rgb(key: Any) -> bool:
    """Whether the colours are YCbCr of JPEG, which decoders of JPEG turn into RGB."""
    return (key.photometric, key.compression, key.bitspersample) == (_YCBCR, _JPEG, 8)


def _through_palette(
    indices: npt.NDArray[Any], colours: npt.NDArray[np.uint16], name: str
) -> npt.NDArray[np.uint8]:
    """Colours (3, n) uint16 of indices (H, W)."""
    if indices.dtype.kind == "b":
        indices = indices.astype(np.uint8)
    if indices.dtype.kind != "u" or np.ndim(colours) != 2 or len(colours) != 3:
        raise ImageError(f"cannot read {name}: expected a palette of colours, and indices to it")
    if int(indices.max()) >= colours.shape[1]:
        raise ImageError(f"cannot read {name}: expected indices below {colours.shape[1]}")
    # Colours up to 255 are of 8 bits, as libtiff supposes too.
    unit = 257 if colours.max() > 255 else 1
    table = ((colours.astype(np.uint32) + unit // 2) // unit).astype(np.uint8)
    return np.ascontiguousarray(table.T[indices])


def _from_ink(inks: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """RGB of cyan, magenta, yellow and black (H, W) each, without a colour profile."""
    return np.array(Image.fromarray(np.stack(inks, axis=2), "CMYK").convert("RGB"))


def _upright(rgb: npt.NDArray[Any], orientation: object) -> npt.NDArray[Any]:
    """Turn and mirror as the orientation tag (1..8) says."""
    if orientation in _LYING:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def _number(text: object) -> float | None:
    """The value of GDAL's tag, a number as text."""
    try:
        return None if text is None else float(str(text).rstrip("\0 "))
    except ValueError:
        return None
