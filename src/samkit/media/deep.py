"""Pictures whose values Pillow narrows to 8 bits, stretches or takes for others."""

import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from samkit.errors import ImageError

__all__ = ["deep_values"]

# Values (H, W) or (H, W, bands) as they are in the file, and the largest that there may be; None
# where that is what their type holds.
Values = tuple[npt.NDArray[Any], int | None]

# Pillow's names of what is read here; others, such as CMYK, have no value to compare with.
_MODES = ("L", "LA", "I", "I;16", "I;16B", "RGB", "RGBA")
_SYCC = 18  # colour space of JPEG 2000 (ISO 15444-1, I.5.3.3)
_HEAD = 2**16  # bytes in which the numbers at the beginning of a PNM are
_CARD = 80  # characters of a line in a header of FITS


def deep_values(image: Image.Image, file: IO[bytes], what: str) -> Values | None:
    """The values of an opened picture, not turned; None where Pillow has them right.

    Args:
        image: as Pillow opened it.
        file: that it is in.
        what: the beginning of error messages.

    Raises:
        ImageError: it is damaged, or its values are of a kind that is not read.
    """
    read = _READERS.get(image.format or "")
    if read is None:
        return None
    try:
        file.seek(0)
        found = read(image, file)
        if found is not None and image.mode not in _MODES:
            raise ImageError(f"colours {image.mode} of more than 8 bits")
    except MemoryError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise ImageError(f"{what}: {error}") from error
    return found


def _png(image: Image.Image, file: IO[bytes]) -> Values | None:
    """Colours, or grey with alpha, of 16 bits (PNG, third edition, 11.2.1)."""
    from imagecodecs import png_decode

    head = file.read(26)
    if tuple(head[24:]) not in ((16, 2), (16, 4), (16, 6)):
        return None
    return png_decode(head + file.read()), None


def _jpeg2000(image: Image.Image, file: IO[bytes]) -> Values | None:
    """Of more than 8 bits, where Pillow's white becomes black (ISO 15444-1, A.5.1)."""
    from imagecodecs import jpeg2k_decode

    data = file.read()
    at = data.index(b"\xff\x4f\xff\x51") + 8
    x1, y1, x0, y0 = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (0, 4, 8, 12))
    count = int.from_bytes(data[at + 32 : at + 34], "big")
    depths = set(data[at + 34 : at + 34 + 3 * count : 3])
    if max(depth & 127 for depth in depths) < 8:
        return None
    if (x1 - x0, y1 - y0) != image.size:
        raise ImageError(f"expected {image.size} pixels, got {(x1 - x0, y1 - y0)}")
    space = data.find(b"colr\1", 0, at)
    is_sycc = space >= 0 and int.from_bytes(data[space + 7 : space + 11], "big") == _SYCC
    if is_sycc or len(depths) > 1:
        raise ImageError("expected RGB or grey, with as many bits in all, of more than 8 bits")
    depth = depths.pop()
    return jpeg2k_decode(data), None if depth & 128 else 2 ** (depth + 1) - 1


def _avif(image: Image.Image, file: IO[bytes]) -> Values | None:
    """Of 10 or 12 bits (AV1 in ISO base media files, 2.3.3)."""
    from imagecodecs import avif_decode

    data = file.read()
    at = data.find(b"av1C")
    if at < 0 or not data[at + 6] & 64:
        return None
    return avif_decode(data), 4095 if data[at + 6] & 32 else 1023


def _pnm(image: Image.Image, file: IO[bytes]) -> Values | None:
    """Of another largest value than 255 and 65535 in grey, which Pillow stretches."""
    head = file.read(_HEAD)
    gap = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P([2356])" + rb"".join([gap + rb"(\d+)"] * 3) + rb"\s", head)
    if found is None or int(found[4]) == 255:  # bits, floats, or as Pillow reads them
        return None
    kind, top = int(found[1]), int(found[4])
    data = head[found.end() :] + file.read()
    shape = (image.height, image.width, 3 if kind in (3, 6) else 1)
    count = image.height * image.width * shape[2]
    if kind in (2, 3):
        words = re.sub(rb"#[^\n]*", b" ", data).split(None, count)[:count]
        return np.array(words, np.int64).reshape(shape), top
    return np.frombuffer(data, np.uint8 if top < 256 else ">u2", count).reshape(shape), top


def _sgi(image: Image.Image, file: IO[bytes]) -> Values | None:
    if file.read(4)[3] == 1:  # byte a value
        return None
    raise ImageError("SGI of 16 bits is not read: convert it to PNG or TIFF")


def _fits(image: Image.Image, file: IO[bytes]) -> Values | None:
    """Signed integers, or unsigned ones that are stored less an offset (FITS 4.0, 4.4.2)."""
    cards: dict[str, str] = {}
    while len(line := file.read(_CARD)) == _CARD and not line.startswith(b"END "):
        card = line.decode("latin-1")
        cards.setdefault(card[:8].strip(), card[10:].partition("/")[0].strip())
    zero, unit = float(cards.get("BZERO", "0")), float(cards.get("BSCALE", "1"))
    bits, axes = int(cards.get("BITPIX", "8")), int(cards.get("NAXIS", "2"))
    deep = any(int(cards.get(f"NAXIS{i}", "1")) > 1 for i in range(3, axes + 1))
    if deep or unit != 1 or (bits, zero) not in ((16, 32768), (16, 0), *((b, 0) for b in _FITS)):
        raise ImageError(
            f"FITS of {axes} axes, BITPIX {bits}, BZERO {zero:g} and BSCALE {unit:g} is not read: "
            "open it with another library, and give the array"
        )
    if bits != 16:
        return None
    signed = np.asarray(image).astype(np.uint16).view(np.int16)
    return (signed if zero == 0 else (signed.astype(np.int32) + 32768).astype(np.uint16)), None


_FITS = (8, 32, -32, -64)  # bits, negative of floats, that Pillow has right
_READERS: dict[str, Callable[[Image.Image, IO[bytes]], Values | None]] = {
    "PNG": _png,
    "JPEG2000": _jpeg2000,
    "AVIF": _avif,
    "PPM": _pnm,
    "SGI": _sgi,
    "FITS": _fits,
}
