"""Videos are what was written: pixels, times, sizes; whole, or not there."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from videos import number_of, picture

from samkit.errors import InputError
from samkit.media import video_writer
from samkit.media.frames import open_frames
from samkit.media.video_writer import VideoWriter


def stream_of(path: Path) -> tuple[str, str, int, int]:
    with av.open(str(path)) as container:
        (stream,) = container.streams
        return stream.codec_context.name, stream.pix_fmt, stream.width, stream.height


def times_of(path: Path) -> list[Fraction]:
    frames = open_frames(path)
    return [frames.time(i) for i in range(frames.count)]


@pytest.mark.parametrize(
    "rate", [25, Fraction(24000, 1001), 29.97, Fraction(30000, 1001), 60, 0.5, 12.5]
)
def test_a_constant_rate(tmp_path: Path, rate: float | Fraction) -> None:
    path = tmp_path / "new" / "out.mp4"
    with VideoWriter(path, rate=rate) as video:
        for i in range(20):
            video.write(picture(i))
    assert stream_of(path)[:2] == ("h264", "yuv420p")
    frames = open_frames(path)
    assert [number_of(frames.read(i)) for i in range(frames.count)] == list(range(20))
    assert float(frames.format.rate) == pytest.approx(float(rate), rel=1e-3)
    for i, time in enumerate(times_of(path)):
        assert abs(time - i / Fraction(rate)) <= Fraction(1, 90_000), i
    assert [entry.name for entry in path.parent.iterdir()] == ["out.mp4"]


def test_given_times_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    times = [Fraction(t, 12288) for t in (7, 519, 1031, 5000, 5001, 90000)]
    with VideoWriter(path, rate=24, unit=Fraction(1, 12288)) as video:
        for i, time in enumerate(times):
            video.write(picture(i), time)
    assert times_of(path) == [time - times[0] for time in times]
    numbers = [number_of(open_frames(path).read(i)) for i in range(6)]
    assert numbers == list(range(6))


def test_times_go_on_where_none_is_given(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, rate=10) as video:
        for time in (None, 0.35, None, None):
            video.write(picture(0), time)
    assert [round(float(time), 4) for time in times_of(path)] == [0, 0.35, 0.45, 0.55]


@pytest.mark.parametrize("size", [(1, 1), (33, 21), (64, 21), (33, 48), (3, 2)])
def test_odd_sizes_are_filled_up(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "out.mp4"
    width, height = size
    with VideoWriter(path) as video:
        for _ in range(3):
            video.write(np.full((height, width, 3), (200, 40, 90), np.uint8))
    assert stream_of(path)[2:] == (width + width % 2, height + height % 2)
    found = open_frames(path).read(2).astype(int)
    assert np.abs(found - (200, 40, 90)).max() <= 4  # also at the far edges


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_frames_of_any_memory_layout(tmp_path: Path, size: tuple[int, int]) -> None:
    """Views and read-only frames give the same video as copies of them."""
    plain = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    locked = plain.copy()
    locked.flags.writeable = False
    frames = [plain[::-1], plain[:, ::-1], plain[..., ::-1], locked, np.asfortranarray(plain)]
    for name, copies in (("views.mp4", False), ("copies.mp4", True)):
        with VideoWriter(tmp_path / name) as video:
            for frame in frames:
                video.write(np.array(frame, order="C") if copies else frame)
    assert (tmp_path / "views.mp4").read_bytes() == (tmp_path / "copies.mp4").read_bytes()


def test_colours_and_pixel_aspect(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (230, 159, 0)]
    with VideoWriter(path, pixel_aspect=Fraction(4, 3)) as video:
        for colour in colours:
            video.write(np.full((32, 48, 3), colour, np.uint8))
    frames = open_frames(path)
    assert frames.format.pixel_aspect == Fraction(4, 3)
    for i, colour in enumerate(colours):
        assert np.abs(frames.read(i).astype(int) - colour).max() <= 6


def test_the_frame_is_not_changed_and_may_be_a_view(tmp_path: Path) -> None:
    frame = np.ascontiguousarray(picture(5)[:, ::-1])
    frame.flags.writeable = False
    with VideoWriter(tmp_path / "out.mp4") as video:
        video.write(frame[:, ::-1])
    assert number_of(open_frames(tmp_path / "out.mp4").read(0)) == 5


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "old.mp4").write_text("old")
    for name in ("new.mp4", "old.mp4"):
        with VideoWriter(tmp_path / name):
            pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.mp4"]
    assert (tmp_path / "old.mp4").read_text() == "old"


def write_then_fail(path: Path, count: int, error: type[BaseException]) -> None:
    with VideoWriter(path) as video:
        for i in range(count):
            video.write(picture(i))
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_keeps_what_is_there(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        write_then_fail(tmp_path / "out.mp4", 3, error)
    assert open_frames(tmp_path / "out.mp4").count == 3


def test_discard(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")
    video = VideoWriter(path)
    video.write(picture(0))
    video.discard()
    video.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]
    assert path.read_text() == "old"


def test_it_is_there_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    video = VideoWriter(path)
    video.write(picture(0))
    assert not path.exists()
    video.close()
    video.close()
    assert path.exists()
    with pytest.raises(InputError, match="is closed"):
        video.write(picture(1))


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self, picture):
        raise OSError(28, "No space left on device")

    video = VideoWriter(tmp_path / "out.mp4")
    video.write(picture(0))
    monkeypatch.setattr(video_writer._Video, "write", full)
    with pytest.raises(InputError, match="No space left"):
        video.write(picture(1))
    video.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"path": "out.avi"}, r"expected a file \.mp4"),
        ({"rate": 0}, "rate: expected a number above 0"),
        ({"rate": float("nan")}, "rate"),
        ({"unit": Fraction(0)}, "unit"),
        ({"pixel_aspect": Fraction(-1)}, "pixel_aspect"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        VideoWriter(**{"path": tmp_path / "out.mp4", **arguments})


def test_bad_frames(tmp_path: Path) -> None:
    good = picture(0)
    with VideoWriter(tmp_path / "out.mp4") as video:
        video.write(good, 1.0)
        for frame, time, reason in (
            (good[..., 0], None, "shape"),
            (good[:0], None, "shape"),
            (good[..., :2], None, "shape"),
            (good / 255, None, "uint8, got float64"),
            ("frame", None, "got str"),
            (good[:-2], None, "size of those before"),
            (good, 1.0, "time: expected one after"),
            (good, 0.5, "time: expected one after"),
        ):
            with pytest.raises(InputError, match=reason):
                video.write(frame, time)
        video.write(good, 2.0)
    assert times_of(tmp_path / "out.mp4") == [0, 1]


def test_a_folder_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(InputError, match="it is a folder"), VideoWriter(tmp_path / "out.mp4") as v:
        v.write(picture(0))
