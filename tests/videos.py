"""Videos of known pixels, made with PyAV."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np

from samkit.media.frames import Frames


def picture(i: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """Frame i of a clip, (H, W, 3) uint8: coloured blocks, and i as a row of white and black."""
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    rows, columns = np.arange(height) * 3 // height, np.arange(width) * 4 // width
    frame = np.roll(pixels[rows][:, columns], i, axis=1)
    for bit in range(8):  # its number can be read off
        frame[height // 2 :, bit * width // 8 : (bit + 1) * width // 8] = 255 * (i >> bit & 1)
    return np.ascontiguousarray(frame)


def square_and_disc(size: int, length: int, *, disc: tuple[int, int]) -> np.ndarray:
    """A clip (T, H, W, 3): a square, and a disc from (y, x), move over a smooth background."""
    y, x = np.mgrid[:size, :size]
    frames = []
    for t in range(length):
        frame = np.stack([x, y, 128 + 60 * np.sin(x / 20 + t / 5)], -1)
        frame[20:60, 10 + 4 * t : 40 + 4 * t] = [250, 40, 40]
        frame[np.hypot(y - disc[0], x - disc[1] + 5 * t) < 15] = [30, 240, 90]
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return np.stack(frames)


def number_of(frame: np.ndarray) -> int:
    """The number of a frame of `picture`, also after compression."""
    height, width = frame.shape[:2]
    row = frame[height * 3 // 4].mean(1)
    return sum(int(row[(2 * bit + 1) * width // 16] > 127) << bit for bit in range(8))


def all_of(frames: Frames) -> list[np.ndarray]:
    """Every frame, read until there are no more."""
    found = []
    for i in itertools.count():
        try:
            found.append(frames.read(i))
        except IndexError:
            return found


def make_video(
    path: Path,
    count: int = 12,
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: Sequence[int] | None = None,
    unit: Fraction = Fraction(1, 25),
    gop: int = 5,
    b_frames: int = 0,
    matrix: tuple[int, int, int, int] | None = None,
    options: dict[str, str] | None = None,
    pixel_aspect: Fraction | None = None,
    audio: bool = False,
    first: int = 0,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Write frames `first`, `first` + 1, ... of `picture`.

    `times` are in units; by default frames come one after the other.

    With a `matrix`, players show what is stored at (x, y) at (a x + c y, b x + d y).
    """
    if muxer is None:
        muxer = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=muxer) as container:
        sound = container.add_stream("aac", rate=44100) if audio else None
        fixed = {"sc_threshold": "0"} if codec == "libx264" else {}  # no keyframes of its own
        stream = container.add_stream(codec, rate=25, options={**fixed, **(options or {})})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = unit
        stream.codec_context.gop_size = gop
        if codec in ("libx264", "mpeg2video"):
            stream.codec_context.max_b_frames = b_frames
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 44100), np.float32), format="fltp", layout="mono"
            )
            silence.rate, silence.pts = 44100, 0
            container.mux(sound.encode(silence))
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(picture(first + i, size), "rgb24").reformat(
                format=pixels
            )
            frame.pts, frame.time_base = i if times is None else times[i], unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            container.mux(sound.encode(None))
    if matrix is not None:
        turn(path, matrix)
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Set the display matrix (a, b, c, d) in the track header of an .mp4 (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 44
    assert data[at : at + 4] == (65536).to_bytes(4, "big")
    a, b, c, d = ((x * 65536).to_bytes(4, "big", signed=True) for x in matrix)
    data[at : at + 20] = a + b + bytes(4) + c + d
    path.write_bytes(data)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a web server that gives the files of a folder."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
