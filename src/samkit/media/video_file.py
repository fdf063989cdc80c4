"""Frames of a video file, decoded when they are needed."""

import bisect
from collections.abc import Iterator
from fractions import Fraction
from os import PathLike, fspath

import av
import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.media.container import DAMAGE, OpenVideo, open_video, reason_of
from samkit.media.joints import shifted
from samkit.media.stream import VideoFormat
from samkit.media.upright import Turn, turn_of, upright_rgb
from samkit.media.video_index import VideoIndex, average_rate, scan_video

__all__ = ["VideoFrames"]

# Decoded frames that are kept while frames are read backward: each step back needs the same ones.
_KEPT_BYTES = 2**28


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
        self._video: OpenVideo | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())  # from where the container stands
        self._kept: dict[int, av.VideoFrame] = {}
        self._at = -1  # the frame that was decoded last
        self._fault = ""
        self._is_damaged = False
        try:
            self._rewind()
            self._turn = turn_of(self._first_frame())
            self.format: VideoFormat | None = self._format(self._opened, self._turn)
        except BaseException:
            self.close()
            raise

    @property
    def _opened(self) -> OpenVideo:
        if self._video is None:
            raise InputError(f"the frames of {self._path} are closed; open them again")
        return self._video

    def _format(self, video: OpenVideo, turn: Turn) -> VideoFormat:
        rate = average_rate(video.stream)
        unit = video.stream.time_base
        self._unit = 1 / rate if self._index.is_counted or unit is None else unit
        aspect = video.stream.sample_aspect_ratio or Fraction(1)
        return VideoFormat(
            rate=rate,
            unit=Fraction(1, self._unit.denominator),
            pixel_aspect=1 / aspect if turn.swaps_axes else aspect,
        )

    @property
    def count(self) -> int:
        return len(self._index.times)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        if self._video is None:
            raise InputError(f"the frames of {self._path} are closed; open them again")
        if not 0 <= index < self.count:
            if self._index.is_cut and index >= self.count:
                raise InputError(
                    f"{self._path} is cut off: it ends after frame {self.count - 1}, "
                    "before its header says"
                )
            raise IndexError(index)
        return upright_rgb(self._frame(index), self._turn)

    def time(self, index: int) -> Fraction | None:
        return self._index.times[index] * self._unit

    def name(self, index: int) -> str | None:
        return None

    def close(self) -> None:
        """Close the file. Threads of the decoder end, and memory is given back, at once."""
        self._frames = iter(())
        self._kept.clear()
        if self._video is not None:
            self._video.close()
            self._video = None

    def _first_frame(self) -> av.VideoFrame:
        frame = self._next()
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
        if back or (self._can_seek and self._index.keyframe(index) > self._at):
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

    @property
    def _can_seek(self) -> bool:
        return not self._index.shifts

    def _seek(self, index: int) -> None:
        """Go to the last keyframe up to a frame, or to an earlier one where that overshoots."""
        video = self._opened
        key = self._index.keyframe(index) if self._can_seek else 0
        while key > 0:
            try:
                video.container.seek(self._index.times[key], stream=video.stream, backward=True)
            except DAMAGE:
                break
            self._restart(video)
            while self._at < key and self._step(0):
                pass
            if self._at == key:
                return
            key = self._index.keyframe(key - 1)
        self._rewind()

    def _rewind(self) -> None:
        """Open the file anew: not every format can be sent back to its beginning."""
        self._frames = iter(())
        if self._video is not None:
            self._video.close()
            self._video = None
        self._video = open_video(self._path)
        self._restart(self._video)

    def _restart(self, video: OpenVideo) -> None:
        """Decode from where the container stands."""
        self._frames = _decoded(video, self._index)
        self._kept.clear()
        self._at = -1
        self._fault = ""
        self._is_damaged = False

    def _next(self) -> av.VideoFrame | None:
        """The next frame that can be decoded; after an error, of those the decoder still holds."""
        while True:
            try:
                return next(self._frames, None)
            except DAMAGE as error:
                if self._fault:
                    return None
                self._fault = reason_of(error)
            try:
                self._frames = iter(self._opened.stream.codec_context.decode(None))
            except DAMAGE:
                return None

    def _step(self, room: int) -> bool:
        """Decode one frame; of those before it keep what fits in so many bytes."""
        frame = self._next()
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


def _decoded(video: OpenVideo, index: VideoIndex) -> Iterator[av.VideoFrame]:
    """Frames from where the container stands."""
    for packet in shifted(video.container.demux(video.stream), index.shifts):
        is_torn = index.torn is not None and packet.pos == index.torn
        if (packet.size or packet.dts is None) and not is_torn:  # the last, empty one is the end
            yield from packet.decode()
