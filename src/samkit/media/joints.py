"""Where the time stamps of a stream begin anew, as in recordings that were joined."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

__all__ = ["AnyPacket", "Joints", "Shift", "shifted"]

AnyPacket: TypeAlias = Any
"""An `av.Packet`, whose type has parameters in some versions of PyAV only."""

Shift = tuple[int, int]
"""Number of a packet, and what is added to its times and to those of the packets after it."""

_REORDERED = 17  # no frame is stored behind so many that are shown after it


class Joints:
    """Tells the packets at which time stamps jump back: of packets in the order of the file.

    Args:
        length: of a frame, in units of the time stamps.
        guesses: whether the file lacks the times at which frames are decoded, so that those of the
            packets are guessed, and may be wrong.
    """

    def __init__(self, length: int, *, guesses: bool) -> None:
        self._length, self._guesses = length, guesses
        self._recent: deque[int] = deque(maxlen=_REORDERED)
        self._highest = 0
        self._decoded_at: int | None = None

    def is_joint(self, packet: AnyPacket) -> bool:
        """Whether another part begins with the next packet."""
        shown, decoded_at = packet.pts, packet.dts
        if shown is None or decoded_at is None:
            return False
        back = 0 if self._decoded_at is None else self._decoded_at - decoded_at
        if packet.is_keyframe:  # shown after all that is stored before it
            found = back > 0 and shown <= self._highest
        elif shown < min(self._recent, default=shown):
            found = back > 0
        else:
            found = back > self._length and not self._guesses
        if found:
            self._recent.clear()
        self._highest = shown if found else max(shown, self._highest)
        self._recent.append(shown)
        self._decoded_at = decoded_at
        return found


def shifted(packets: Iterable[AnyPacket], shifts: Sequence[Shift]) -> Iterator[AnyPacket]:
    """Packets from the beginning of a file, with the times of parts that come one after another."""
    waiting = deque(shifts)
    shift = number = 0
    for packet in packets:
        if packet.size:
            while waiting and waiting[0][0] <= number:
                shift = waiting.popleft()[1]
            number += 1
            if shift and packet.pts is not None:
                packet.pts += shift
            if shift and packet.dts is not None:
                packet.dts += shift
        yield packet
