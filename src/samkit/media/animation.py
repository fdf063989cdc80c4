"""Files of pictures that may be animated: which of them are, and those that FFmpeg cannot read."""

import enum
import itertools
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import GifImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from samkit.errors import InputError
from samkit.files import open_file
from samkit.limits import check_image_size
from samkit.media.stream import VideoFormat

__all__ = ["AnimationFrames", "Content", "content_of"]

_HEAD = 32  # bytes that tell a format
_ANIMATED = 2  # a flag of WebP
# Brands of ISO base media files that hold pictures (ISO 23008-12, AV1 Image File Format).
_PICTURE_BRANDS = frozenset(
    b"avif avis heic heix heim heis hevc hevx hevm hevs mif1 mif2 msf1 miaf j2ki j2is".split()
)
_MILLISECOND = Fraction(1, 1000)
_DEFAULT_RATE = Fraction(25)


class Content(enum.Enum):
    """What a file holds."""

    PICTURE = enum.auto()
    ANIMATION = enum.auto()  # that FFmpeg cannot read
    VIDEO = enum.auto()  # or an animation that FFmpeg can read
    UNKNOWN = enum.auto()


def content_of(path: Path) -> Content:
    """What a file holds, by its first bytes; damaged ones are PICTURE or UNKNOWN.

    Raises:
        InputError: no regular file, or it cannot be read.
    """
    with open_file(path) as file:
        try:
            return _content(file)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _content(file: IO[bytes]) -> Content:
    head = file.read(_HEAD)
    file.seek(0)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return (
            Content.VIDEO if _count_of(GifImagePlugin.GifImageFile, file) > 1 else Content.PICTURE
        )
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return (
            Content.VIDEO if _count_of(PngImagePlugin.PngImageFile, file) > 1 else Content.PICTURE
        )
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        animated = head[12:16] == b"VP8X" and head[20:21] and head[20] & _ANIMATED
        return Content.ANIMATION if animated else Content.PICTURE
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
        return Content.VIDEO if b"moov" in _boxes(file) else Content.PICTURE
    return Content.UNKNOWN


def _count_of(plugin: Callable[[IO[bytes]], ImageFile], file: IO[bytes]) -> int:
    """How many frames a picture has; 1 if it is damaged, which reading it will say.

    The plugin is asked itself: `Image.open` would stop at pictures of 179 million pixels.
    """
    try:
        with plugin(file) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # decoders of damaged files raise nearly anything
        return 1


def _boxes(file: IO[bytes]) -> Iterator[bytes]:
    """Types of the boxes of an ISO base media file (ISO 14496-12, 4.2)."""
    while len(head := file.read(16)) >= 8:
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        yield kind
        read = len(head)
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8:  # 0: to the end of the file
            return
        file.seek(size - read, os.SEEK_CUR)


class AnimationFrames:
    """Frames of an animated WebP, decoded by Pillow when they are needed.

    Going backward decodes from the first frame on.

    Raises:
        InputError: it cannot be read, or is damaged or too large.
    """

    seekable = True

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_file(path) as file:
            try:
                durations = _durations(file)
                file.seek(0)
                self._image: ImageFile | None = WebPImagePlugin.WebPImageFile(file)
            except Exception as error:  # decoders of damaged files raise nearly anything
                raise InputError(f"cannot read {path} as a video: {error}") from error
        width, height = self._image.size
        check_image_size(height, width, f"cannot read {path} as a video", InputError)
        self.count: int = self._image.n_frames
        self._times = list(itertools.accumulate(durations, initial=0))
        total = self._times[-1]
        rate = Fraction(1000 * len(durations), total) if total else _DEFAULT_RATE
        self.format: VideoFormat | None = VideoFormat(rate=rate, unit=_MILLISECOND)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        if self._image is None:
            raise InputError(f"the frames of {self._path} are closed; open them again")
        if not 0 <= index < self.count:
            raise IndexError(index)
        try:
            self._image.seek(index)
            pixels = np.array(self._image.convert("RGB"))
        except (EOFError, OSError, ValueError) as error:
            raise InputError(f"cannot decode frame {index} of {self._path}: {error}") from error
        pixels.flags.writeable = False
        return pixels

    def time(self, index: int) -> Fraction | None:
        return self._times[index] * _MILLISECOND if index < len(self._times) else None

    def name(self, index: int) -> str | None:
        return None

    def close(self) -> None:
        if self._image is not None:
            self._image.close()
            self._image = None


def _durations(file: IO[bytes]) -> list[int]:
    """Of the frames of an animated WebP, in milliseconds (RFC 9649, 2.7.1.1)."""
    file.seek(12)
    found = []
    while len(head := file.read(8)) == 8:
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        data = file.read(16) if kind == b"ANMF" else b""
        if len(data) == 16:
            found.append(int.from_bytes(data[12:15], "little"))
        file.seek(size + size % 2 - len(data), os.SEEK_CUR)
    return found
