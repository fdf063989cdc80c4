"""Frames of a video, from wherever they come, read when they are needed."""

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError, InputError
from samkit.files import open_file
from samkit.media.address import AddressFrames
from samkit.media.animation import AnimationFrames, Content, content_of
from samkit.media.files import IMAGE_SUFFIXES, as_path, list_images
from samkit.media.image import read_image
from samkit.media.pixels import Scale, checked_bands, checked_scale
from samkit.media.stream import CameraFrames, StreamFrames, VideoFormat
from samkit.media.tiff import TiffPages, is_tiff
from samkit.media.video_file import VideoFrames

__all__ = ["Frames", "RecentFrames", "VideoSource", "open_frames"]

# Frames that are kept: one that is shown, and the next one; more only up to so many bytes.
_KEPT = 2
_KEPT_BYTES = 2**28

_Read: TypeAlias = partial[npt.NDArray[np.uint8]]  # of `read_image`, with bands and scale


@runtime_checkable
class Frames(Protocol):
    """Frames by number, from 0.

    Attributes:
        count: how many there are, or None while that is not known.
        seekable: whether frames can be read in any order; if not, each once, in order.
        format: of a video; None of pictures, arrays and cameras.
    """

    @property
    def count(self) -> int | None: ...

    @property
    def seekable(self) -> bool: ...

    @property
    def format(self) -> VideoFormat | None: ...

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        """Frame (H, W, 3) uint8 RGB, not to be changed.

        Raises:
            IndexError: the video ends before it.
            InputError: it has gone by and cannot be read again, or cannot be decoded.
        """
        ...

    def time(self, index: int) -> Fraction | None:
        """When a frame is shown, in seconds, as the file has it; None if that is not known.

        If not seekable, only the time of the last frame is known.
        """
        ...

    def name(self, index: int) -> str | None:
        """The name of a frame's picture file, without its folder; None of other frames."""
        ...

    def close(self) -> None:
        """Close files and devices."""
        ...


VideoSource: TypeAlias = str | os.PathLike[str] | int | npt.NDArray[Any] | Iterable[Any] | Frames
"""A video file, folder or pattern of pictures, URL, camera number, array or iterable of frames, or
open frames."""


def open_frames(
    source: VideoSource,
    *,
    bands: int | Sequence[int] | None = None,
    scale: Scale = "full",
) -> Frames:
    """Frames of a source, recognised by its type and name.

    Pictures of a folder or pattern come in natural order (frame_2 before frame_10). Of a single
    GIF, PNG, WebP, AVIF or HEIF that is animated the frames are taken, of a TIFF file of several
    pages the pages. `Frames` are returned unchanged.

    Args:
        source: where the frames come from.
        bands, scale: how pictures, pages and arrays are read, each by itself; see
            `samkit.read_image`. To give all of them one range, say it: ``scale=(low, high)``.

    Raises:
        InputError: it does not exist, or is nothing of the kind; or bands or a scale for a video.
    """
    checked_bands(bands), checked_scale(scale)
    frames = _opened(source, partial(read_image, bands=bands, scale=scale))
    if (bands is not None or scale != "full") and not isinstance(frames, ListFrames):
        if frames is not source:
            frames.close()
        raise InputError("bands and scale are for pictures, pages and arrays, not for a video")
    return RecentFrames(frames) if frames is not source and frames.seekable else frames


def _opened(source: VideoSource, read: _Read) -> Frames:
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        return CameraFrames(int(source))
    if isinstance(source, (str, os.PathLike)):
        return _named(os.fspath(source), read)
    shape = getattr(source, "shape", None)  # of an array or a tensor
    if isinstance(shape, tuple) and len(shape) < 3:
        raise InputError(f"expected frames (T, H, W, 3), got shape {tuple(shape)}")
    if isinstance(source, (np.ndarray, list, tuple)):
        if len(source) == 0:
            raise InputError("expected at least one frame, got none")
        return ListFrames(source, read)
    if isinstance(source, Frames):
        return source
    if isinstance(source, Iterable):
        return StreamFrames(iter(source))
    raise InputError(
        "expected a video file, a folder or pattern of pictures, a URL, a camera number, an array "
        f"or an iterable of frames, got {type(source).__name__}"
    )


def _named(text: str, read: _Read) -> Frames:
    if "://" in text and not text.lower().startswith("file://"):
        return AddressFrames(text)
    try:
        path = as_path(text)
        if path.is_file():
            return _of_file(path, read)
        if path.is_dir() or any(sign in text for sign in "*?["):
            return PictureFrames(list_images([path]), read)
        if path.exists():  # a pipe or device, which this refuses
            open_file(path).close()
    except ImageError as error:
        raise InputError(str(error)) from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {text!r}: {reason}") from error
    raise InputError(f"no such video: {text}")


def _of_file(path: Path, read: _Read) -> Frames:
    with open_file(path, ImageError) as file:
        tiff = is_tiff(file)
    if tiff:
        pages = PageFrames(path, read)
        if pages.count > 1:
            return pages
        pages.close()  # of a single one the name is known
        return PictureFrames([path], read)
    content = content_of(path)
    if content is Content.ANIMATION:
        return AnimationFrames(path)
    is_picture = content is Content.UNKNOWN and path.suffix.lower() in IMAGE_SUFFIXES
    if content is Content.PICTURE or is_picture:
        return PictureFrames([path], read)
    return VideoFrames(path)


class ListFrames:
    """Frames of an array (T, H, W, 3), or of a list of anything that `read_image` takes."""

    seekable = True
    format: VideoFormat | None = None

    def __init__(
        self,
        frames: Sequence[Any] | npt.NDArray[Any],
        read: Callable[[Any], npt.NDArray[np.uint8]],
    ) -> None:
        self._frames = frames
        self._read = read

    @property
    def count(self) -> int:
        return len(self._frames)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        if not 0 <= index < len(self._frames):
            raise IndexError(index)
        return self._read(self._frames[index])

    def time(self, index: int) -> Fraction | None:
        return None

    def name(self, index: int) -> str | None:
        return None

    def close(self) -> None:
        pass


class PictureFrames(ListFrames):
    """Picture files in natural order: frame_2 comes before frame_10."""

    def __init__(self, paths: list[Path], read: _Read) -> None:
        self._paths = sorted(paths, key=lambda path: (path.parent, _natural(path.name)))
        super().__init__(self._paths, read)
        # Files made of a.jpg and a.png, or of x/a.jpg and y/a.jpg, would have one name.
        self._distinct = max(Counter(path.stem for path in paths).values()) == 1

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        if 0 <= index < len(self._paths):
            path = self._paths[index]
            if content_of(path) in (Content.ANIMATION, Content.VIDEO):
                raise InputError(
                    f"frame {index}: expected a picture, but {path} is animated; give it alone, by "
                    "its own name, to read its frames"
                )
        return super().read(index)

    def name(self, index: int) -> str | None:
        return self._paths[index].name if self._distinct else None


class PageFrames(ListFrames):
    """Pages of a TIFF file, which stays open."""

    def __init__(self, path: Path, read: _Read) -> None:
        self._file = open_file(path, ImageError)
        try:
            self._pages = TiffPages(self._file, str(path))
        except BaseException:
            self._file.close()
            raise
        super().__init__(range(self._pages.count), lambda page: self._page(path, page, read))

    def close(self) -> None:
        self._pages.close()
        self._file.close()

    def _page(self, path: Path, page: int, read: _Read) -> npt.NDArray[np.uint8]:
        if self._file.closed:
            raise InputError(f"the pages of {path} are closed; open them again")
        how = read.keywords
        rgb = self._pages.read(page, bands=checked_bands(how["bands"]), scale=how["scale"])
        return read(path, page=page) if rgb is None else rgb


class RecentFrames:
    """Frames of which the last ones are kept, and of which one may be read ahead.

    Several threads may read: one at a time, and for the frame that is shown and the next one a
    decoder need not go back.

    Args:
        frames: seekable; closed with these.
    """

    seekable = True

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._lock = threading.Lock()
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}
        self._most = _KEPT
        self._thread: ThreadPoolExecutor | None = None
        self._next: int | None = None

    @property
    def count(self) -> int | None:
        return self._frames.count

    @property
    def format(self) -> VideoFormat | None:
        return self._frames.format

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        with self._lock:
            return self._read(index)

    def _read(self, index: int) -> npt.NDArray[np.uint8]:
        if index not in self._kept:
            pixels = self._frames.read(index)
            room = max(_KEPT, min(self._most, _KEPT_BYTES // pixels.nbytes))
            for old in list(self._kept)[: max(0, len(self._kept) - room + 1)]:
                del self._kept[old]
            self._kept[index] = pixels
        return self._kept[index]

    def keep(self, count: int) -> None:
        """Keep so many from now on, if they take no more than 256 MB: they are shown later."""
        self._most = max(self._most, count)

    def begin(self, index: int) -> None:
        """Read a frame meanwhile, for the `read` that follows, which also says what goes wrong."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "samkit-frames")
        self._next = index
        self._thread.submit(self._read_ahead, index)

    def _read_ahead(self, index: int) -> None:
        with self._lock:
            if index == self._next:  # otherwise others have been faster
                self._read(index)

    def time(self, index: int) -> Fraction | None:
        return self._frames.time(index)

    def name(self, index: int) -> str | None:
        return self._frames.name(index)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        with self._lock:
            self._kept.clear()
            self._frames.close()


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key under which numbers in names count as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
