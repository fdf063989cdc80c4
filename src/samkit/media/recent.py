"""Frames that are read ahead, in a thread of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from samkit.media.stream import VideoFormat

if TYPE_CHECKING:
    from samkit.media.frames import Frames

__all__ = ["RecentFrames"]

# One that is shown, and the next one.
_KEPT = 2


class RecentFrames:
    """Frames of which the last two are kept, and of which one may be read ahead.

    Several threads may read: one at a time, and for the frame that is shown and the next one a
    decoder need not go back.

    Args:
        frames: seekable; closed with these.
    """

    seekable = True

    def __init__(self, frames: "Frames") -> None:
        self._frames = frames
        self._lock = threading.Lock()
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}
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
            for old in list(self._kept)[: 1 - _KEPT]:
                del self._kept[old]
            self._kept[index] = pixels
        return self._kept[index]

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
