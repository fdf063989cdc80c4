"""Frames of all that is no video file: pictures, arrays, streams, cameras."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from videos import all_of, make_video, number_of, picture

from samkit.errors import ImageError, InputError
from samkit.media import stream
from samkit.media.frames import open_frames


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
