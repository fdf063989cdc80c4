"""Frames of a video at an address, decoded as they arrive."""

import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.media.container import DAMAGE, OpenVideo, open_address, reason_of
from samkit.media.stream import StreamFrames, VideoFormat
from samkit.media.upright import Turn, turn_of, upright_rgb
from samkit.media.video_index import average_rate

__all__ = ["AddressFrames"]

# Seconds after which an address that sends nothing is given up.
_PATIENCE = 30.0

T = TypeVar("T")


class AddressFrames(StreamFrames):
    """Frames of a video at an address, as they arrive; each can be read once.

    Raises:
        InputError: it cannot be read, sends nothing for 30 seconds, or has no video stream.
    """

    def __init__(self, address: str) -> None:
        super().__init__(self._pictures())
        self._address = address
        self._time: Fraction | None = None
        self._thread = _Thread()
        self._source = _Source()
        try:
            self.format = self._thread.call(lambda: self._source.open(address))
        except BaseException:
            self.close()
            raise

    def _pictures(self) -> Iterator[npt.NDArray[np.uint8]]:
        while True:
            try:
                found = self._thread.call(self._source.next)
            except DAMAGE as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(
                    f"cannot read frame {self._index + 1} of {self._address}: {reason_of(error)}"
                ) from error
            if found is None:
                return
            self._time, pixels = found
            yield pixels

    def time(self, index: int) -> Fraction | None:
        return self._time if index == self._index else None

    def close(self) -> None:
        super().close()
        self._thread.end(self._source.close)


class _Source:
    """The container and its decoder; all that is done with them, one thread does."""

    def __init__(self) -> None:
        self._video: OpenVideo | None = None
        self._frames: Iterator[Any] = iter(())
        self._turn: Turn | None = None

    def open(self, address: str) -> VideoFormat:
        self._video = open_address(address, _PATIENCE)
        stream = self._video.stream
        self._frames = _decoded(self._video)
        return VideoFormat(
            rate=average_rate(stream),
            unit=Fraction(1, stream.time_base.denominator if stream.time_base else 90_000),
        )

    def next(self) -> tuple[Fraction | None, npt.NDArray[np.uint8]] | None:
        """The time and pixels of the next frame; None at the end."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        if self._turn is None:
            self._turn = turn_of(frame)
        pts, unit = frame.pts, frame.time_base
        return None if pts is None or unit is None else pts * unit, upright_rgb(frame, self._turn)

    def close(self) -> None:
        self._frames = iter(())
        if self._video is not None:
            self._video.close()
            self._video = None


def _decoded(video: OpenVideo) -> Iterator[Any]:
    for packet in video.container.demux(video.stream):
        if packet.size or packet.dts is None:  # the last, empty one is the end
            yield from packet.decode()


class _Thread:
    """A thread that does one thing after the other, so that Ctrl-C need not wait for it.

    FFmpeg does not look for signals while it waits for an address.
    """

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._is_waiting = self._is_ended = False
        # As a daemon, it does not hold up the end of the program.
        self._thread = threading.Thread(
            target=_work, args=(self._tasks, self._results), name="samkit-address", daemon=True
        )
        self._thread.start()
        weakref.finalize(self, self._tasks.put, None)

    def call(self, task: Callable[[], T]) -> T:
        """Do something in the thread, and wait for it.

        Raises:
            InputError: the thread has ended, or a call before this one was interrupted.
        """
        if self._is_ended or self._is_waiting:
            raise InputError("this address is closed; open it again")
        self._is_waiting = True
        self._tasks.put(task)
        result, error = self._results.get()
        self._is_waiting = False
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def end(self, last: Callable[[], None]) -> None:
        """Do a last thing, and end; without waiting where a call was interrupted."""
        if self._is_ended:
            return
        self._is_ended = True
        self._tasks.put(last)
        self._tasks.put(None)
        if not self._is_waiting:
            self._thread.join()


def _work(
    tasks: "queue.SimpleQueue[Callable[[], Any] | None]",
    results: "queue.SimpleQueue[tuple[Any, BaseException | None]]",
) -> None:
    while (task := tasks.get()) is not None:
        try:
            results.put((task(), None))
        except BaseException as error:
            results.put((None, error))
