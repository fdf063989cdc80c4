"""Video files: how much of them is decoded and kept, and what is damaged."""

import gc
from pathlib import Path

import av
import numpy as np
import pytest
from videos import all_of, make_video, number_of, served

from samkit.errors import InputError
from samkit.media import video_file
from samkit.media.frames import open_frames
from samkit.media.video_file import VideoFrames


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each frame that is decoded."""
    counted: list[int] = []
    plain = video_file._decoded

    def counting(*arguments):
        for frame in plain(*arguments):
            counted.append(1)
            yield frame

    monkeypatch.setattr(video_file, "_decoded", counting)
    return counted


def test_nothing_is_decoded_before_it_is_needed(tmp_path: Path, decoded: list[int]) -> None:
    path = make_video(tmp_path / "long.mp4", 100, gop=10)
    frames = open_frames(path)
    assert len(decoded) == 1  # which shows that it is a video
    for i in range(20):
        frames.read(i)
    assert len(decoded) == 20
    frames.read(19)
    assert len(decoded) == 20
    frames.read(95)  # 90 is a keyframe
    assert len(decoded) == 20 + 6
    frames.read(97)
    assert len(decoded) == 20 + 8


def test_going_backward_does_not_decode_all_for_each_frame(
    tmp_path: Path, decoded: list[int]
) -> None:
    frames = open_frames(make_video(tmp_path / "long.mp4", 60, gop=500))
    for i in range(59, -1, -1):
        frames.read(i)
    assert len(decoded) <= 1 + 60 + 60


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "long.mp4", 60, gop=500)
    sequential = all_of(open_frames(path))
    size = sum(plane.buffer_size for plane in next(iter(VideoFrames(path)._kept.values())).planes)
    monkeypatch.setattr(video_file, "_KEPT_BYTES", 8 * size)
    frames = VideoFrames(path)
    for i in range(60):
        frames.read(i)
        assert len(frames._kept) == 1
    for i in range(59, -1, -1):
        assert np.array_equal(frames.read(i), sequential[i])
        assert len(frames._kept) <= 8


@pytest.mark.parametrize("from_address", [False, True])
def test_frames_are_freed_at_once(tmp_path: Path, from_address: bool) -> None:
    path = make_video(tmp_path / "a.mp4", 30)
    with served(tmp_path) as address:
        gc.collect()
        gc.disable()
        try:
            frames = open_frames(f"{address}/a.mp4" if from_address else path)
            found = all_of(frames)
            # Arrays may lie in frames that were converted to RGB.
            there = [one for one in gc.get_objects() if type(one) is av.VideoFrame]
            held = [one for one in there if one.format and one.format.name == "yuv420p"]
        finally:
            gc.enable()
        frames.close()
    assert len(found) == 30
    assert len(held) <= 5  # the first one, the last one, and what the decoder has just given


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("part", [0.4, 0.55, 0.8, 0.99])
def test_a_file_that_is_cut_off(tmp_path: Path, part: float, b_frames: int) -> None:
    whole = make_video(tmp_path / "whole.mp4", 60, b_frames=b_frames, gop=20)
    sequential = all_of(open_frames(whole))
    data = whole.read_bytes()
    start = data.find(b"mdat")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: start + int((len(data) - start) * part)])
    frames = open_frames(cut)
    assert 60 * part - 25 < frames.count < 60
    for i in range(frames.count):
        assert np.array_equal(frames.read(i), sequential[i])
    with pytest.raises(InputError, match=f"cut.mp4 is cut off: it ends after frame {i}"):
        frames.read(frames.count)
    for i in range(frames.count - 1, -1, -1):
        assert np.array_equal(frames.read(i), sequential[i])


def test_a_trimmed_file_is_not_cut_off(tmp_path: Path) -> None:
    """Telephones trim videos by a list of edits; frames that are not shown stay in the file."""
    begun = make_video(tmp_path / "begun.mp4", 10, times=range(-5, 5))
    ended = make_video(tmp_path / "ended.mp4", 10)
    data = ended.read_bytes()
    at = data.index(b"elst") + 12  # the length of the only edit, in milliseconds
    ended.write_bytes(data[:at] + (200).to_bytes(4, "big") + data[at + 4 :])
    for path, first in ((begun, 5), (ended, 0)):
        frames = open_frames(path)
        assert [number_of(frames.read(i)) for i in range(5)] == list(range(first, first + 5))
        assert frames.count == 5
        with pytest.raises(IndexError):
            frames.read(5)


def test_a_matroska_file_that_is_cut_off(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mkv", 60, b_frames=2)
    data = whole.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    frames = open_frames(tmp_path / "cut.mkv")
    numbers = [number_of(frames.read(i)) for i in range(frames.count)]
    assert numbers == list(range(frames.count))
    with pytest.raises(InputError, match="is cut off"):
        frames.read(frames.count)


@pytest.mark.parametrize("junk", [b"\xff", b"\x00"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_a_broken_packet(tmp_path: Path, junk: bytes, b_frames: int) -> None:
    """All frames before it can be had, it cannot, and those from the next keyframe on can."""
    path = make_video(tmp_path / "broken.mp4", 60, b_frames=b_frames, gop=20)
    sequential = all_of(open_frames(path))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        times = sorted(packet.pts for packet in packets)
        broken = packets[27]
        number = times.index(broken.pts)
        key = next(times.index(p.pts) for p in packets[28:] if p.is_keyframe)
        data = bytearray(path.read_bytes())
        data[broken.pos : broken.pos + broken.size] = junk * broken.size
    path.write_bytes(data)
    frames = open_frames(path)
    bad = []
    for i in range(60):
        try:
            assert np.array_equal(frames.read(i), sequential[i]), i
        except InputError as error:
            bad.append((i, str(error)))
    assert all(f"cannot decode frame {i} of {path}" in message for i, message in bad)
    # With B-frames, those that need the broken one are shown before it.
    assert number - b_frames <= bad[0][0] <= number
    assert bad[-1][0] < key
    assert np.array_equal(open_frames(path).read(key), sequential[key])
