"""Frames that can be read once, in order: of an iterator, of a camera."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from samkit.errors import InputError, shown
from samkit.media.image import read_image

__all__ = ["CameraFrames", "StreamFrames", "VideoFormat"]


@dataclass(frozen=True, kw_only=True)
class VideoFormat:
    """How a video shows its frames, so that one like it can be written.

    Attributes:
        rate: frames per second, on average.
        unit: seconds; the times of all frames are multiples of it.
        pixel_aspect: width of a pixel by its height.
    """

    rate: Fraction
    unit: Fraction
    pixel_aspect: Fraction = Fraction(1)


class StreamFrames:
    """Frames of an iterator, read once in order; the last one can be read again."""

    seekable = False
    format: VideoFormat | None = None

    def __init__(self, frames: Iterator[Any]) -> None:
        self._frames = frames
        self._index = -1
        self._last: npt.NDArray[np.uint8] | None = None
        self._ended: int | None = None

    @property
    def count(self) -> int | None:
        return self._ended

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        if index < self._index or index < 0:
            raise InputError(
                f"frame {index} has gone by: a stream is read once, and is at {self._index}"
            )
        while self._index < index:
            try:
                frame = next(self._frames)
            except StopIteration:
                self._ended = self._index + 1
                raise IndexError(index) from None
            self._index, self._last = self._index + 1, None
            self._last = read_image(frame)
        if self._last is None:
            raise InputError(f"frame {index} has gone by and could not be read")
        return self._last

    def time(self, index: int) -> Fraction | None:
        return None

    def name(self, index: int) -> str | None:
        return None

    def close(self) -> None:
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()


class CameraFrames(StreamFrames):
    """Frames of a camera, by its number. Times are counted from its first frame."""

    def __init__(self, number: int) -> None:
        if not 0 <= number < 2**31:
            raise InputError(f"camera: expected a number from 0 on, got {shown(number)}")
        self._camera = cv2.VideoCapture(number)
        if not self._camera.isOpened():
            self._camera.release()
            raise InputError(f"cannot open camera {number}")
        self._taken: list[float] = []  # when the first frame was taken, and the last one
        super().__init__(self._shots())

    def _shots(self) -> Iterator[npt.NDArray[np.uint8]]:
        while True:
            found, frame = self._camera.read()
            if not found:
                return
            self._taken = [*self._taken[:1], time.monotonic()]
            yield np.ascontiguousarray(frame[..., ::-1])

    def time(self, index: int) -> Fraction | None:
        if index != self._index or not self._taken:
            return None
        return Fraction(self._taken[-1] - self._taken[0]).limit_denominator(90_000)

    def close(self) -> None:
        self._camera.release()
