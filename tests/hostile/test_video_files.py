"""Video files that are damaged or made up: frames, or an error that says so, and nothing left."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from videos import make_video, served

import samkit
from samkit.errors import InputError
from samkit.media.frames import open_frames

resource = pytest.importorskip("resource")


def read_all(path: Path) -> int | None:
    """How many frames can be read, in both directions; None if it cannot be opened."""
    try:
        frames = open_frames(path)
    except InputError:
        return None
    found = 0
    assert frames.count is not None
    for i in [*range(frames.count), 0]:
        try:
            found += frames.read(i).shape[2] == 3
        except (InputError, IndexError):
            continue
    frames.close()
    return found


# Cut off and broken


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small .mp4 whose description comes last."""
    path = tmp_path_factory.mktemp("small") / "small.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for i in range(3):
            picture = np.full((16, 16, 3), 50 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def test_cut_anywhere(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    for length in [*range(0, len(small), 37), *range(len(small) - 700, len(small) + 1)]:
        path.write_bytes(small[:length])
        read_all(path)
    assert read_all(path) == 4


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "gif", "png", "webp", "avif"])
def test_flipped_bytes(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    if suffix in ("mp4", "mkv", "avi", "ts"):
        make_video(whole, 4, size=(16, 16), codec="mpeg4" if suffix == "avi" else "libx264")
    else:
        from PIL import Image

        images = [Image.new("RGB", (16, 16), (40 * i, 0, 0)) for i in range(4)]
        images[0].save(whole, save_all=True, append_images=images[1:], duration=40)
    data = whole.read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / f"broken.{suffix}"
    for _ in range(40):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            broken[at] = rng.integers(0, 256)
        path.write_bytes(broken)
        read_all(path)


# What leads elsewhere, or never ends


LISTS = {
    "live.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.mp4\n",
    "live.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.mp4\n",
    "away.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}/a.mp4\n",
    "list.ffconcat": "ffconcat version 1.0\nfile a.mp4\n",
    "list.mp4": "ffconcat version 1.0\nfile a.mp4\n",
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "a.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic">'
    "<Period><AdaptationSet><BaseURL>a.mp4</BaseURL></AdaptationSet></Period></MPD>",
    "a.pls": "[playlist]\nFile1=a.mp4\n",
}
OPEN = """
import sys
from samkit.errors import InputError
from samkit.media.frames import open_frames
for name in sys.argv[1:]:
    try:
        open_frames(name)
        print("opened")
    except InputError as error:
        print(error)
"""


def test_what_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """In a process of its own: while FFmpeg waits, nothing else would end it."""
    make_video(tmp_path / "a.mp4", 3)
    with served(tmp_path) as address:
        for name, text in LISTS.items():
            (tmp_path / name).write_text(text.replace("{address}", address))
        (tmp_path / "frame%03d.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(100))
        others = ["frame%03d.exr"]
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "pipe.mp4")
            others += ["pipe.mp4", "/dev/zero"]
        run = subprocess.run(
            [sys.executable, "-c", OPEN, *LISTS, *others],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    lines = run.stdout.splitlines()
    assert len(lines) == len(LISTS) + len(others)
    for name, line in zip(LISTS, lines, strict=False):
        assert f"{name} as a video: it is a list of other files or addresses" in line
    assert "or names other files or addresses, which are not followed" in lines[len(LISTS)]
    for line in lines[len(LISTS) + 1 :]:
        assert "expected a file, got a pipe or device" in line


@pytest.mark.parametrize(
    "name", ["concat:a.mp4|b.mp4", "subfile,,start,0,end,9,,:a.mp4", "cache:a"]
)
def test_a_name_that_looks_like_a_protocol(tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "a.mp4", 3)
    with pytest.raises(InputError, match="no such video"):
        open_frames(name)
    (tmp_path / name).write_bytes((tmp_path / "a.mp4").read_bytes())
    assert open_frames(name).count == 3


def test_names_that_no_file_has() -> None:
    for name in ("a\0b.mp4", "\udc80\ud800.mp4", "a" * 5000, ""):
        with pytest.raises(InputError):
            open_frames(name)


# What it claims


def patched(data: bytes, box: bytes, at: int, values: bytes) -> bytes:
    """With other values at a place of a box."""
    start = data.index(box) + 4 + at
    return data[:start] + values + data[start + len(values) :]


@pytest.mark.parametrize(
    ("side", "message"), [(9000, "at most 1000000 pixels, got 9000 x 9000"), (65535, "as a video")]
)
def test_a_size_that_is_too_large(tmp_path: Path, monkeypatch, side: int, message: str) -> None:
    data = make_video(tmp_path / "a.mkv", 3, codec="ffv1", size=(300, 260)).read_bytes()
    width, height = b"\xb0\x82\x01\x2c", b"\xba\x82\x01\x04"
    for element in (width, height):
        assert data.count(element) == 1
        data = data.replace(element, element[:2] + side.to_bytes(2, "big"))
    (tmp_path / "huge.mkv").write_bytes(data)
    monkeypatch.setenv("SAMKIT_MAX_IMAGE_PIXELS", "1000000")
    with pytest.raises(InputError, match=message):
        open_frames(tmp_path / "huge.mkv")


def test_frames_that_are_larger_than_the_header_says(tmp_path: Path, monkeypatch) -> None:
    data = make_video(tmp_path / "a.mkv", 3, size=(64, 48)).read_bytes()
    width, height = data.index(b"\xb0\x81\x40") + 2, data.index(b"\xba\x81\x30") + 2
    claimed = bytearray(data)
    claimed[width] = claimed[height] = 16
    path = tmp_path / "a.mkv"
    path.write_bytes(claimed)
    monkeypatch.setenv("SAMKIT_MAX_IMAGE_PIXELS", "1000")
    with pytest.raises(InputError):
        open_frames(path)


@pytest.mark.parametrize("count", [0, 2**27, 2**31, 2**32 - 1])
def test_a_number_of_frames_that_are_not_there(tmp_path: Path, count: int) -> None:
    data = make_video(tmp_path / "a.mp4", 3).read_bytes()
    path = tmp_path / "claims.mp4"
    for size in (0, 1):
        counts = struct.pack(">II", size, count)
        path.write_bytes(patched(data, b"stsz", 4, counts))
        read_all(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2**21  # 2 GB


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (16, 16)).save(tmp_path / "cover.jpg")
    path = tmp_path / "song.mp3"
    cover = (tmp_path / "cover.jpg").read_bytes()
    frame = b"\0image/jpeg\0\x03\0" + cover
    tag = b"APIC" + struct.pack(">I", len(frame)) + bytes(2) + frame
    size = bytes(len(tag) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + size + tag + (b"\xff\xfb\x90\x00" + bytes(413)) * 20)
    with pytest.raises(InputError, match="there is no video stream in it"):
        open_frames(path)


def test_text_in_any_encoding(tmp_path: Path) -> None:
    """Old files have titles in other encodings than UTF-8."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"TITLE", b"T\xfcTL\xe9"))
    assert open_frames(path).count == 1


# What is left behind


def threads_and_files() -> tuple[int, int]:
    return tuple(len(os.listdir(f"/proc/self/{what}")) for what in ("task", "fd"))


def good(path: Path) -> None:
    frames = open_frames(path)
    frames.read(1)
    frames.read(0)
    frames.close()


def unreadable(path: Path) -> None:
    (path.parent / "cut.mp4").write_bytes(path.read_bytes()[:-400])
    (path.parent / "empty.mp4").write_bytes(patched(path.read_bytes(), b"mdat", 0, bytes(3000)))
    for name in ("cut.mp4", "empty.mp4"):
        with pytest.raises(InputError):
            open_frames(path.parent / name)


def forgotten(path: Path) -> None:
    open_frames(path).read(1)


def tracked(path: Path) -> None:
    from tiny import make, tiny_sam2

    predictor = samkit.ImagePredictor(make(tiny_sam2()), device="cpu", dtype="float32")
    with samkit.VideoPredictor(predictor, path) as tracker:
        tracker.prompt(0, 1, samkit.Prompt.point(3, 3))
        next(tracker.track())


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="Linux tells its threads")
@pytest.mark.parametrize("use", [good, unreadable, forgotten, tracked])
def test_threads_and_files_are_given_back_at_once(
    tmp_path: Path, use: Callable[[Path], None]
) -> None:
    import gc

    path = tmp_path / "a.mp4"
    path.write_bytes(make_video(tmp_path / "slow.mkv", 6, codec="mpeg4").read_bytes())
    make_video(path, 6)
    use(path)  # libraries start threads of their own once
    gc.collect()
    gc.disable()
    try:
        before = threads_and_files()
        for _ in range(3 if use is tracked else 50):
            use(path)
        assert threads_and_files() == before
    finally:
        gc.enable()
