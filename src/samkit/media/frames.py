"""Frames of a video, from wherever they come, read when they are needed."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from samkit.errors import ImageError, InputError
from samkit.media.files import IMAGE_SUFFIXES, list_images
from samkit.media.image import read_image

__all__ = ["Frames", "VideoSource", "open_frames"]

VideoSource: TypeAlias = str | os.PathLike[str] | int | npt.NDArray[Any] | Iterable[Any]
"""A video file, folder or pattern of pictures, URL, camera number, array or iterable of frames."""


class Frames(Protocol):
    """Frames by number. `count` is None while it is not known."""

    @property
    def count(self) -> int | None: ...

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        """Frame (H, W, 3) uint8 RGB.

        Raises:
            IndexError: the video ends before it.
            InputError: it has gone by and cannot be had again, or cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Let go of files and devices."""
        ...


def open_frames(source: VideoSource) -> Frames:
    """Frames of a source, recognised by its type and name.

    Raises:
        InputError: it does not exist, or is nothing of the kind.
    """
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        return CameraFrames(int(source))
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        path = Path(text)
        if "://" in text:
            return VideoFrames(text)
        is_picture = path.suffix.lower() in IMAGE_SUFFIXES
        if path.is_dir() or is_picture or any(sign in text for sign in "*?["):
            try:
                return PictureFrames(list_images([text]))
            except ImageError as error:
                raise InputError(str(error)) from error
        if not path.is_file():
            raise InputError(f"no such video: {text}")
        return VideoFrames(text)
    if isinstance(source, np.ndarray):
        if source.ndim < 3 or len(source) == 0:
            raise InputError(f"expected frames (T, H, W, 3), at least one, got {source.shape}")
        return ListFrames(source)
    if isinstance(source, (list, tuple)):
        if not source:
            raise InputError("expected at least one frame, got an empty list")
        return ListFrames(source)
    if isinstance(source, Iterable):
        return StreamFrames(iter(source))
    raise InputError(
        "expected a video file, a folder or pattern of pictures, a URL, a camera number, an array "
        f"or an iterable of frames, got {type(source).__name__}"
    )


class ListFrames:
    """Frames of an array (T, H, W, 3), or of a list of anything that `read_image` takes."""

    def __init__(self, frames: npt.NDArray[Any] | list[Any] | tuple[Any, ...]) -> None:
        self._frames = frames

    @property
    def count(self) -> int:
        return len(self._frames)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        if not 0 <= index < len(self._frames):
            raise IndexError(index)
        return read_image(self._frames[index])

    def close(self) -> None:
        pass


class PictureFrames(ListFrames):
    """Picture files in natural order: frame_2 comes before frame_10."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(sorted(paths, key=lambda path: (path.parent, _natural(path.name))))


class StreamFrames:
    """Frames of an iterator, each of which can be had once, and the last one again."""

    def __init__(self, frames: Iterator[Any]) -> None:
        self._frames = frames
        self._index = -1
        self._last: npt.NDArray[np.uint8] | None = None
        self._ended: int | None = None

    @property
    def count(self) -> int | None:
        return self._ended

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        if index < self._index:
            raise InputError(
                f"frame {index} has gone by: a stream is read once, and is at {self._index}"
            )
        while self._index < index:
            try:
                frame = next(self._frames)
            except StopIteration:
                self._ended = self._index + 1
                raise IndexError(index) from None
            self._index += 1
            self._last = read_image(frame)
        assert self._last is not None
        return self._last

    def close(self) -> None:
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()


class CameraFrames(StreamFrames):
    """Frames of a camera, by its number."""

    def __init__(self, number: int) -> None:
        import cv2

        self._camera = cv2.VideoCapture(number)
        if not self._camera.isOpened():
            raise InputError(f"cannot open camera {number}")
        super().__init__(self._shots())

    def _shots(self) -> Iterator[npt.NDArray[np.uint8]]:
        while True:
            found, frame = self._camera.read()
            if not found:
                return
            yield np.ascontiguousarray(frame[..., ::-1])

    def close(self) -> None:
        self._camera.release()


class VideoFrames:
    """Frames of a video file or URL, decoded one after the other; seeks where that is needed.

    Frames are numbered in the order in which they are shown, whatever their times are. Rotation
    that the file asks for is applied.
    """

    def __init__(self, source: str) -> None:
        import av

        self._name = source
        try:
            self._container = av.open(source)
            self._stream = self._container.streams.video[0]
        except (OSError, ValueError, IndexError) as error:  # av's errors are OSErrors or these
            raise InputError(f"cannot read {source} as a video: {error}") from error
        self._stream.thread_type = "AUTO"
        self._times: list[int] | None = None if "://" in source else self._all_times()
        if self._times is not None and not self._times:
            raise InputError(f"cannot read {source} as a video: it has no frames")
        self._restart()

    @property
    def count(self) -> int | None:
        return None if self._times is None else len(self._times)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        if index < 0 or (self._times is not None and index >= len(self._times)):
            raise IndexError(index)
        if self._last is not None and index == self._index:
            return self._last
        if index < self._index or (self._times is not None and index > self._index + 30):
            self._seek(index)
        while self._index < index:
            self._advance(index)
        assert self._last is not None
        return self._last

    def close(self) -> None:
        self._container.close()

    def _all_times(self) -> list[int]:
        """When each frame is shown, in the stream's units; packets are not decoded for it."""
        import av

        times = []
        try:
            for packet in self._container.demux(self._stream):
                if packet.pts is not None:
                    times.append(packet.pts)
        except av.FFmpegError:
            pass  # a truncated file: what there is up to there
        self._container.seek(0, stream=self._stream, any_frame=False)
        return sorted(set(times))

    def _restart(self) -> None:
        self._decoder = self._container.decode(self._stream)
        self._index = -1
        self._last: npt.NDArray[np.uint8] | None = None

    def _seek(self, index: int) -> None:
        if self._times is None:
            raise InputError(f"frame {index} of {self._name} has gone by: a stream is read once")
        self._container.seek(self._times[index], stream=self._stream, backward=True)
        self._restart()

    def _advance(self, wanted: int) -> None:
        import av

        try:
            frame = next(self._decoder)
        except StopIteration:
            if self._times is None:
                raise IndexError(wanted) from None
            raise InputError(
                f"{self._name} ends at frame {self._index + 1} of {len(self._times)}: it is cut off"
            ) from None
        except av.FFmpegError as error:
            raise InputError(
                f"cannot decode frame {self._index + 1} of {self._name}: {error}"
            ) from error
        if self._times is None or frame.pts is None:
            self._index += 1
        else:
            self._index = int(np.searchsorted(self._times, frame.pts))
        if self._index >= wanted:
            pixels = frame.to_ndarray(format="rgb24")
            turns = round(getattr(frame, "rotation", 0) / 90) % 4
            self._last = np.ascontiguousarray(np.rot90(pixels, turns))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key under which numbers in names count as numbers."""
    import re

    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
