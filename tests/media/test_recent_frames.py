"""Frames that are kept, and read ahead in a thread."""

import threading
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from samkit.errors import InputError
from samkit.media import frames as frames_module
from samkit.media.frames import Frames, RecentFrames, open_frames
from samkit.media.stream import VideoFormat


class Slow:
    """Frames of which number 7 cannot be read; it is known which were, and by how many at once."""

    seekable = True
    count = 20
    format: VideoFormat | None = None

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.readers = self.most = 0
        self.is_closed = False

    def read(self, index: int) -> NDArray[np.uint8]:
        self.readers += 1
        self.most = max(self.most, self.readers)
        threading.Event().wait(0.002)
        self.readers -= 1
        self.numbers.append(index)
        if self.is_closed:
            raise InputError("closed")
        if index >= self.count:
            raise IndexError(index)
        if index == 7:
            raise InputError("damaged")
        return np.full((2, 2, 3), index, np.uint8)

    def time(self, index: int) -> Fraction | None:
        return Fraction(index, 25)

    def name(self, index: int) -> str | None:
        return f"{index}.png"

    def close(self) -> None:
        self.is_closed = True


def test_two_are_kept() -> None:
    source = Slow()
    frames = RecentFrames(source)
    for i in (0, 1, 0, 1, 2, 1, 2, 0):
        assert frames.read(i)[0, 0, 0] == i
    assert source.numbers == [0, 1, 2, 0]


def test_more_are_kept_if_they_are_shown_later(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Slow()
    frames = RecentFrames(source)
    frames.keep(4)
    frames.keep(3)
    for i in range(3, 7):
        frames.read(i)
        frames.read(max(3, i - 3))
    assert source.numbers == [3, 4, 5, 6]
    monkeypatch.setattr(frames_module, "_KEPT_BYTES", 3 * 12)  # three of these
    for i in (8, 9, 10, 8, 11, 8):
        frames.read(i)
    assert source.numbers == [3, 4, 5, 6, 8, 9, 10, 11, 8]


def test_one_that_is_read_ahead_is_read_once() -> None:
    source = Slow()
    frames = RecentFrames(source)
    for i in range(6):
        assert frames.read(i)[0, 0, 0] == i
        frames.begin(i + 1)
        assert frames.read(i)[0, 0, 0] == i  # such as to draw on it
    frames.close()
    assert source.numbers == list(range(7))
    assert source.most == 1
    assert source.is_closed


def test_what_goes_wrong_ahead_is_said_when_it_is_read() -> None:
    frames = RecentFrames(Slow())
    frames.begin(7)
    frames.begin(20)
    frames.begin(-1)
    with pytest.raises(InputError, match="damaged"):
        frames.read(7)
    with pytest.raises(IndexError):
        frames.read(20)
    assert frames.read(3)[0, 0, 0] == 3
    frames.close()
    with pytest.raises(InputError, match="closed"):
        frames.read(3)


def test_the_rest_is_that_of_the_frames() -> None:
    frames = RecentFrames(Slow())
    assert isinstance(frames, Frames)
    assert (frames.count, frames.format, frames.seekable) == (20, None, True)
    assert (frames.time(5), frames.name(5)) == (Fraction(1, 5), "5.png")


def test_opened_frames_in_any_order_are_such() -> None:
    pictures = np.zeros((3, 4, 5, 3), np.uint8)
    assert isinstance(open_frames(pictures), RecentFrames)
    assert not isinstance(open_frames(iter(pictures)), RecentFrames)
    own = Slow()
    assert open_frames(own) is own
