"""Frames of videos of every kind: the right ones, in order, whatever way they are read."""

import gc
import itertools
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from videos import make_video, number_of, picture, served

from samkit.errors import ImageError, InputError
from samkit.media import stream, video_file
from samkit.media.frames import Frames, open_frames

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "samples"


def close_to(frame: np.ndarray, expected: np.ndarray) -> bool:
    """Alike up to compression."""
    return bool(np.abs(frame.astype(int) - expected).mean() < 12)


def all_of(frames: Frames) -> list[np.ndarray]:
    found = []
    for i in itertools.count():
        try:
            found.append(frames.read(i))
        except IndexError:
            return found


def with_opencv(path: Path) -> list[np.ndarray]:
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            return found
        found.append(frame[..., ::-1])


# Which frames

B_FRAMES = {"gop": 20, "b_frames": 3, "count": 50}
OPEN_GOP = {**B_FRAMES, "options": {"x264-params": "open-gop=1"}}
KINDS = {
    "b-frames.mp4": B_FRAMES,
    "open-gop.mp4": OPEN_GOP,
    "open-gop.mkv": OPEN_GOP,
    "one-keyframe.mp4": {"gop": 500, "b_frames": 2, "count": 40},
    "b-frames.mkv": B_FRAMES,
    "b-frames.ts": B_FRAMES,
    "open-gop.ts": OPEN_GOP,
    "hidden.webm": {
        "count": 40,
        "codec": "libvpx",
        "options": {"auto-alt-ref": "1", "lag-in-frames": "16"},
    },
    "vp9.webm": {"count": 30, "codec": "libvpx-vp9", "options": {"lag-in-frames": "16"}},
    "mpeg4.avi": {"count": 30, "codec": "mpeg4"},
    "no-times.avi": {"count": 30, "b_frames": 3},
    "no-times.h264": {"count": 30, "b_frames": 3},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_way_of_reading_gives_the_same_frames(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, **KINDS[name])
    count = KINDS[name]["count"]
    frames = open_frames(path)
    sequential = all_of(frames)
    assert [number_of(frame) for frame in sequential] == list(range(count))
    assert frames.count == count
    assert frames.seekable

    rng = np.random.default_rng(0)
    ways = {
        "backward": list(range(count))[::-1],
        "far": [0, count - 1, 1, count - 2, count // 2, count - 3],
        "random": rng.integers(0, count, 60).tolist(),
        "steps": list(range(0, count, 7)),
    }
    for way, order in ways.items():
        fresh = open_frames(path)
        for i in order:
            assert np.array_equal(fresh.read(i), sequential[i]), (way, i)
        fresh.close()


@pytest.mark.parametrize("name", ["b-frames.mp4", "one-keyframe.mp4", "vp9.webm"])
def test_pixels_are_those_of_opencv(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, **KINDS[name])
    for i, (ours, theirs) in enumerate(
        zip(all_of(open_frames(path)), with_opencv(path), strict=True)
    ):
        assert np.abs(ours.astype(int) - theirs).max() <= 3, i
        assert close_to(ours, picture(i))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample clips are not on this machine")
def test_a_real_clip_is_read_as_by_opencv() -> None:
    path = SAMPLES / "06_pingpong.mp4"
    frames, capture = open_frames(path), cv2.VideoCapture(str(path))
    assert frames.count == 230
    for i in range(12):
        assert np.array_equal(frames.read(i), capture.read()[1][..., ::-1]), i
    assert frames.time(24) == 1


@pytest.mark.parametrize("size", [(64, 48), (48, 64)])
@pytest.mark.parametrize(
    ("matrix", "degrees"),
    [((0, -1, 1, 0), 90), ((-1, 0, 0, -1), 180), ((0, 1, -1, 0), 270)],
)
def test_rotation_is_applied_as_opencv_does(tmp_path: Path, matrix, degrees, size) -> None:
    path = make_video(tmp_path / "turned.mp4", 2, size=size, matrix=matrix)
    found = open_frames(path).read(1)
    assert close_to(found, np.rot90(picture(1, size), degrees // 90))
    assert np.abs(found.astype(int) - with_opencv(path)[1]).max() <= 3


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), lambda p: p),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda p: p.transpose(1, 0, 2)[::-1, ::-1]),
    ],
)
def test_mirrored_videos(tmp_path: Path, matrix, expected) -> None:
    """As some phones write what their front cameras see."""
    path = make_video(tmp_path / "turned.mp4", 2, matrix=matrix)
    assert close_to(open_frames(path).read(1), expected(picture(1)))


@pytest.mark.parametrize(
    ("pixels", "codec"),
    [("gray", "ffv1"), ("yuv420p10le", "ffv1"), ("yuv444p", "libx264"), ("bgr0", "ffv1")],
)
def test_pixel_formats_and_odd_sizes(tmp_path: Path, pixels: str, codec: str) -> None:
    path = make_video(tmp_path / "odd.mkv", 3, size=(33, 21), pixels=pixels, codec=codec)
    found = open_frames(path).read(2)
    expected = picture(2, (33, 21)).astype(float)
    if pixels == "gray":
        expected[:] = expected @ np.array([0.299, 0.587, 0.114])[:, None]
    assert found.shape == (21, 33, 3)
    assert close_to(found, expected)


def test_one_frame(tmp_path: Path) -> None:
    frames = open_frames(make_video(tmp_path / "one.mp4", 1))
    assert frames.count == 1
    assert close_to(frames.read(0), picture(0))
    for index in (-1, 1):
        with pytest.raises(IndexError):
            frames.read(index)


def test_sound_before_the_picture(tmp_path: Path) -> None:
    path = make_video(tmp_path / "sound.mp4", 8, audio=True)
    with av.open(str(path)) as container:
        assert container.streams[0].type == "audio"
    assert [number_of(frame) for frame in all_of(open_frames(path))] == list(range(8))


# Times


def test_variable_frame_rate_and_a_late_start(tmp_path: Path) -> None:
    times = [1000, 1040, 1200, 1240, 3000, 3001]
    path = make_video(
        tmp_path / "vfr.mp4", 6, times=times, unit=Fraction(1, 1000), b_frames=2, gop=50
    )
    frames = open_frames(path)
    assert [frames.time(i) for i in range(6)] == [Fraction(t, 1000) for t in times]
    assert [number_of(frames.read(i)) for i in (5, 3, 4, 0, 2, 1)] == [5, 3, 4, 0, 2, 1]
    assert frames.format is not None
    assert all((frames.time(i) / frames.format.unit).denominator == 1 for i in range(6))


@pytest.mark.parametrize("times", [[0, 40, 40, 80, 120], [0, 0, 0, 40, 40]])
def test_frames_at_one_time(tmp_path: Path, times: list[int]) -> None:
    path = make_video(
        tmp_path / "same.mkv", 5, times=times, unit=Fraction(1, 1000), codec="ffv1", gop=50
    )
    frames = open_frames(path)
    assert [number_of(frame) for frame in all_of(frames)] == list(range(5))
    assert [number_of(frames.read(i)) for i in (3, 1, 2, 0, 4)] == [3, 1, 2, 0, 4]
    assert [frames.time(i) for i in range(5)] == [Fraction(t, 1000) for t in times]


def test_format(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 10, pixel_aspect=Fraction(4, 3))
    found = open_frames(path).format
    assert found is not None
    assert (found.rate, found.pixel_aspect) == (25, Fraction(4, 3))
    turned = make_video(tmp_path / "b.mp4", 10, pixel_aspect=Fraction(4, 3), matrix=(0, 1, -1, 0))
    assert open_frames(turned).format.pixel_aspect == Fraction(3, 4)


# How much is decoded


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
    size = sum(plane.buffer_size for plane in next(iter(open_frames(path)._kept.values())).planes)
    monkeypatch.setattr(video_file, "_KEPT_BYTES", 8 * size)
    frames = open_frames(path)
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


# Damage


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


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "empty").mkdir()
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 44100), np.float32), format="fltp", layout="mono"
        )
        silence.rate, silence.pts = 44100, 0
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    for name, reason in (
        ("text.mp4", "cannot read .*text.mp4 as a video: Invalid data"),
        ("empty.mp4", "as a video: Invalid data"),
        ("sound.m4a", "there is no video stream in it"),
        ("missing.mp4", "no such video"),
        ("empty", "no image in the folder"),
        ("*.jpg", "no image matches"),
        ("missing.png", "no such video"),
        ("https://localhost:1/x.mp4", "cannot read https"),
    ):
        source = name if "://" in name else tmp_path / name
        with pytest.raises(InputError, match=reason):
            open_frames(source)
    for source in (None, 3.5, {}.items, np.zeros((4, 4)), np.zeros((0, 4, 4, 3)), [], True):
        with pytest.raises(InputError, match="expected"):
            open_frames(source)


def test_no_such_camera() -> None:
    with pytest.raises(InputError, match="cannot open camera 97"):
        open_frames(97)
    for number in (-1, 2**31, 10**20):
        with pytest.raises(InputError, match=f"expected a number from 0 on, got {number}"):
            open_frames(number)


# Pictures


def test_pictures_come_in_natural_order(tmp_path: Path) -> None:
    for i, name in ((2, "frame_10.png"), (1, "frame_9.png"), (0, "frame_²1.png")):
        Image.fromarray(picture(i)).save(tmp_path / name)
    for source in (tmp_path, str(tmp_path / "*.png")):
        frames = open_frames(source)
        assert [number_of(frame) for frame in all_of(frames)][-2:] == [1, 2] or source
        names = [frames.name(i) for i in range(3)]
        assert names.index("frame_9.png") < names.index("frame_10.png")
        assert frames.format is frames.time(0) is None
    Image.fromarray(picture(0)).save(tmp_path / "frame_9.jpg")
    assert open_frames(tmp_path).name(0) is None  # files made of them would have one name


def test_pictures_are_read_one_by_one(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(picture(i, (40 + i, 30))).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    frames = open_frames(tmp_path)
    assert frames.count == 3
    assert [frames.read(i).shape[1] for i in (0, 2)] == [40, 42]
    with pytest.raises(ImageError, match=r"1\.png"):
        frames.read(1)


# Other sources


def test_a_stream_goes_by() -> None:
    frames = open_frames(picture(i) for i in range(4))
    assert frames.count is None
    assert not frames.seekable
    assert number_of(frames.read(2)) == 2
    assert number_of(frames.read(2)) == 2
    with pytest.raises(InputError, match="frame 1 has gone by"):
        frames.read(1)
    with pytest.raises(IndexError):
        frames.read(4)
    assert frames.count == 4
    frames.close()


def test_a_bad_frame_in_a_stream_is_never_the_one_before() -> None:
    frames = open_frames(iter([picture(0), "missing.jpg", picture(2)]))
    assert number_of(frames.read(0)) == 0
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        frames.read(1)
    with pytest.raises(InputError, match="frame 1 has gone by and could not be read"):
        frames.read(1)
    assert number_of(frames.read(2)) == 2


def test_arrays_and_frames_that_are_open() -> None:
    video = np.stack([picture(i) for i in range(3)])
    frames = open_frames(video)
    assert frames.count == 3
    assert open_frames(frames) is frames
    assert np.array_equal(frames.read(1), video[1])
    with pytest.raises(IndexError):
        frames.read(-1)


def test_a_file_address_is_a_file(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 3)
    assert open_frames(path.as_uri()).seekable


def test_a_camera_has_times(monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera:
        def __init__(self, number: int) -> None:
            self.left = 3

        def isOpened(self) -> bool:
            return True

        def read(self):
            self.left -= 1
            return self.left >= 0, picture(2 - self.left)[..., ::-1]

        def release(self) -> None:
            pass

    clock = iter([10.0, 10.5, 10.6])
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(stream.time, "monotonic", lambda: next(clock))
    frames = open_frames(0)
    found = []
    for i in range(3):
        assert number_of(frames.read(i)) == i
        found.append(frames.time(i))
    assert found == [0, Fraction(1, 2), Fraction(3, 5)]
    with pytest.raises(IndexError):
        frames.read(3)
    frames.close()


def test_closed_frames_say_so():
    frames = open_frames(Path(__file__).parents[2] / "examples" / "coffee.mp4")
    frames.read(0)
    frames.close()
    with pytest.raises(InputError, match="closed"):
        frames.read(3)


def test_arrays_and_tensors_without_frames() -> None:
    for wrong in (np.ones((4, 5)), torch.ones(()), torch.ones(4, 5)):
        with pytest.raises(InputError, match=r"expected frames \(T, H, W, 3\), got shape"):
            open_frames(wrong)
    with pytest.raises(InputError, match="camera: expected a number from 0 on"):
        open_frames(10**5000)
