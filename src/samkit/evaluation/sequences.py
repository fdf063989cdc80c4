"""Annotated videos in DAVIS's layout."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from samkit.errors import InputError
from samkit.evaluation.datasets import (
    is_black_and_white,
    read_label_map,
    read_labels,
)
from samkit.evaluation.layouts import annotated_folders
from samkit.evaluation.metrics import BoolArray
from samkit.files import checked_path
from samkit.media import list_images
from samkit.media.frames import open_frames

__all__ = ["AnnotatedFrame", "AnnotatedVideo", "FrameFolder", "open_sequences"]


@dataclass(frozen=True, kw_only=True)
class AnnotatedFrame:
    """A frame and, if it is annotated, the objects in it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) int32, the id of the object at each pixel, 0 for none; None where the frame
            is not annotated.
        ignore: (H, W) bool, pixels without annotation, or None.
    """

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32] | None = None
    ignore: BoolArray | None = None


class AnnotatedVideo(Protocol):
    """Frames in order, read at each access; the first one is annotated."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> AnnotatedFrame: ...


class FrameFolder:
    """Images in natural order (f2 before f10), some with a mask of the same name.

    It begins with the first frame that has a mask. Values are ids of objects, the same in all
    frames, and 0 is background. In 8-bit masks 255 is void (ignored), unless no mask of the
    sequence holds anything else: then white is the only object.

    Args:
        images, masks: their folders.

    Raises:
        InputError: these are none, or no frame has a mask.
    """

    def __init__(self, images: Path, masks: Path) -> None:
        self._frames = open_frames(images)
        self._masks = {path.stem: path for path in list_images(masks)}
        count = self._frames.count or 0
        names = [Path(self._frames.name(i) or "").stem for i in range(count)]
        if not all(names):
            raise InputError(f"{images}: expected frames with different names, got one name twice")
        annotated = [i for i, name in enumerate(names) if name in self._masks]
        if not annotated:
            raise InputError(
                f"{images}: no image in it has a mask of the same name in {masks.name}/"
            )
        self._first = annotated[0]
        self._names = names[self._first :]

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> AnnotatedFrame:
        name = self._names[index]
        image = self._frames.read(self._first + index)
        if name not in self._masks:
            return AnnotatedFrame(image=image)
        labels, void = read_labels(self._masks[name], image.shape[:2])
        if void.any() and self._is_black_and_white:
            void = np.zeros_like(void)
        return AnnotatedFrame(image=image, labels=np.where(void, 0, labels), ignore=void)

    @cached_property
    def _is_black_and_white(self) -> bool:
        """Whether 255 is the only label of all frames; of one frame, objects may have left."""
        paths = (self._masks[name] for name in self._names if name in self._masks)
        return all(is_black_and_white(read_label_map(path)) for path in paths)


def open_sequences(path: str | os.PathLike[str]) -> dict[str, AnnotatedVideo]:
    """A folder of sequences, or one sequence: each a folder of `images/` and `masks/`, or folders
    within both, which may be called `JPEGImages/` and `Annotations/`.

    Raises:
        InputError: there is none.
    """
    path = checked_path(path, "a folder of sequences")
    if not os.path.isdir(path):
        raise InputError(f"no such folder: {path}")
    own = Path(os.path.realpath(path)).name
    return {
        name or own: FrameFolder(images, masks)
        for name, (images, masks) in annotated_folders(path).items()
    }
