"""Frames to a video file, written as they come."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from samkit.errors import InputError
from samkit.media.writing import StreamedFile

__all__ = ["VideoWriter"]


@dataclass(frozen=True, kw_only=True)
class _Codec:
    """How frames are encoded.

    Attributes:
        name: of the encoder; options: of it.
        channels: of the frames; source: their format, and encoded: that of the pixels in the file.
        even: whether sizes must be even.
    """

    name: str
    options: dict[str, str]
    channels: int
    source: str
    encoded: str
    even: bool


_CODECS = {
    # Quality (lower is better, 18 looks like the original) and effort of the encoder.
    ".mp4": _Codec(
        name="libx264",
        options={"crf": "18", "preset": "veryfast"},
        channels=3,
        source="rgb24",
        encoded="yuv420p",
        even=True,
    ),
    ".mov": _Codec(
        name="prores_ks",
        options={"profile": "4444", "alpha_bits": "16", "vendor": "apl0"},
        channels=4,
        source="rgba",
        encoded="yuva444p10le",
        even=False,
    ),
}
_UNIT = Fraction(1, 90_000)  # usual in video: most frame rates are whole numbers of it
_BT709 = 1  # number of the colour space in H.264
_LIMITED_RANGE = 1


class VideoWriter:
    """Write a video without sound, bit by bit.

        with VideoWriter("out.mp4", rate=25) as video:
            for frame in frames: video.write(frame)

    - .mp4: H.264 (yuv420p, BT.709), which plays everywhere.
    - .mov: ProRes 4444 (yuva444p10, BT.709) with opacity, which programs for editing take.

    Memory does not grow with the length. H.264 has even sizes only: the last column or row of
    frames of an odd size is repeated once. The video starts with the first frame, whatever its
    time is. The file is put in place when it is closed, with what was written up to then, also
    when the block ended with an error. Without a frame there is no file.

    Args:
        path: a file .mp4 or .mov.
        rate: frames per second, for frames without a time.
        unit: seconds; times are rounded to multiples of it.
        pixel_aspect: width of a pixel by its height.

    Raises:
        InputError: another suffix, or a rate, unit or aspect that is not positive.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate: float | Fraction = 25,
        unit: Fraction = _UNIT,
        pixel_aspect: Fraction = Fraction(1),
    ) -> None:
        self._path = Path(path)
        codec = _CODECS.get(self._path.suffix.lower())
        if codec is None:
            raise InputError(f"cannot write {path}: expected a file {' or '.join(_CODECS)}")
        self._codec = codec
        for name, value in (("rate", rate), ("unit", unit), ("pixel_aspect", pixel_aspect)):
            if not 0 < value < float("inf"):
                raise InputError(f"{name}: expected a number above 0, got {value}")
        self._rate = Fraction(rate).limit_denominator(100_000)
        if not self._rate:
            raise InputError(f"rate: expected at least 0.00001 frames per second, got {rate}")
        self._unit, self._aspect = unit, pixel_aspect
        self._file = StreamedFile(path, self._open)
        self._is_closed = False
        self._size: tuple[int, int] | None = None  # (H, W) of the frames
        self._first = Fraction(0)  # time of the first frame
        self._last = Fraction(0)  # time of the last one
        self._ticks = -1  # time of the last one after the first, in units

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def write(self, frame: npt.NDArray[np.uint8], time: float | Fraction | None = None) -> None:
        """Add a frame.

        Args:
            frame: (H, W, 3) uint8 RGB, or (H, W, 4) with opacity for a .mov; as large as those
                before.
            time: when it is shown, in seconds; by default 1 / `rate` after the one before.

        Raises:
            InputError: another shape, type or size, a time that is not after the one before, or the
                file cannot be written.
        """
        height, width = _size_of(frame, self._codec.channels)
        if self._is_closed:
            raise InputError(f"{self._path} is closed")
        if self._size is None:
            self._size = (height, width)
            self._first = Fraction(0) if time is None else Fraction(time)
            self._last = self._first - 1 / self._rate
        elif (height, width) != self._size:
            raise InputError(
                f"expected a frame of the size of those before {self._size} (height, width), "
                f"got {(height, width)}"
            )
        self._advance(time)
        even: npt.NDArray[Any] = frame
        if self._codec.even and (height % 2 or width % 2):
            even = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        picture = av.VideoFrame.from_ndarray(even, format=self._codec.source)
        picture = _reformatted(picture, self._codec)
        picture.pts, picture.time_base = self._ticks, self._unit
        with self._file.writing() as video:
            video.write(picture)

    def close(self) -> None:
        """Finish the file and put it in place. If a frame could not be written, it is removed.

        Raises:
            InputError: it cannot be finished.
        """
        self._is_closed = True
        self._file.close()

    def discard(self) -> None:
        """Remove what was written; a file that was there before stays."""
        self._is_closed = True
        self._file.discard()

    def _open(self, path: Path) -> "_Video":
        """The file, for frames as large as the first one."""
        assert self._size is not None
        codec = self._codec
        height, width = (side + side % 2 if codec.even else side for side in self._size)
        with _os_errors():
            container = av.open(str(path), "w", options={"movflags": "faststart"})
            stream: Any = container.add_stream(codec.name, rate=self._rate, options=codec.options)
        context = stream.codec_context
        context.width, context.height = width, height
        context.pix_fmt = codec.encoded
        stream.time_base = context.time_base = self._unit
        context.sample_aspect_ratio = self._aspect
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        return _Video(container, stream)

    def _advance(self, time: float | Fraction | None) -> None:
        """Work out when the next frame is shown."""
        shown = self._last + 1 / self._rate if time is None else Fraction(time)
        ticks = round((shown - self._first) / self._unit)
        if ticks <= self._ticks:
            raise InputError(
                f"time: expected one after that of the frame before, {float(self._last):g} s, "
                f"got {float(shown):g} s"
            )
        self._last, self._ticks = shown, ticks


@dataclass(frozen=True)
class _Video:
    """A file of FFmpeg's that is being written. All that goes wrong is an OSError."""

    container: OutputContainer
    stream: VideoStream

    def write(self, picture: av.VideoFrame | None) -> None:
        """Add a picture; None for what the encoder holds back."""
        with _os_errors():
            for packet in self.stream.encode(picture):
                self.container.mux(packet)

    def close(self) -> None:
        with _os_errors(), contextlib.closing(self.container):
            self.write(None)


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    try:
        yield
    except (ValueError, av.FFmpegError) as error:
        raise OSError(getattr(error, "strerror", None) or str(error)) from error


def _reformatted(picture: av.VideoFrame, codec: _Codec) -> av.VideoFrame:
    """A frame in the format of the file."""
    how: dict[str, Any] = {
        "format": codec.encoded,
        # Of RGB there is one only, but older versions of PyAV ask for two that differ.
        "src_colorspace": Colorspace.ITU601,
        "dst_colorspace": Colorspace.ITU709,
    }
    if codec.channels == 4:
        # Several threads of FFmpeg's scaler spoil eight pixels of opacity where their parts meet.
        with contextlib.suppress(TypeError):  # of versions of PyAV that have one thread only
            return picture.reformat(**how, threads=1)
    return picture.reformat(**how)


def _size_of(frame: object, channels: int) -> tuple[int, int]:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        kind = frame.dtype if isinstance(frame, np.ndarray) else type(frame).__name__
        raise InputError(f"expected a frame (H, W, {channels}) of uint8, got {kind}")
    if frame.ndim != 3 or frame.shape[2] != channels or frame.size == 0:
        raise InputError(
            f"expected a frame (H, W, {channels}) of uint8, got the shape {frame.shape}"
        )
    return frame.shape[0], frame.shape[1]
