"""Which frames a video file has, found without decoding them."""

import bisect
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from samkit.errors import InputError

__all__ = ["VideoIndex", "average_rate", "open_video", "reason_of", "scan_video"]

# Seconds by which a video may be shorter than its header says.
_DURATION_TOLERANCE = 0.25
_DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True, kw_only=True)
class VideoIndex:
    """The frames of a file.

    Attributes:
        times: when each frame is shown, in units of the stream, in order.
        keyframes: numbers of the frames at which decoding can begin, in order; 0 is one of them.
        is_counted: the file lacks (some of) its times, so that frames have to be counted from the
            first one on.
        is_cut: the file ends before its header says.
        torn: position in the file of the last packet if a part of it is missing, else None.
    """

    times: Sequence[int]
    keyframes: Sequence[int]
    is_counted: bool
    is_cut: bool
    torn: int | None = None

    def keyframe(self, index: int) -> int:
        """The last keyframe up to a frame."""
        return self.keyframes[bisect.bisect_right(self.keyframes, index) - 1]

    def from_time(self, time: int) -> "VideoIndex":
        """Without what comes before a time."""
        first = bisect.bisect_left(self.times, time)
        if first in (0, len(self.times)):
            return self
        keys = [key - first for key in self.keyframes if key > first]
        return replace(self, times=self.times[first:], keyframes=[0, *keys])

    def up_to(self, count: int) -> "VideoIndex":
        """The first frames."""
        keys = [key for key in self.keyframes if key == 0 or key < count]
        return replace(self, times=self.times[:count], keyframes=keys)


def open_video(source: str, timeout: float | None = None) -> tuple[InputContainer, VideoStream]:
    """A video file or address, and its first stream that is a video.

    Args:
        timeout: seconds after which an address that sends nothing is given up.

    Raises:
        InputError: it cannot be read, or has no video stream.
    """
    try:
        container = av.open(source, timeout=timeout)
    except (OSError, ValueError, av.FFmpegError) as error:
        raise InputError(f"cannot read {source} as a video: {reason_of(error)}") from error
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        container.close()
        raise InputError(f"cannot read {source} as a video: there is no video stream in it")
    streams[0].thread_type = "AUTO"
    return container, streams[0]


def _is_cover(stream: VideoStream) -> bool:
    """Whether it is the cover picture of a piece of music."""
    disposition = getattr(stream, "disposition", None)
    return disposition is not None and bool(disposition & type(disposition).attached_pic)


def scan_video(path: str) -> VideoIndex:
    """Read all packets of a file; none is decoded.

    Raises:
        InputError: as `open_video`.
    """
    container, stream = open_video(path)
    with container:
        return _index(container, stream)


def _index(container: InputContainer, stream: VideoStream) -> VideoIndex:
    times: list[int] = []
    keys: list[int] = []
    packets, timeless, error, last = 0, 0, False, None
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            packets, last = packets + 1, packet
            if packet.is_discard:
                continue
            if packet.pts is None:
                timeless += 1
                continue
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    except (av.FFmpegError, OSError):
        error = True
    # AVI has no times of its own, only numbers in the order of decoding.
    reordered = "avi" in container.format.name and stream.codec_context.has_b_frames
    if timeless or reordered:
        count = len(times) + timeless
        return VideoIndex(times=range(count), keyframes=[0], is_counted=True, is_cut=error)

    partial = last is not None and last.is_corrupt
    fewer = "mp4" in container.format.name and 0 < packets < stream.frames
    shorter = bool(times) and _lacks_time(stream, times)
    is_cut = partial or fewer or error or shorter
    if is_cut and last is not None and last.dts is not None:
        # Frames are stored in another order than they are shown: later ones may lack earlier ones.
        if partial and times and times[-1] == last.pts:
            times.pop()
        certain = last.dts if partial else last.dts + (last.duration or 0)
        times = [time for time in times if time <= certain]
    times.sort()
    numbers = {bisect.bisect_left(times, key) for key in keys if times and key <= times[-1]}
    return VideoIndex(
        times=array("q", times),
        keyframes=sorted(numbers | {0}),
        is_counted=False,
        is_cut=is_cut,
        torn=last.pos if partial and last is not None else None,
    )


def _lacks_time(stream: VideoStream, times: list[int]) -> bool:
    """Whether a Matroska file ends before the duration that it says."""
    stated = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if stated is None or stream.time_base is None:
        return False
    hours, minutes, seconds = map(float, stated.groups())
    end = max(times) * stream.time_base + 1 / average_rate(stream)
    return end + _DURATION_TOLERANCE < hours * 3600 + minutes * 60 + seconds


def average_rate(stream: VideoStream) -> Fraction:
    """Frames per second; 25 where the file does not say."""
    return stream.average_rate or stream.guessed_rate or _DEFAULT_RATE


def reason_of(error: Exception) -> str:
    """What FFmpeg says, without numbers and names of its functions."""
    if isinstance(error, av.error.ExitError):  # how it ends when its time is over
        return "nothing came for a long time"
    return getattr(error, "strerror", None) or str(error)
