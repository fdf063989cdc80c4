"""Images and videos from whatever a caller gives as `source`."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from samkit.compat.ultralytics.arrays import rgb_of_bgr
from samkit.errors import ImageError, InputError
from samkit.media import IMAGE_SUFFIXES, list_images, read_image
from samkit.media.frames import Frames, open_frames

__all__ = ["Shot", "VideoShots", "check_source", "open_video", "shots_of"]

# Often animations, which are videos.
_PICTURES = IMAGE_SUFFIXES - {".gif"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """One image of a source.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        path: of its file; of what has none, a name such as ``image0.jpg``.
        frame: its number in a video, else None.
    """

    pixels: NDArray[np.uint8]
    path: str
    frame: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoShots:
    """An open video.

    Attributes:
        frames: of the video.
        path: of its file or folder; of what has none, ``video``.
    """

    frames: Frames
    path: str

    def shot(self, number: int) -> Shot:
        """A frame, that is there."""
        name = self.frames.name(number)
        path = str(Path(self.path) / name) if name and os.path.isdir(self.path) else self.path
        return Shot(pixels=self.frames.read(number), path=path, frame=number)


def check_source(source: Any) -> None:
    """See that a source is one, and that its files are there, without reading them.

    Raises:
        ImageError, InputError: the message says what was expected.
    """
    if isinstance(source, (str, os.PathLike)):
        _listed(os.fspath(source))
    elif isinstance(source, (list, tuple)):
        if not source:
            raise InputError("source: expected at least one image, got an empty list")
        for one in source:
            check_source(one)
    elif isinstance(source, np.ndarray):
        rgb_of_bgr(source)
    elif isinstance(source, torch.Tensor):
        _check_tensor(source)
    elif not isinstance(source, (int, np.integer, Image.Image, Iterator)):
        raise InputError(
            "source: expected a file, folder, pattern, URL, array, PIL image, tensor, or a list "
            f"of those, got {type(source).__name__}"
        )


def shots_of(source: Any, first: int = 0) -> Iterator[Shot]:
    """The images of a source one after the other; of a video its frames.

    Arrays are (H, W, 3) uint8 BGR, tensors (3, H, W) or (N, 3, H, W) RGB from 0 to 1.

    Args:
        source: what `check_source` lets pass.
        first: number of the first image without a name.
    """
    if isinstance(source, (str, os.PathLike)):
        paths = _listed(os.fspath(source))
        if paths is None:
            yield from _video_shots(source)
        for path in paths or ():
            yield Shot(pixels=read_image(path), path=str(path))
    elif isinstance(source, (int, np.integer)):
        yield from _video_shots(source)
    elif isinstance(source, torch.Tensor) and source.ndim == 4:
        yield from shots_of(list(source), first)
    elif isinstance(source, (list, tuple, Iterator)):
        for number, one in enumerate(source, first):
            yield from shots_of(one, number)
    else:
        name = getattr(source, "filename", None) or f"image{first}.jpg"
        yield Shot(pixels=_pixels(source), path=str(name))


def open_video(source: Any) -> VideoShots:
    """A video file, URL, camera, folder or pattern of pictures, or frames, opened.

    Frames are an array (T, H, W, 3) uint8 BGR, a tensor (T, 3, H, W), or a list or iterator of
    images; those that are arrays are BGR.

    Raises:
        InputError: it cannot be opened.
    """
    if isinstance(source, (int, np.integer)):
        return VideoShots(frames=open_frames(int(source)), path=f"camera{source}")
    if isinstance(source, (str, os.PathLike)):
        text: str = os.fspath(source)
        return VideoShots(frames=open_frames(text), path=text)
    if isinstance(source, np.ndarray) and source.ndim == 4 and len(source):
        rgb_of_bgr(source[0], "frames")
        return VideoShots(frames=open_frames(source[..., ::-1]), path="video")
    if isinstance(source, torch.Tensor) and source.ndim == 4:
        source = list(source)
    if isinstance(source, (list, tuple)):
        return VideoShots(frames=open_frames([_frame(one) for one in source]), path="video")
    if isinstance(source, Iterable) and not isinstance(source, (np.ndarray, torch.Tensor)):
        return VideoShots(frames=open_frames(map(_frame, source)), path="video")
    raise InputError(
        "source: expected a video file, a folder of pictures, a URL, a camera number or frames, "
        f"got {type(source).__name__}"
    )


def _frame(one: Any) -> Any:
    """As `open_frames` takes it: in RGB."""
    return one if isinstance(one, (str, os.PathLike)) else _pixels(one)


def _pixels(image: Any) -> NDArray[np.uint8]:
    if isinstance(image, np.ndarray):
        return rgb_of_bgr(image)
    if isinstance(image, torch.Tensor):
        _check_tensor(image)
        return read_image(image[0] if image.ndim == 4 else image)
    if isinstance(image, Image.Image):
        return read_image(image)
    raise ImageError(f"expected an array, a PIL image or a tensor, got {type(image).__name__}")


def _check_tensor(tensor: torch.Tensor) -> None:
    shape = tuple(tensor.shape)
    if tensor.ndim not in (3, 4) or shape[-3] != 3 or 0 in shape:
        raise ImageError(
            f"image: expected a tensor (3, H, W) or (N, 3, H, W) in RGB, got shape {shape}"
        )
    if tensor.dtype != torch.uint8 and not tensor.is_floating_point():
        raise ImageError(f"image: expected floats from 0 to 1 or uint8, got {tensor.dtype}")


def _listed(text: str) -> list[Path] | None:
    """Files of pictures; None for a video."""
    path = Path(text)
    is_address = "://" in text and not text.lower().startswith("file://")
    if is_address or (path.is_file() and path.suffix.lower() not in _PICTURES):
        return None
    return list_images([text])


def _video_shots(source: Any) -> Iterator[Shot]:
    video = open_video(source)
    number = 0
    try:
        while True:
            try:
                shot = video.shot(number)
            except IndexError:
                return
            yield shot
            number += 1
    finally:
        video.frames.close()
