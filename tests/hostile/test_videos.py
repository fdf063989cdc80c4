"""Videos that are damaged or cut off, read to their end and back."""

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from hostile.harness import pick
from hostile.mutations import HOSTILE_VALUES, damaged
from PIL import Image
from videos import make_video, picture

from samkit.media.frames import open_frames


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Six frames in each of the usual containers."""
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "a.mp4", 6)
    make_video(folder / "b.mp4", 6, b_frames=2)
    make_video(folder / "a.mkv", 6, codec="ffv1")
    make_video(folder / "a.ts", 6)
    make_video(folder / "a.avi", 6, codec="mjpeg", pixels="yuvj420p")
    make_video(folder / "a.webm", 6, codec="libvpx")
    make_video(folder / "a.mov", 6, codec="mpeg4")
    frames = [Image.fromarray(picture(i)) for i in range(6)]
    for suffix in ("gif", "png"):
        frames[0].save(folder / f"a.{suffix}", save_all=True, append_images=frames[1:])
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read_all(source: object) -> None:
    with closing(open_frames(source)) as frames:
        count = min(frames.count or 30, 30)
        for i in range(count):
            frames.read(i)
            frames.time(i), frames.name(i)
        if frames.seekable:
            for i in (count - 1, 0, count // 2):
                frames.read(i)


def videos(rng: np.random.Generator, folder: Path, whole: dict[str, bytes]) -> Callable[[], object]:
    name = pick(rng, list(whole))
    data = whole[name]
    way = rng.integers(8)
    if way < 3:
        data = data[: rng.integers(len(data))]
    elif way < 7:
        data = damaged(rng, data)
    else:
        data = data + whole[pick(rng, list(whole))]
    path = folder / (name if rng.random() < 0.9 else f"x{pick(rng, sorted(whole))[1:]}")
    path.write_bytes(data)
    return lambda: ends_early(path)


def ends_early(source: object) -> None:
    """`IndexError` says that a video ends before a frame, as `Frames.read` documents."""
    with suppress(IndexError):
        read_all(source)


def odd_sources(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    (folder / "empty").mkdir()
    (folder / "a.mp4").mkdir()
    playlist = folder / "a.m3u8"
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", "b.ts", "#EXT-X-ENDLIST")
    playlist.write_text("\n".join(line for line in lines if rng.random() < 0.8))
    still = np.zeros((2, 8, 8, 3), np.uint8)
    options = (
        *(value for value in HOSTILE_VALUES if not isinstance(value, int) and value != "/"),
        folder / "empty", folder / "a.mp4", folder / "*.png", folder / "[", playlist, still[0, 0],
        still.astype(float) + 9, still[:, :, :, :2], still[:0], [still[0], "x"], [still[0], None],
        iter([]), iter([still[0], still[0, :4]]), b"x", object(), {1: still[0]}, (x for x in "ab"),
        Path("/dev/null"), "file:///nowhere.mp4", "nowhere://x", "concat:a|b", "data:,x", "pipe:0",
    )  # fmt: skip
    source = pick(rng, options)
    return lambda: ends_early(source)


def test_videos(hostile, whole) -> None:
    hostile("videos", lambda rng, folder: videos(rng, folder, whole), 125)


def test_sources_of_frames(hostile) -> None:
    hostile("sources of frames", odd_sources, 50)
