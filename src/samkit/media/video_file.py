"""Frames of a video file or address, decoded when they are needed."""

import bisect
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike, fspath
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from samkit.errors import InputError
from samkit.media.stream import StreamFrames, VideoFormat
from samkit.media.video_index import average_rate, open_video, reason_of, scan_video

__all__ = ["AddressFrames", "VideoFrames"]

# Decoded frames that are kept while frames are read backward: each step back needs the same ones.
_KEPT_BYTES = 2**28
# Seconds after which an address that sends nothing is given up.
_PATIENCE = 30.0
_BT709 = 1  # number of the colour space in H.264 and others


class VideoFrames:
    """Frames of a video file.

    They are numbered in the order in which they are shown, whatever their times are, and those that
    the file says are not to be shown do not count. Rotation that the file asks for is applied. When
    it is opened the file is read through, without being decoded, to know its frames and times.

    Going forward, each frame is decoded once, and frames between two that are far apart are decoded
    only from the last keyframe on. Going backward, up to 256 MB of decoded frames are kept.

    Raises:
        InputError: it cannot be read, has no video stream, or its first frame cannot be decoded.
    """

    seekable = True

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = fspath(path)
        self._index = scan_video(self._path)
        self._container, self._stream = open_video(self._path)
        self._is_closed = False
        self._kept: dict[int, av.VideoFrame] = {}
        self._shown: tuple[int, npt.NDArray[np.uint8]] | None = None
        self._at = -1  # the frame that was decoded last
        self._fault = ""
        self._turn = _turn(self._first_frame())
        rate = average_rate(self._stream)
        unit = self._stream.time_base
        self._unit = 1 / rate if self._index.is_counted or unit is None else unit
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        self.format: VideoFormat | None = VideoFormat(
            rate=rate,
            unit=Fraction(1, self._unit.denominator),
            pixel_aspect=1 / aspect if self._turn.swaps_axes else aspect,
        )

    @property
    def count(self) -> int:
        return len(self._index.times)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        if self._is_closed:  # the decoder would crash
            raise InputError(f"the frames of {self._path} are closed; open them again")
        if not 0 <= index < self.count:
            if self._index.is_cut and index >= self.count:
                raise InputError(
                    f"{self._path} is cut off: it ends after frame {self.count - 1}, "
                    "before its header says"
                )
            raise IndexError(index)
        if self._shown is None or self._shown[0] != index:
            self._shown = (index, _pixels(self._frame(index), self._turn))
        return self._shown[1]

    def time(self, index: int) -> Fraction | None:
        return self._index.times[index] * self._unit

    def name(self, index: int) -> str | None:
        return None

    def close(self) -> None:
        self._is_closed = True
        self._container.close()
        self._kept.clear()

    def _first_frame(self) -> av.VideoFrame:
        self._restart()
        frame = next(self._decoder, None)
        if frame is None or self.count == 0:
            reason = self._fault or "there is no whole frame in it"
            raise InputError(f"cannot read {self._path} as a video: {reason}")
        # A recording can begin with frames that need others from before its beginning.
        if not self._index.is_counted and frame.pts is not None:
            self._index = self._index.from_time(frame.pts)
        self._at, self._kept = 0, {0: frame}
        return frame

    def _frame(self, index: int) -> av.VideoFrame:
        if index in self._kept:
            return self._kept[index]
        back = index < self._at
        if back or self._index.keyframe(index) > self._at:
            self._seek(index)
        room = _KEPT_BYTES if back else 0
        while self._at < index:
            if not self._step(room):
                if self._index.is_counted and not self._fault:  # fewer frames than packets
                    self._index = self._index.up_to(self._at + 1)
                    raise IndexError(index)
                break
        if index not in self._kept:
            reason = self._fault or "its data is damaged"
            raise InputError(f"cannot decode frame {index} of {self._path}: {reason}")
        return self._kept[index]

    def _seek(self, index: int) -> None:
        """Go to the last keyframe up to a frame, or to an earlier one where that overshoots."""
        key = self._index.keyframe(index)
        while key > 0:
            self._container.seek(self._index.times[key], stream=self._stream, backward=True)
            self._restart()
            while self._at < key and self._step(0):
                pass
            if self._at == key:
                return
            key = self._index.keyframe(key - 1)
        # Not every format can be sent back to its beginning.
        self._container.close()
        self._container, self._stream = open_video(self._path)
        self._restart()

    def _restart(self) -> None:
        """Decode from where the container stands."""
        self._decoder = self._decoded()
        self._kept.clear()
        self._at = -1
        self._is_damaged = False

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Frames from where the container stands, up to an error, which is noted."""
        self._fault = ""
        try:
            yield from _decoded(self._container, self._stream, self._index.torn)
        except (av.FFmpegError, OSError) as error:
            self._fault = reason_of(error)
            with contextlib.suppress(av.FFmpegError):  # frames that the decoder still holds
                yield from self._stream.codec_context.decode(None)

    def _step(self, room: int) -> bool:
        """Decode one frame; of those before it keep what fits in so many bytes."""
        frame = next(self._decoder, None)
        if frame is None:
            return False
        before, self._at = self._at, self._number(frame)
        if before >= 0 and self._at > before + 1:
            self._is_damaged = True  # what is missing, later frames were made from
        if self._index.keyframe(self._at) == self._at:
            self._is_damaged = False
        if self._is_damaged:
            return True
        self._kept[self._at] = frame
        size = sum(plane.buffer_size for plane in frame.planes)
        for number in list(self._kept)[: max(0, len(self._kept) - max(1, room // size))]:
            del self._kept[number]
        return True

    def _number(self, frame: av.VideoFrame) -> int:
        if self._index.is_counted or frame.pts is None:
            return self._at + 1
        times = self._index.times
        number = bisect.bisect_left(times, frame.pts)
        following = self._at + 1
        if number < following < len(times) and times[following] == frame.pts:
            return following  # several frames at one time
        return number


class AddressFrames(StreamFrames):
    """Frames of a video at an address, as they arrive; each can be read once."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._container, self._stream = open_video(address, timeout=_PATIENCE)
        self._time: Fraction | None = None
        unit = self._stream.time_base
        self.format = VideoFormat(
            rate=average_rate(self._stream), unit=Fraction(1, unit.denominator if unit else 90_000)
        )
        super().__init__(self._pictures())

    def _pictures(self) -> Iterator[npt.NDArray[np.uint8]]:
        turn: _Turn | None = None
        try:
            for frame in _decoded(self._container, self._stream):
                turn = _turn(frame) if turn is None else turn
                pts, unit = frame.pts, frame.time_base
                self._time = None if pts is None or unit is None else pts * unit
                yield _pixels(frame, turn)
        except (av.FFmpegError, OSError) as error:
            raise InputError(
                f"cannot read frame {self._index + 1} of {self._address}: {reason_of(error)}"
            ) from error

    def time(self, index: int) -> Fraction | None:
        return self._time if index == self._index else None

    def close(self) -> None:
        super().close()
        self._container.close()


def _decoded(
    container: InputContainer, stream: VideoStream, torn: int | None = None
) -> Iterator[av.VideoFrame]:
    for packet in container.demux(stream):
        is_torn = torn is not None and packet.pos == torn
        if (packet.size or packet.dts is None) and not is_torn:  # the last, empty one is the end
            yield from packet.decode()


@dataclass(frozen=True)
class _Turn:
    """How stored pixels are shown: first axes are swapped, then directions reversed."""

    swaps_axes: bool
    flips_rows: bool
    flips_columns: bool


def _turn(frame: av.VideoFrame) -> _Turn:
    """From the display matrix: (x, y) stored is (a x + c y, b x + d y) shown.

    It is the same for all frames. Asking each one would hold them all: a frame and its side data
    refer to each other, and are freed only when Python looks for such circles.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return _Turn(False, False, False)
    a, b, _, c, d = np.frombuffer(bytes(data), "=i4")[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return _Turn(True, b < 0, c < 0)
    return _Turn(False, d < 0, a < 0)


def _pixels(frame: av.VideoFrame, turn: _Turn) -> npt.NDArray[np.uint8]:
    # Older versions of PyAV look at the colour space only if they are told two different ones; that
    # of RGB does not matter.
    space = Colorspace.ITU709 if frame.colorspace == _BT709 else None
    other = None if space is None else Colorspace.ITU601
    pixels: npt.NDArray[Any] = frame.to_ndarray(
        format="rgb24", src_colorspace=space, dst_colorspace=other
    )
    if turn.swaps_axes:
        pixels = pixels.transpose(1, 0, 2)
    if turn.flips_rows:
        pixels = pixels[::-1]
    if turn.flips_columns:
        pixels = pixels[:, ::-1]
    upright = np.ascontiguousarray(pixels)
    upright.flags.writeable = False
    return upright
