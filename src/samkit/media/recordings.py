"""Files that hold several recordings, one after the other, of which FFmpeg would read only some.

What was joined byte by byte is read whole where the format allows it (`samkit.media.joints`). In
other formats FFmpeg reads the first part, or mixes them, and says nothing; here they are told.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from samkit.errors import InputError
from samkit.files import open_file

__all__ = ["Turns", "check_one_recording", "is_cut_at_a_box", "several_recordings"]

# How a file begins, by the name of its format in FFmpeg; and again where another one follows.
_BEGINNINGS = {
    "flv": b"\0\0\0\x09\0\0\0\0",  # after FLV, a version and a byte of flags
    "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "rm": b".RMF\0\0\0\x12",
    "nut": b"nut/multimedia container\0",
    "wtv": bytes.fromhex("b7d800203749da11a64e0007e95ead8d"),
    "apng": b"IEND\xaeB`\x82\x89PNG\r\n\x1a\n",
}
_CHUNK = 2**20
_MOST_BOX = 2**20  # bytes of a description of a fragment that are looked at
_LONG_TURN = 100  # frames: streams that are sent at the same time take shorter turns
_VIDEO_STREAMS = range(0xE0, 0xF0)  # stream_id (ISO 13818-1, table 2-22)
_SYNC, _SYNCED = 0x47, 0.9  # the first byte of a packet; how many have to have it
_BEGINS = 0x40  # flag of a packet that begins a frame or a table (2.4.3.2)
_ADAPTED = 0x20  # flag of an adaptation field before the contents
_PROGRAM_MAP = 2  # table_id (table 2-31)


def check_one_recording(path: str, format_name: str) -> None:
    """Raise `InputError` where frames would be lost.

    Args:
        path: a video file.
        format_name: as FFmpeg calls its format.
    """
    with open_file(Path(path)) as file:
        try:
            if "mp4" in format_name:
                several = _has_several_movies(file)
            elif format_name == "mpegts":
                several = _has_other_streams_later(file)
            elif format_name in _BEGINNINGS:
                several = _begins_again(file, format_name)
            else:
                several = False
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if several:
        raise several_recordings(path)


def several_recordings(path: str) -> InputError:
    """An error that says so."""
    return InputError(
        f"cannot read {path} as a video: it holds several recordings, one after the other, that "
        "are not read as one; expected one of them, or all of them in a new file (as made by "
        "ffmpeg -f concat)"
    )


def _begins_again(file: IO[bytes], format_name: str) -> bool:
    magic = _BEGINNINGS[format_name]
    head = file.read(_CHUNK)
    at = head.find(magic, 0, 64) + 1  # 0 where the first one is somewhere else
    while head:
        if head.find(magic, at) >= 0:
            return True
        at, kept = 0, head[1 - len(magic) :]
        more = file.read(_CHUNK)
        head = kept + more if more else b""
    return False


# ISO base media files (ISO 14496-12)


def _boxes(file: IO[bytes], end: int | None = None) -> Iterator[tuple[bytes, int, int | None]]:
    """Boxes from where a file stands: type, where the contents begin, and where they end.

    The end is None where the box lasts to the end of the file.
    """
    at = file.tell()
    while end is None or at < end:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind, inner = int.from_bytes(head[:4], "big"), head[4:8], at + 8
        if size == 1:
            size, inner = int.from_bytes(head[8:], "big"), at + 16
        if size and size < inner - at:
            return
        yield kind, inner, at + size if size else None
        if not size:
            return
        at += size


def is_cut_at_a_box(path: str) -> bool:
    """Whether a part of an .mp4 with frames, or with what describes them, ends after the file."""
    with open_file(Path(path)) as file:
        try:
            total = os.fstat(file.fileno()).st_size
            return any(
                kind in (b"mdat", b"moof", b"moov") and (end is None or end > total)
                for kind, _, end in _boxes(file)
            )
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _has_several_movies(file: IO[bytes]) -> bool:
    """Whether there are two descriptions of tracks, or times of fragments that jump back."""
    movies, last = 0, dict[bytes, int]()
    for kind, begin, end in _boxes(file):
        movies += kind == b"moov"
        if movies > 1:
            return True
        if kind == b"moof" and end is not None and end - begin <= _MOST_BOX:
            for track, time in _times_of_fragment(file, begin, end):
                if time < last.get(track, 0):
                    return True
                last[track] = time
    return False


def _times_of_fragment(file: IO[bytes], begin: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Number of each track, and the time of its first frame (8.8.7 and 8.8.12)."""
    file.seek(begin)
    for kind, inside, inside_end in list(_boxes(file, end)):
        if kind != b"traf" or inside_end is None:
            continue
        file.seek(inside)
        track = b""
        for name, at, _ in list(_boxes(file, inside_end)):
            file.seek(at)
            about = file.read(12)
            if name == b"tfhd":
                track = about[4:8]
            elif name == b"tfdt" and len(about) == 12:
                yield track, int.from_bytes(about[4:] if about[0] else about[4:8], "big")


# Streams of video in one file


class Turns:
    """The order in which frames of several streams are stored."""

    def __init__(self) -> None:
        self._first: dict[int, int] = {}
        self._latest: dict[int, list[int]] = {}  # the last two of each
        self._count = self._turns = 0
        self._before: int | None = None

    def add(self, stream: int) -> None:
        """Count the next frame."""
        self._first.setdefault(stream, self._count)
        self._latest[stream] = [*self._latest.get(stream, ()), self._count][-2:]
        self._turns += stream != self._before
        self._count, self._before = self._count + 1, stream

    @property
    def streams(self) -> set[int]:
        """Those that have a frame."""
        return set(self._first)

    @property
    def are_apart(self) -> bool:
        """Whether a stream begins after another one has ended, or they take long turns."""
        if len(self._first) < 2:
            return False
        # Of a stream that has ended, FFmpeg holds back the last frame until the end of the file.
        later = max(self._first.values()) > min(latest[0] for latest in self._latest.values())
        return later or self._count > _LONG_TURN * self._turns


# MPEG transport streams (ISO 13818-1)


def _has_other_streams_later(file: IO[bytes]) -> bool:
    """Whether one video stream comes after another, or becomes one of another kind."""
    turns, kinds = Turns(), dict[int, set[int]]()
    for packet in _beginnings(file):
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        payload = packet[4 + (1 + packet[4] if packet[3] & _ADAPTED else 0) :]
        if payload[:3] == b"\0\0\1":
            if payload[3:4] and payload[3] in _VIDEO_STREAMS:
                turns.add(pid)
        elif payload:
            for stream, kind in _program(payload[1 + payload[0] :]):
                kinds.setdefault(stream, set()).add(kind)
    return turns.are_apart or any(len(kinds.get(pid, ())) > 1 for pid in turns.streams)


def _beginnings(file: IO[bytes]) -> Iterator[bytes]:
    """Packets that begin something: a frame or a table."""
    while chunk := file.read(_CHUNK):
        data = np.frombuffer(chunk, np.uint8)
        for length in (188, 192, 204):  # plain, with a time before it, or with a checksum
            rows = data[: len(data) // length * length].reshape(-1, length)
            synced = (rows == _SYNC).mean(0) if len(rows) else np.zeros(1)
            if synced.max() > _SYNCED:
                rows = data[synced.argmax() :]
                rows = rows[: len(rows) // length * length].reshape(-1, length)[:, :188]
                yield from map(bytes, rows[(rows[:, 0] == _SYNC) & (rows[:, 1] & _BEGINS > 0)])
                break


def _program(section: bytes) -> Iterator[tuple[int, int]]:
    """Of the table of a program, its streams: number and kind (2.4.4.9)."""
    if len(section) < 12 or section[0] != _PROGRAM_MAP:
        return
    end = min(len(section), 3 + (section[1] << 8 & 0xF00 | section[2]) - 4)
    at = 12 + (section[10] << 8 & 0xF00 | section[11])
    while at + 5 <= end:
        yield (section[at + 1] & 0x1F) << 8 | section[at + 2], section[at]
        at += 5 + (section[at + 3] << 8 & 0xF00 | section[at + 4])
