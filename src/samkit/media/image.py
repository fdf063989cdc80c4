"""Any usual source of one image to (H, W, 3) uint8 RGB."""

import io
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from samkit.errors import ImageError, InputError, shown
from samkit.files import open_file
from samkit.geometry import checked_window
from samkit.limits import check_image_size
from samkit.media.deep import deep_values
from samkit.media.files import as_path
from samkit.media.pixels import (
    Scale,
    checked_bands,
    checked_scale,
    is_tensor,
    rgb_from_array,
    rgb_from_tensor,
    warn_of_range,
)
from samkit.media.tiff import TiffPages, is_tiff
from samkit.media.writing import write_atomically

# A torch tensor is accepted too; it is not named, so that torch is not needed to read this.
ImageSource: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | Image.Image
    | npt.NDArray[Any]
    | Any
)

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Modes of Pillow whose bands may be chosen as they are.
_BANDED = ("L", "LA", "RGB", "RGBA", "CMYK")
_BAND = 256  # rows that are converted at a time


def read_image(
    source: ImageSource,
    *,
    page: int | None = None,
    bands: int | Sequence[int] | None = None,
    scale: Scale = "full",
    window: Sequence[int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Read one image, or a window of it, as (H, W, 3) uint8 RGB.

    Accepted are a path (also as a ``file://`` address), the bytes of an image file, a binary file
    object (read from its position to its end), a PIL image, a numpy array (H, W), (H, W, 1),
    (H, W, 3) or (H, W, 4), and a torch tensor (3, H, W), (H, W, 3) or (H, W). With ``bands``,
    arrays and tensors may have any number of channels.

    - The EXIF orientation of files is applied, and that of a PIL image which is still as
      `Image.open` gave it. Any other PIL image is taken as its pixels are: whoever changed it may
      have turned it, which leaves the tag.
    - Alpha is dropped: the colours below it stay as they are stored, nothing is blended in.
    - Grey, palette, 1-bit, CMYK and other colour models become RGB.
    - Of PNG, PPM, AVIF and JPEG 2000 all bits are read, and values as they are in the file. FITS
      with a scale of its own (BSCALE) and SGI of 16 bits are refused.
    - 16 bits are divided by 257; other integers have to lie in 0..255 and floats in 0..1, unless
      ``scale`` says otherwise (details: `samkit.media.pixels.rgb_from_array`). An image of integers
      that uses less than a sixteenth of its range gives a warning.
    - TIFF is read with tifffile: any kind of integers and floats, planes, tiles, compressions.
      One with several pages, or with bands that are no colours, needs ``page`` or ``bands``.
    - Of an animation the first picture is read unless ``page`` is given, of a PIL image the current
      one.
    - Colour profiles are not applied.
    - Sizes are limited by `samkit.limits`, not by the settings of Pillow, but for WebP: of more
      than twice `PIL.Image.MAX_IMAGE_PIXELS` (179 million by default) it is refused.

    Args:
        source: the image.
        page: of a file of several pages or pictures, from 0.
        bands: the channel that is shown as grey, or those that are red, green and blue, from 0.
        scale: which values become 0 and 255: "full": the ends of what the type can hold; "minmax":
            the smallest and largest of the chosen bands; "percentile": their 1st and 99th
            percentile; or (low, high). Only "full" refuses NaN; otherwise it becomes 0.
        window: (x0, y0, x1, y1), the part of the image that is wanted, in whole pixels of the
            upright image, far edges exclusive. Of a TIFF only the tiles and strips under it are
            read, so that the image may be larger than the limits; other files are read whole.
            Ranges of values are those of the window, of pictures other than TIFF and arrays those
            of the whole.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous, new: it shares no memory with ``source``.

    Raises:
        ImageError: missing, unreadable, truncated or empty, larger than `samkit.limits` allows,
            of several pages, or of a shape, type or range that is not an image.
        InputError: ``page``, ``bands`` or ``scale`` cannot be, or ``window`` is not inside.

    >>> read_image(np.zeros((4, 6), np.uint8)).shape
    (4, 6, 3)
    """
    wanted = _Wanted(_checked_page(page), checked_bands(bands), checked_scale(scale), window)
    if isinstance(source, (str, os.PathLike)):
        with open_file(as_path(source), ImageError) as file:
            try:
                return _decode(file, os.fspath(source), wanted)
            except OSError as error:
                reason = error.strerror or error
                raise ImageError(f"cannot read {os.fspath(source)}: {reason}") from error
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(io.BytesIO(bytes(source)), f"{len(source)} bytes", wanted)
    if hasattr(source, "read") and not is_tensor(source):
        return _rgb_from_stream(source, wanted)
    if page is not None:
        raise InputError(f"page: expected a file of several pages, got {type(source).__name__}")
    if isinstance(source, np.ndarray):
        if source.ndim >= 2:  # before values are scaled
            source = _cut(source, window)
        return rgb_from_array(source, bands=wanted.bands, scale=wanted.scale)
    if is_tensor(source):
        return _cut(rgb_from_tensor(source, bands=wanted.bands, scale=wanted.scale), window)
    if isinstance(source, Image.Image):
        width, height = source.size
        is_as_opened = isinstance(source, ImageFile.ImageFile)
        name = f"PIL image {source.mode} {width} x {height}"
        return _cut(_rgb_from_pil(source, name, wanted, turn=is_as_opened), window)
    raise ImageError(
        "expected an image as a path, bytes, file object, PIL image, numpy array or torch tensor, "
        f"got {type(source).__name__}"
    )


def write_image(path: str | os.PathLike[str], pixels: npt.NDArray[np.uint8]) -> None:
    """Write a picture file, whole or not at all; the suffix says the format.

    Args:
        path: of the file.
        pixels: (H, W, 3) uint8 RGB or (H, W, 4) RGBA.

    Raises:
        InputError: no format has this suffix or holds such a picture, or the place cannot be
            written to.
    """
    suffix = Path(path).suffix.lower()
    kind = Image.registered_extensions().get(suffix, "")
    if kind not in Image.SAVE:
        raise InputError(f"cannot write {path}: no picture format has the suffix {suffix!r}")
    # In memory, because Pillow takes half a JPEG for a whole one when the disk is full.
    encoded = io.BytesIO()
    try:
        Image.fromarray(pixels).save(encoded, kind)
    except (ValueError, OSError) as error:  # such as more pixels than the format allows
        raise InputError(f"cannot write {path}: {error}") from error
    with write_atomically(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())


@contextmanager
def open_picture(source: Path | IO[bytes], name: str = "") -> Iterator[Image.Image]:
    """Open a picture file with Pillow, whose limit of pixels is neither asked nor changed.

    Args:
        source: a regular file, or a file object from its beginning.
        name: what error messages call a file object.

    Yields:
        The image, decoded, of at most as many pixels as `samkit.limits` allows.

    Raises:
        ImageError: missing, no regular file, unreadable, damaged, empty or too large.
    """
    with ExitStack() as stack:
        if isinstance(source, Path):
            source, name = stack.enter_context(open_file(source, ImageError)), str(source)
        yield stack.enter_context(_opened(source, f"cannot read {name}", 0))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is wanted of an image; see `read_image`."""

    page: int | None
    bands: tuple[int, ...] | None
    scale: Scale
    window: Sequence[int] | None


def _checked_page(page: object) -> int | None:
    is_whole = isinstance(page, (int, np.integer)) and not isinstance(page, bool)
    if page is not None and not (is_whole and page >= 0):  # type: ignore[operator]
        raise InputError(f"page: expected a number from 0 on, got {shown(page)}")
    return None if page is None else int(page)  # type: ignore[call-overload]


def _cut(image: npt.NDArray[Any], window: Sequence[int] | None) -> npt.NDArray[Any]:
    """A window of an image (H, W, ...), contiguous; all of it without one."""
    if window is None:
        return image
    x0, y0, x1, y1 = checked_window(window, (image.shape[0], image.shape[1]))
    return np.ascontiguousarray(image[y0:y1, x0:x1])


def _rgb_from_stream(stream: Any, wanted: _Wanted) -> npt.NDArray[np.uint8]:
    name = f"file object {getattr(stream, 'name', type(stream).__name__)}"
    try:
        data = stream.read()
    except MemoryError:
        raise
    except Exception as error:  # of closed files, archives and connections, nearly anything
        raise ImageError(f"cannot read {name}: {error}") from error
    if not isinstance(data, bytes):
        raise ImageError(
            f"cannot read {name}: expected bytes, got {type(data).__name__}: open it in mode 'rb'"
        )
    return _decode(io.BytesIO(data), name, wanted)


def _decode(file: IO[bytes], name: str, wanted: _Wanted) -> npt.NDArray[np.uint8]:
    if is_tiff(file):
        with TiffPages(file, name) as tiff:
            page = tiff.chosen(wanted.page)
            window = None
            if wanted.window is not None:
                window = checked_window(wanted.window, tiff.size(page))
            rgb = tiff.read(page, bands=wanted.bands, scale=wanted.scale, window=window)
            if rgb is not None:
                return rgb
            page = tiff.number(page)
    else:
        page = wanted.page or 0
    with _opened(file, f"cannot read {name}", page) as image:
        rgb = None if page else _rgb_from_deep(image, file, name, wanted)
        if rgb is None:
            rgb = _rgb_from_pil(image, name, wanted, turn=True)
        return _cut(rgb, wanted.window)


def _opened(file: IO[bytes], what: str, page: int) -> Image.Image:
    """See `open_picture`; ``what`` begins the messages."""
    try:
        file.seek(0)
        if not file.read(1):
            raise ImageError(f"{what}: it is empty")
        file.seek(0)
        image = _open(file)
        if image is None:
            raise ImageError(f"{what}: not an image of a known format{_hint(file)}")
        check_image_size(image.height, image.width, what)
        if page >= (count := getattr(image, "n_frames", 1)):
            raise ImageError(f"{what}: expected a page below {count}, got {page}")
        if page:
            image.seek(page)
        image.load()
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise ImageError(f"{what}: {error}") from error
    return image


def _hint(file: IO[bytes]) -> str:
    """What to do with a format that is not read here."""
    file.seek(4)
    if file.read(8) in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return ": HEIC needs pillow-heif (pillow_heif.register_heif_opener()), or a JPEG made of it"
    return ""


def _open(file: IO[bytes]) -> Image.Image | None:
    """`Image.open` without its limit, which stops at photographs of 179 million pixels.

    The limit is a setting of the whole process, so the formats are asked here, one by one.
    Only headers are read. None is a format that Pillow does not know.
    """
    prefix = file.read(16)
    asked = set()
    for register in (Image.preinit, Image.init):  # the usual formats, then all
        register()
        for name in [name for name in Image.ID if name not in asked]:
            asked.add(name)
            image_of, accepts = Image.OPEN[name]
            accepted = accepts(prefix) if accepts else True
            if not accepted or isinstance(accepted, str):  # a text tells what is not installed
                continue
            file.seek(0)
            with suppress(SyntaxError, IndexError, TypeError, struct.error):  # of another format
                return image_of(file, "")
    return None


def _rgb_from_pil(
    image: Image.Image, name: str, wanted: _Wanted, *, turn: bool
) -> npt.NDArray[np.uint8]:
    check_image_size(image.height, image.width, f"cannot read {name}")
    try:
        image.load()
        upright = _upright(image) if turn else image
        mode = upright.mode
        is_8_bits = mode[0] not in "IF"
        if is_8_bits and (wanted.bands is None or mode not in _BANDED):
            values: npt.NDArray[Any] = _rgb_from_8_bits(upright)
        else:
            values = np.asarray(upright)
    except MemoryError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise ImageError(f"cannot read {name}: {error}") from error
    # Of mode "I", PNG and PPM hold 16 bits, in 32 because Pillow does.
    if mode[0] == "I" and (mode != "I" or image.format in ("PNG", "PPM")):
        values = values.astype(np.uint16)
    if is_8_bits and wanted.bands is None and wanted.scale == "full":  # it is what is wanted
        if turn:  # straight from a file
            warn_of_range(int(values.min()), int(values.max()), 255, name)
        return values
    return rgb_from_array(values, name, bands=wanted.bands, scale=wanted.scale)


def _rgb_from_deep(
    image: Image.Image, file: IO[bytes], name: str, wanted: _Wanted
) -> npt.NDArray[np.uint8] | None:
    """A picture that Pillow does not have right, turned as it found that it should be."""
    found = deep_values(image, file, f"cannot read {name}")
    if found is None:
        return None
    values, top = found
    if values.ndim == 3 and values.shape[2] == 2 and wanted.bands is None:  # grey and alpha
        values = values[:, :, :1]
    rgb = rgb_from_array(values, name, bands=wanted.bands, scale=wanted.scale, top=top)
    return np.ascontiguousarray(np.asarray(_upright(image, Image.fromarray(rgb))))


def _upright(image: Image.Image, pixels: Image.Image | None = None) -> Image.Image:
    """An image, or other pixels of it, turned as its EXIF orientation says."""
    pixels = image if pixels is None else pixels
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # damaged metadata does not make the pixels unreadable
        return pixels
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if method is None else pixels.transpose(method)


def _rgb_from_8_bits(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Pixels of any mode with 8 bits, band by band: Pillow makes copies of all that it gives."""
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND):
        band = image.crop((0, top, width, min(top + _BAND, height)))
        if band.mode in ("La", "LA"):
            band = band.convert("LA").convert("L")
        if band.mode in ("P", "PA", "RGBa"):
            band = band.convert("RGBA")  # straight to RGB, Pillow would complain about transparency
        rgb[top : top + _BAND] = np.asarray(band.convert("RGB"))
    return rgb
