"""Which frames a video file has, found without decoding them."""

import bisect
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

from samkit.media.container import DAMAGE, open_video
from samkit.media.joints import AnyPacket, Joints, Shift
from samkit.media.recordings import (
    Turns,
    check_one_recording,
    is_cut_at_a_box,
    several_recordings,
)

__all__ = ["VideoIndex", "average_rate", "scan_video"]

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
        shifts: what makes times of the file those of here, where they begin anew within the file.
            Such a file can only be decoded from its beginning.
    """

    times: Sequence[int]
    keyframes: Sequence[int]
    is_counted: bool
    is_cut: bool
    torn: int | None = None
    shifts: Sequence[Shift] = ()

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


def scan_video(path: str) -> VideoIndex:
    """Read all packets of a file; none is decoded.

    Raises:
        InputError: as `open_video`.
    """
    video = open_video(path)
    try:
        check_one_recording(path, video.container.format.name)
        return _index(video.container, video.stream, path)
    finally:
        video.close()


def _index(container: InputContainer, stream: VideoStream, path: str) -> VideoIndex:
    parts = _Parts(container, stream)
    packets, timeless, error, last = 0, 0, False, None
    turns = Turns()
    # In MPEG program streams, recordings that were joined may be different streams.
    streams = container.streams.video if container.format.name == "mpeg" else (stream,)
    try:
        for packet in container.demux(*streams):
            if packet.size == 0:
                continue
            turns.add(packet.stream.index)
            if packet.stream.index != stream.index:
                continue
            packets, last = packets + 1, packet
            if packet.pts is None and not packet.is_discard:
                timeless += 1
            parts.add(packet)
    except DAMAGE:
        error = True
    if turns.are_apart:
        raise several_recordings(path)
    times, keys, shifts = parts.joined()
    # AVI has no times of its own, only numbers in the order of decoding.
    reordered = "avi" in container.format.name and stream.codec_context.has_b_frames
    if timeless or reordered:
        count = len(times) + timeless
        return VideoIndex(times=range(count), keyframes=[0], is_counted=True, is_cut=error)

    partial = last is not None and _is_partial(container, last)
    # An edit list may leave out frames, of a whole file.
    fewer = "mp4" in container.format.name and packets != stream.frames and is_cut_at_a_box(path)
    shorter = bool(times) and _lacks_time(stream, times)
    is_cut = partial or fewer or error or shorter
    if is_cut and last is not None and last.dts is not None:
        # Frames are stored in another order than they are shown: later ones may lack earlier ones.
        shift = shifts[-1][1] if shifts else 0
        if partial and times and times[-1] - shift == last.pts:
            times.pop()
        certain = last.dts + shift + (0 if partial else last.duration or 0)
        times = [time for time in times if time <= certain]
    times.sort()
    if container.format.name == "gif":
        keys = []  # a packet may hold the end of one part and the head of the next
    numbers = {bisect.bisect_left(times, key) for key in keys if times and key <= times[-1]}
    return VideoIndex(
        times=array("q", times),
        keyframes=sorted(numbers | {0}),
        is_counted=False,
        is_cut=is_cut,
        torn=last.pos if partial and last is not None else None,
        shifts=shifts,
    )


def _is_partial(container: InputContainer, last: AnyPacket) -> bool:
    """Whether the end of the last packet is missing."""
    # Of GIF, FFmpeg does not say. A frame ends with an empty block, and the file with a semicolon.
    torn_gif = container.format.name == "gif" and not bytes(last).endswith((b"\0", b";"))
    return bool(last.is_corrupt) or torn_gif


class _Parts:
    """Times of packets, in parts within which they do not begin anew."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._length = round(1 / (average_rate(stream) * (stream.time_base or 1)))  # of a frame
        self._joints = Joints(self._length, guesses="matroska" in container.format.name)
        self._packets = 0
        # Of each part: number of its first packet, times of its frames, and of its keyframes.
        self._parts: list[tuple[int, list[int], list[int]]] = [(0, [], [])]

    def add(self, packet: AnyPacket) -> None:
        if self._joints.is_joint(packet):
            self._parts.append((self._packets, [], []))
        self._packets += 1
        if packet.pts is not None and not packet.is_discard:
            _, times, keys = self._parts[-1]
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)

    def joined(self) -> tuple[list[int], list[int], list[Shift]]:
        """Times and keyframes in the order of the packets, each part after the one before."""
        all_times: list[int] = []
        all_keys: list[int] = []
        shifts: list[Shift] = []
        end: int | None = None
        for number, times, keys in self._parts:
            if not times:
                continue
            shift = 0 if end is None else end - min(times)
            if end is not None:
                shifts.append((number, shift))
            all_times += [time + shift for time in times]
            all_keys += [key + shift for key in keys]
            end = max(times) + shift + max(1, self._length)
        return all_times, all_keys, shifts


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
