"""Images and videos from what a caller gives as `source`."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
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

__all__ = [
    "SourceImage",
    "SourceVideo",
    "open_video",
    "single_image",
    "source_images",
]

# GIFs are often animations, which are videos.
_PICTURES = IMAGE_SUFFIXES - {".gif"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceImage:
    """An image of a source.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        path: of its file; without a file, a name such as ``image0.jpg``.
        frame: its number in a video, else None.
    """

    pixels: NDArray[np.uint8]
    path: str
    frame: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceVideo:
    """An open video.

    Attributes:
        frames: of the video.
        path: of its file or folder; without one, ``video``.
    """

    frames: Frames
    path: str

    def image(self, number: int) -> SourceImage:
        """A frame.

        Raises:
            IndexError: the video ends before it; InputError: as for `Frames.read`.
        """
        name = self.frames.name(number)
        path = str(Path(self.path) / name) if name and os.path.isdir(self.path) else self.path
        return SourceImage(pixels=self.frames.read(number), path=path, frame=number)


def source_images(source: Any, first: int = 0) -> Iterator[SourceImage]:
    """The images of a source one after the other; of a video its frames.

    The type of the source, and whether its files exist, is checked at once; images are read when
    they are needed.

    Args:
        source: as for `Predictor.setup_source`. Arrays are (H, W, 3) uint8 BGR, tensors (3, H, W)
            or (N, 3, H, W) RGB from 0 to 1.
        first: number of the first image without a name.

    Raises:
        ImageError, InputError: the message says what was expected.
    """
    if isinstance(source, (str, os.PathLike)):
        paths = _picture_files(os.fspath(source))
        return _video_images(source) if paths is None else map(_read_file, paths)
    if isinstance(source, (int, np.integer)):
        return _video_images(source)
    if isinstance(source, Iterator):
        return chain.from_iterable(map(source_images, source, count(first)))
    if isinstance(source, torch.Tensor) and source.ndim == 4:
        _check_tensor(source)
        source = list(source)
    if isinstance(source, (list, tuple)):
        if not source:
            raise InputError("source: expected at least one image, got an empty list")
        try:
            each = [source_images(one, number) for number, one in enumerate(source, first)]
        except RecursionError:
            raise InputError("source: expected a list of images, got lists within lists") from None
        return chain.from_iterable(each)
    if not isinstance(source, (np.ndarray, torch.Tensor, Image.Image)):
        raise InputError(
            "source: expected a file, folder, pattern, URL, array, PIL image, tensor, or a list "
            f"of those, got {type(source).__name__}"
        )
    if isinstance(source, np.ndarray):
        rgb_of_bgr(source)  # checks it
    elif isinstance(source, torch.Tensor):
        _check_tensor(source)
    name = getattr(source, "filename", None) or f"image{first}.jpg"
    return (SourceImage(pixels=_pixels(image), path=str(name)) for image in [source])


def single_image(source: Any, name: str) -> SourceImage:
    """The image of a source that has exactly one.

    Raises:
        ImageError: not an image; InputError: none or several.
    """
    images = list(islice(source_images(source), 2))
    if len(images) != 1:
        got = "several" if images else "none"
        raise InputError(f"{name}: expected exactly one image at a time, got {got}")
    return images[0]


def open_video(source: Any) -> SourceVideo:
    """A video file, URL, camera, folder or pattern of pictures, or frames, opened.

    Frames are an array (T, H, W, 3) uint8 BGR, a tensor (T, 3, H, W), or a list or iterator of
    images, in which arrays are BGR.

    Raises:
        InputError: it cannot be opened.
    """
    if isinstance(source, (int, np.integer)):
        return SourceVideo(frames=open_frames(int(source)), path=f"camera{source}")
    if isinstance(source, (str, os.PathLike)):
        text: str = os.fspath(source)
        return SourceVideo(frames=open_frames(text), path=text)
    is_array = isinstance(source, (np.ndarray, torch.Tensor))
    frames: Any
    if isinstance(source, np.ndarray) and source.ndim == 4 and len(source):
        rgb_of_bgr(source[0], "frames")
        frames = source[..., ::-1]
    elif isinstance(source, (list, tuple)) or (is_array and source.ndim == 4):
        frames = [_frame(one) for one in source]
    elif isinstance(source, Iterable) and not is_array:
        frames = map(_frame, source)
    else:
        raise InputError(
            "source: expected a video file, a folder of pictures, a URL, a camera number or "
            f"frames, got {type(source).__name__}"
        )
    return SourceVideo(frames=open_frames(frames), path="video")


def _frame(one: Any) -> Any:
    """A path, or pixels in RGB, for `open_frames`."""
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


def _picture_files(text: str) -> list[Path] | None:
    """The picture files of a path or pattern; None for a video."""
    path = Path(text)
    is_address = "://" in text and not text.lower().startswith("file://")
    if is_address or (os.path.isfile(path) and path.suffix.lower() not in _PICTURES):
        return None
    return list_images([text])


def _read_file(path: Path) -> SourceImage:
    return SourceImage(pixels=read_image(path), path=str(path))


def _video_images(source: Any) -> Iterator[SourceImage]:
    video = open_video(source)
    try:
        for number in count():
            try:
                image = video.image(number)
            except IndexError:
                return
            yield image
    finally:
        video.frames.close()
