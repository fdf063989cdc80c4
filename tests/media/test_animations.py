"""Animated pictures: all frames, or an error, never the first one alone."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from videos import make_video, number_of, picture

from samkit.errors import InputError
from samkit.media.frames import Frames, open_frames

DURATIONS = [40, 80, 40, 120, 40]
KINDS = [
    "gif",
    "png",
    "webp",
    pytest.param(
        "avif", marks=pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
    ),
]


def write(path: Path, count: int = 5, size: tuple[int, int] = (33, 21), mode: str = "RGB") -> Path:
    first, *others = [Image.fromarray(picture(i, size)).convert(mode) for i in range(count)]
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, duration=DURATIONS[:count], **lossless)
    return path


def numbers(frames: Frames) -> list[int]:
    found = []
    for i in itertools.count():
        try:
            found.append(number_of(frames.read(i)))
        except IndexError:
            return found


@pytest.mark.parametrize("suffix", KINDS)
def test_animations(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"moving.{suffix}")
    frames = open_frames(path)
    assert (frames.count, frames.seekable) == (5, True)
    assert numbers(frames) == list(range(5))
    assert [number_of(frames.read(i)) for i in (2, 4, 0, 3, 1)] == [2, 4, 0, 3, 1]
    assert [frames.time(i) for i in range(5)] == [Fraction(t, 100) for t in (0, 4, 12, 16, 28)]
    assert frames.format is not None
    assert np.abs(frames.read(1).astype(int) - picture(1, (33, 21))).mean() < 12
    with pytest.raises(IndexError):
        frames.read(-1)
    frames.close()
    with pytest.raises(InputError, match="closed"):
        frames.read(3)
    still = open_frames(write(tmp_path / f"still.{suffix}", 1))
    assert numbers(still) == [0]


@pytest.mark.parametrize("suffix", KINDS)
def test_the_name_does_not_matter(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"moving.{suffix}").rename(tmp_path / "moving.jpg")
    assert numbers(open_frames(path)) == list(range(5))


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_among_pictures_is_refused(tmp_path: Path, suffix: str) -> None:
    """Its first frame alone would be a guess."""
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    write(tmp_path / f"1.{suffix}")
    for source in (tmp_path, str(tmp_path / "*.*")):
        frames = open_frames(source)
        assert number_of(frames.read(0)) == 0
        with pytest.raises(InputError, match=f"frame 1: expected a picture, but .*1.{suffix} is"):
            frames.read(1)


@pytest.mark.parametrize("suffix", ["webp", KINDS[-1]])
def test_transparency_is_dropped(tmp_path: Path, suffix: str) -> None:
    """Of AVIF it is a stream of its own."""
    images = [Image.fromarray(picture(i, (32, 20))) for i in range(3)]
    for image in images:
        image.putalpha(250)
    images[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=images[1:], duration=40)
    assert numbers(open_frames(tmp_path / f"a.{suffix}")) == [0, 1, 2]


def test_larger_than_pillow_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its limit would make a still picture of the animation."""
    paths = [write(tmp_path / f"moving.{suffix}") for suffix in ("gif", "png", "webp")]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert [numbers(open_frames(path)) for path in paths[:2]] == [list(range(5))] * 2
    with pytest.raises(InputError, match="webp"):  # of WebP, it cannot be turned off
        open_frames(paths[2])


@pytest.mark.parametrize("suffix", KINDS)
def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = write(tmp_path / f"moving.{suffix}", size=(64, 48))
    monkeypatch.setenv("SAMKIT_MAX_IMAGE_PIXELS", "1000")
    with pytest.raises(InputError, match="at most 1000 pixels, got 64 x 48"):
        open_frames(path)


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.8])
def test_a_damaged_animation_is_no_picture(tmp_path: Path, suffix: str, part: float) -> None:
    """The frames that are there, each the right one, or an error."""
    path = write(tmp_path / f"moving.{suffix}", size=(64, 48))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    try:
        frames = open_frames(path)
        found = [number_of(frames.read(i)) for i in range(frames.count)]
    except InputError:
        return
    assert found == list(range(len(found)))


def test_a_picture_in_a_container_of_videos_is_a_picture(tmp_path: Path) -> None:
    """HEIF may store it as tiles, each of which is a stream to FFmpeg."""
    path = make_video(tmp_path / "tiles.mp4", 2)
    data = path.read_bytes()
    for brand in (b"heic", b"mif1"):
        (tmp_path / "a.heic").write_bytes(data[:8] + brand + data[12:].replace(b"moov", b"meta"))
        frames = open_frames(tmp_path / "a.heic")
        assert frames.count == 1
        with pytest.raises(InputError, match="heic"):
            frames.read(0)
    (tmp_path / "a.heics").write_bytes(data[:8] + b"hevc" + data[12:])
    assert open_frames(tmp_path / "a.heics").count == 2
