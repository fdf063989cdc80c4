"""Any usual source of one image to (H, W, 3) uint8 RGB."""

import io
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit.errors import ImageError, InputError
from samkit.files import open_file
from samkit.limits import check_image_size
from samkit.media.files import as_path
from samkit.media.pixels import is_tensor, rgb_from_array, rgb_from_tensor
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
_BAND = 256  # rows that are converted at a time


def read_image(source: ImageSource) -> npt.NDArray[np.uint8]:
    """Read one image as (H, W, 3) uint8 RGB.

    Accepted are a path (also as a ``file://`` address), the bytes of an image file, a binary file
    object (read from its position to its end), a PIL image, a numpy array (H, W), (H, W, 1),
    (H, W, 3) or (H, W, 4), and a torch tensor (3, H, W), (H, W, 3) or (H, W).

    - The EXIF orientation is applied, also to a PIL image that still carries it.
    - Alpha is dropped: the colours below it stay as they are stored, nothing is blended in.
    - Grey, palette, 1-bit, CMYK and other colour models become RGB.
    - 16-bit grey is divided by 257; other integers have to lie in 0..255 and floats in 0..1
      (details: `samkit.media.pixels.rgb_from_array`). Pillow reads 16-bit colour files as 8-bit.
    - Of an animation or a file of many pages the first one is read, of a PIL image the current one.
    - Colour profiles are not applied.
    - Limits and settings of Pillow are neither asked nor changed, but for WebP: of more than twice
      `PIL.Image.MAX_IMAGE_PIXELS` (179 million by default) it is refused.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous, new: it shares no memory with ``source``.

    Raises:
        ImageError: missing, unreadable, truncated or empty, larger than `samkit.limits` allows,
            or of a shape, type or range that is not an image.

    >>> read_image(np.zeros((4, 6), np.uint8)).shape
    (4, 6, 3)
    """
    if isinstance(source, np.ndarray):
        return rgb_from_array(source)
    if isinstance(source, Image.Image):
        width, height = source.size
        return _rgb_from_pil(source, f"PIL image {source.mode} {width} x {height}")
    if is_tensor(source):
        return rgb_from_tensor(source)
    if isinstance(source, (str, os.PathLike)):
        return _rgb_from_path(as_path(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(io.BytesIO(bytes(source)), f"{len(source)} bytes")
    if hasattr(source, "read"):
        return _rgb_from_stream(source)
    raise ImageError(
        "expected an image as a path, bytes, file object, PIL image, numpy array or torch tensor, "
        f"got {type(source).__name__}"
    )


def write_image(path: str | os.PathLike[str], pixels: npt.NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 RGB to a picture file, whole or not at all; the suffix says the format.

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


def open_picture(source: Path | IO[bytes], name: str = "") -> Image.Image:
    """Open a picture file with Pillow, whose limit of pixels is neither asked nor changed.

    Args:
        source: a regular file, or a file object from its beginning.
        name: what error messages call a file object.

    Returns:
        The image, decoded, of at most as many pixels as `samkit.limits` allows. It keeps the file
        open: close it.

    Raises:
        ImageError: missing, no regular file, unreadable, damaged, empty or too large.
    """
    if isinstance(source, Path):
        source, name = open_file(source, ImageError), str(source)
    try:
        image = _opened(source, f"cannot read {name}")
    except BaseException:
        source.close()
        raise
    return image


def _rgb_from_path(path: Path) -> npt.NDArray[np.uint8]:
    with open_file(path, ImageError) as file:
        return _decode(file, str(path))


def _rgb_from_stream(stream: Any) -> npt.NDArray[np.uint8]:
    name = f"file object {getattr(stream, 'name', type(stream).__name__)}"
    try:
        data = stream.read()
    except (OSError, ValueError) as error:  # a closed file raises ValueError
        raise ImageError(f"cannot read {name}: {error}") from error
    if not isinstance(data, bytes):
        raise ImageError(
            f"cannot read {name}: expected bytes, got {type(data).__name__}: open it in mode 'rb'"
        )
    return _decode(io.BytesIO(data), name)


def _decode(file: IO[bytes], name: str) -> npt.NDArray[np.uint8]:
    with _opened(file, f"cannot read {name}") as image:
        return _rgb_from_pil(image, name)


def _opened(file: IO[bytes], what: str) -> Image.Image:
    """See `open_picture`; ``what`` begins the messages."""
    if not file.read(1):
        raise ImageError(f"{what}: it is empty")
    file.seek(0)
    try:
        image = _open(file)
        if image is None:
            raise ImageError(f"{what}: not an image of a known format")
        check_image_size(image.height, image.width, what)
        image.load()
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise ImageError(f"{what}: {error}") from error
    return image


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


def _rgb_from_pil(image: Image.Image, name: str) -> npt.NDArray[np.uint8]:
    check_image_size(image.height, image.width, f"cannot read {name}")
    try:
        image.load()
        upright = _upright(image)
        if upright.mode[0] not in "IF":
            return _rgb_from_8_bits(upright)
        values = np.asarray(upright)
    except MemoryError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise ImageError(f"cannot read {name}: {error}") from error
    # Of mode "I", PNG and PPM hold 16 bits, in 32 because Pillow does.
    if upright.mode != "F" and (upright.mode != "I" or image.format in ("PNG", "PPM")):
        values = values.astype(np.uint16)
    return rgb_from_array(values, name)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # damaged metadata does not make the pixels unreadable
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


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
