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
from samkit.limits import check_image_size, limits
from samkit.media.pixels import Scale, rgb_from_array

__all__ = ["TiffPages", "is_tiff"]

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags and values of TIFF 6.0, part 1; GDAL's for a value that stands for none.
_ORIENTATION, _GDAL_NODATA = 274, 42113
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED = 0, 1, 2, 3, 5
_YCBCR, _CIELAB = 6, 8
_READ_HERE = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED)
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2


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
            if series and len(series[0].levels) > 1:  # a slide: the others are its label and such
                series = series[:1]
            self._series = [_Series(one) for one in series]
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

    def read(
        self, page: int, *, bands: tuple[int, ...] | None = None, scale: Scale = "full"
    ) -> npt.NDArray[np.uint8] | None:
        """One page as (H, W, 3) uint8 RGB, upright; see `samkit.read_image` for the arguments.

        Returns:
            None where the colours are of a model that Pillow knows better, such as YCbCr.

        Raises:
            ImageError: there is no such page, it is damaged or too large, or its bands are no
                colours and none were chosen.
        """
        return self._read(*self._find(page), bands, scale)

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

    def _find(self, page: int) -> tuple["_Series", int]:
        """The series of a page, and its number there."""
        if page >= self.count:
            raise ImageError(f"{self._name}: expected a page below {self.count}, got {shown(page)}")
        for series in self._series:
            if page < series.count:
                break
            page -= series.count
        return series, page

    def _read(
        self, series: "_Series", page: int, bands: tuple[int, ...] | None, scale: Scale
    ) -> npt.NDArray[np.uint8] | None:
        key = series.keyframe
        if key.photometric in (_YCBCR, _CIELAB) and key.bitspersample == 8:
            return None
        array, missing, orientation = self._values(series, page)
        rgb = self._rgb(array, series, bands, scale, _number(missing))
        return _upright(rgb, orientation)

    def _values(self, series: "_Series", page: int) -> tuple[npt.NDArray[Any], object, object]:
        """The values of a page (H, W, bands), that which stands for none, and the orientation."""
        what, key = f"cannot read {self._name}", series.keyframe
        try:
            _check(series, what)
            tags = key.tags
            return series.read(page), tags.valueof(_GDAL_NODATA), tags.valueof(_ORIENTATION)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # of damaged files, nearly anything
            raise ImageError(f"{what}: {error}") from error

    def _rgb(
        self,
        array: npt.NDArray[Any],
        series: "_Series",
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


class _Series:
    """Pages of one shape and type, as tifffile finds them.

    Attributes:
        keyframe: the page that describes all.
        file_size: bytes of the whole file.
        channels: planes that are the bands of one page.
        count: of pages.
    """

    def __init__(self, series: Any) -> None:
        self._series = series
        self.file_size = int(series.parent.filehandle.size)
        self.keyframe = series.keyframe
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

    def read(self, page: int) -> npt.NDArray[Any]:
        """The values of a page, (H, W, bands)."""
        return np.concatenate([self._plane(int(i)) for i in self._planes[page]], axis=2)

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

    def _plane(self, number: int) -> npt.NDArray[Any]:
        key, series = self.keyframe, self._series
        if series.is_truncated:  # only the first plane has a page; the others follow in the file
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
        return plane.transpose(1, 2, 0) if key.axes == "SYX" else plane


def _check_ome(tiff: Any) -> None:
    """Check that OME-XML declares no more planes than the file has bytes."""
    planes, size = 0, tiff.filehandle.size
    for pixels in re.findall(r"<(?:\w+:)?Pixels\s[^>]*", tiff.ome_metadata or ""):
        sides = re.findall(r"Size[ZCT]\s*=\s*[\"'](\d+)", pixels)
        planes += math.prod(int(side[:19]) for side in sides)
    if planes > size:
        raise ImageError(f"expected at most {size} planes in {size} bytes, got {planes:.3g}")


def _check(series: _Series, what: str) -> None:
    """Check that pages are of colours that are understood, and not too large."""
    key = series.keyframe
    if key.photometric not in _READ_HERE:
        raise ImageError(f"{what}: colours {key.photometric!r} of {key.bitspersample} bits")
    check_image_size(key.imagelength, key.imagewidth, what)
    most = 4 * limits().image_pixels
    pixels = key.imagelength * key.imagewidth * series.channels
    if key.is_tiled:  # each tile is unpacked whole
        pixels = max(pixels, key.tilelength * key.tilewidth * key.tiledepth)
    if prod(key.chunked) > series.file_size or max(key.databytecounts) > series.file_size:
        raise ImageError(f"{what}: it is truncated, or its tags are damaged")
    if pixels * key.samplesperpixel > most:
        raise ImageError(
            f"{what}: expected at most {most} values (4 x samkit.limits' image_pixels), got "
            f"{pixels} pixels of {key.samplesperpixel}"
        )


def _colours(series: _Series, count: int) -> tuple[int, ...] | None:
    """The bands that are shown where none are chosen; None if that is not clear."""
    key = series.keyframe
    extra = tuple(key.extrasamples)
    alpha = extra in ((_ASSOCIATED_ALPHA,), (_UNASSOCIATED_ALPHA,))
    if key.photometric == _RGB and count in (3, 4):
        return (0, 1, 2)
    if key.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and count == 1 + alpha:
        return (0,)
    return None


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
    if orientation in (5, 6, 7, 8):
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
