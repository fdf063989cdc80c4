"""Frames of videos of every kind: the right ones, in order, whatever way they are read."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from videos import all_of, make_video, number_of, picture

from samkit.media.frames import open_frames

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "samples"


def close_to(frame: np.ndarray, expected: np.ndarray) -> bool:
    """Alike up to compression."""
    return bool(np.abs(frame.astype(int) - expected).mean() < 12)


def with_opencv(path: Path) -> list[np.ndarray]:
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            return found
        found.append(frame[..., ::-1])


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
