"""Recordings that were joined, so that time stamps begin anew within a file."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from videos import make_video, number_of, picture

from samkit.errors import InputError
from samkit.media.frames import Frames, open_frames
from samkit.media.recordings import Turns
from samkit.media.video_file import VideoFrames

UNIT = Fraction(1, 90_000)
STEP = 3600
WRAP = 2**33


def part(path: Path, numbers: range, start: int = 0, **options) -> bytes:
    """A part of a recording, as bytes."""
    if start:
        times = [start + i * STEP for i in range(len(numbers))]
        options |= {"times": times, "unit": UNIT}
    make_video(path, len(numbers), first=numbers.start, **options)
    return path.read_bytes()


def numbers(frames: Frames) -> list[int]:
    return [number_of(frames.read(i)) for i in range(frames.count)]


def check(path: Path, expected: list[int]) -> None:
    """Any way of reading gives these frames, with times that rise."""
    frames = open_frames(path)
    assert numbers(frames) == expected
    count = len(expected)
    assert frames.count == count
    with pytest.raises(IndexError):
        frames.read(count)
    times = [frames.time(i) for i in range(count)]
    assert all(before < after for before, after in itertools.pairwise(times))
    pixels = [frames.read(i) for i in range(count)]
    rng = np.random.default_rng(0)
    for order in (range(count)[::-1], [0, count - 1, 1, count // 2], rng.integers(0, count, 12)):
        fresh = open_frames(path)
        for i in map(int, order):
            assert np.array_equal(fresh.read(i), pixels[i]), i
        fresh.close()
    frames.close()


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("suffix", ["ts", "mpg"])
def test_parts_that_start_at_the_same_time(tmp_path: Path, suffix: str, b_frames: int) -> None:
    path = tmp_path / f"all.{suffix}"
    codec = "mpeg2video" if suffix == "mpg" else "libx264"
    options = {"codec": codec, "b_frames": b_frames}
    parts = [range(12), range(12, 21), range(21, 35)]
    path.write_bytes(b"".join(part(tmp_path / f"a.{suffix}", one, **options) for one in parts))
    check(path, list(range(35)))


@pytest.mark.parametrize("starts", [(500, 100), (100, 500), (0, 1), (300, 7)])
@pytest.mark.parametrize("orders", [(2, 0), (0, 2)])
def test_parts_at_any_times_in_frames(tmp_path: Path, starts, orders) -> None:
    path = tmp_path / "all.ts"
    data = [
        part(tmp_path / "a.ts", one, start * STEP, b_frames=b_frames)
        for one, start, b_frames in zip((range(10), range(10, 25)), starts, orders, strict=True)
    ]
    path.write_bytes(b"".join(data))
    check(path, list(range(25)))


def test_times_of_parts_come_one_after_the_other(tmp_path: Path) -> None:
    data = [part(tmp_path / "a.ts", one, b_frames=2) for one in (range(10), range(10, 20))]
    (tmp_path / "all.ts").write_bytes(b"".join(data))
    frames = open_frames(tmp_path / "all.ts")
    times = [frames.time(i) for i in range(20)]
    assert {after - before for before, after in itertools.pairwise(times)} == {Fraction(1, 25)}


@pytest.mark.parametrize("at", [5, 15])
def test_time_stamps_that_wrap(tmp_path: Path, at: int) -> None:
    """They have 33 bits: after 26 hours they are 0 again."""
    start = WRAP - at * STEP
    data = part(tmp_path / "a.ts", range(30), start, b_frames=2)
    check(tmp_path / "a.ts", list(range(30)))
    (tmp_path / "twice.ts").write_bytes(data + part(tmp_path / "b.ts", range(30, 40), start))
    check(tmp_path / "twice.ts", list(range(40)))


def test_a_part_that_begins_between_keyframes(tmp_path: Path) -> None:
    """Whatever can be decoded of it comes after the part before it."""
    first = part(tmp_path / "a.ts", range(20), gop=10)
    second = part(tmp_path / "b.ts", range(20, 50), gop=10)
    with av.open(str(tmp_path / "b.ts")) as container:
        cut = [packet.pos for packet in container.demux(video=0) if packet.size][5]
    (tmp_path / "all.ts").write_bytes(first + second[cut // 188 * 188 :])
    frames = open_frames(tmp_path / "all.ts")
    found = []
    for i in range(frames.count):
        try:
            found.append(number_of(frames.read(i)))
        except InputError:
            continue
    assert found[:20] == list(range(20))
    assert found[-20:] == list(range(30, 50))


def test_a_usual_recording_is_no_joined_one(tmp_path: Path) -> None:
    """Frames in another order than they are shown, and open groups: seeking works as ever."""
    options = {"x264-params": "open-gop=1:b-pyramid=normal"}
    for suffix in ("ts", "mkv", "mp4", "flv"):
        path = make_video(tmp_path / f"a.{suffix}", 60, gop=12, b_frames=6, options=options)
        frames = VideoFrames(path)
        assert not frames._index.shifts
        assert numbers(frames) == list(range(60))


def test_parts_of_other_sizes(tmp_path: Path) -> None:
    data = part(tmp_path / "a.ts", range(6)) + part(tmp_path / "b.ts", range(6), size=(96, 64))
    (tmp_path / "all.ts").write_bytes(data)
    frames = open_frames(tmp_path / "all.ts")
    assert [frames.read(i).shape[:2] for i in range(12)] == [(48, 64)] * 6 + [(64, 96)] * 6
    assert np.abs(frames.read(11).astype(int) - picture(5, (96, 64))).mean() < 12


# What FFmpeg does not read as one


def joined(path: Path, *parts: dict) -> Path:
    """Parts of 8 frames, byte by byte one after the other."""
    data = [
        part(path.with_name(f"part{path.suffix}"), range(8 * i, 8 * i + 8), **options)
        for i, options in enumerate(parts)
    ]
    path.write_bytes(b"".join(data))
    return path


def refused(path: Path) -> bool:
    with pytest.raises(InputError, match="several recordings, one after the other"):
        open_frames(path)
    return True


MPEG2 = {"codec": "mpeg2video"}
OTHER_STREAM = {"muxer": {"mpegts_start_pid": "400"}}


@pytest.mark.parametrize("other", [OTHER_STREAM, MPEG2, MPEG2 | OTHER_STREAM])
@pytest.mark.parametrize("padding", [0, 2**23])
def test_transport_streams_of_another_number_or_kind(tmp_path: Path, other, padding: int) -> None:
    """Also where FFmpeg does not see the other one when it opens the file."""
    for parts in ([{}, other], [other, {}]):
        path = joined(tmp_path / "all.ts", *parts)
        data = path.read_bytes()
        middle = data.index(b"\x47\x40\x00\x10", 188 * 6) if padding else 0
        empty = b"\x47\x1f\xff\x10" + b"\xff" * 184
        path.write_bytes(data[:middle] + empty * (padding // 188) + data[middle:])
        assert refused(path)


def test_streams_with_a_time_before_each_packet(tmp_path: Path) -> None:
    """As of Blu-ray discs and cameras."""
    data = joined(tmp_path / "all.ts", {}, OTHER_STREAM).read_bytes()
    packets = [bytes(4) + data[at : at + 188] for at in range(0, len(data), 188)]
    (tmp_path / "all.m2ts").write_bytes(b"".join(packets))
    assert refused(tmp_path / "all.m2ts")


def test_program_streams_of_another_kind(tmp_path: Path) -> None:
    assert refused(joined(tmp_path / "all.mpg", MPEG2, {}))


@pytest.mark.parametrize("suffix", ["mp4", "mov", "flv", "wmv", "nut"])
def test_formats_of_which_one_part_is_read(tmp_path: Path, suffix: str) -> None:
    codec = "wmv2" if suffix == "wmv" else "libx264"
    assert refused(joined(tmp_path / f"all.{suffix}", {"codec": codec}, {"codec": codec}))


@pytest.mark.parametrize("flags", ["frag_keyframe", "frag_keyframe+empty_moov+default_base_moof"])
def test_fragments_of_several_recordings(tmp_path: Path, flags: str) -> None:
    options = {"muxer": {"movflags": flags}}
    assert refused(joined(tmp_path / "all.mp4", options, options))
    check(joined(tmp_path / "one.mp4", options), list(range(8)))
    if "empty" in flags:  # without the second head
        data = (tmp_path / "one.mp4").read_bytes()
        (tmp_path / "twice.mp4").write_bytes(data + data[data.index(b"moof") - 4 :])
        assert refused(tmp_path / "twice.mp4")


def test_joined_animations(tmp_path: Path) -> None:
    """Reading backward gave the last frame of the second part for that of the first."""
    options = {"codec": "gif", "pixels": "rgb8"}
    check(joined(tmp_path / "all.gif", options, options), list(range(16)))
    options = {"codec": "apng", "pixels": "rgb24"}
    path = joined(tmp_path / "all.apng", options, options)
    assert refused(path.rename(tmp_path / "all.png"))


def test_streams_that_are_sent_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "two.ts"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg2video", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            for number, stream in enumerate(streams):
                frame = av.VideoFrame.from_ndarray(picture(i + 100 * number), "rgb24")
                container.mux(stream.encode(frame.reformat(format="yuv420p")))
        for stream in streams:
            container.mux(stream.encode(None))
    check(path, list(range(12)))


@pytest.mark.parametrize(
    ("order", "apart"),
    [
        ([1] * 9, False),
        ([1, 2] * 9, False),
        ([1] * 9 + [2] * 9, True),
        ([1] * 9 + [2] * 9 + [1], True),  # the last one was held back
        ([1] * 400 + [2] * 400 + [1] * 400, True),
        (([1] * 40 + [2] * 40) * 20, False),
    ],
)
def test_turns(order: list[int], apart: bool) -> None:
    turns = Turns()
    for stream in order:
        turns.add(stream)
    assert turns.are_apart is apart
