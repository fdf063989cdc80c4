"""The masks of a stack or video as scientists keep them: a TIFF of labels, and a table."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from samkit.errors import InputError
from samkit.masks import drawing
from samkit.masks.result import Masks
from samkit.masks.rows import RowFile
from samkit.media.frames import Frames
from samkit.media.writing import StreamedFile

__all__ = ["LabelStackWriter", "TableWriter", "check_stack_ids"]

_MOST_ID = 65535


class LabelStackWriter:
    """A TIFF with a page for each frame: a pixel's value is the id of the object there, 16 bits.

    0 is the background. Where objects overlap, the best-scored one is on top. Frames are pages in
    the order in which they come; the file may be larger than 4 GB.

    Args:
        path: a file .tif or .tiff.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file: StreamedFile[Any] = StreamedFile(path, _open_tiff)

    def write(self, frame: int, masks: Masks) -> None:
        ids = masks.object_ids
        check_stack_ids(ids.tolist())
        labels = np.zeros(masks.image_size, np.uint16)
        for i in drawing.painting_order(masks.scores):
            labels[masks[i].masks[0]] = ids[i]
        with self._file.writing() as tiff:
            tiff.write(labels, compression="zlib", metadata=None, contiguous=False)

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        self._file.discard()


def check_stack_ids(object_ids: Collection[int]) -> None:
    """Raise `InputError` for ids that a stack of labels cannot hold."""
    for object_id in object_ids:
        if not 1 <= object_id <= _MOST_ID:
            raise InputError(
                f"label stacks hold object ids from 1 to {_MOST_ID}, got {object_id}: give it "
                "another id, or write .json"
            )


def _open_tiff(path: Path) -> Any:
    import tifffile  # takes long

    return tifffile.TiffWriter(path, bigtiff=True)


class TableWriter:
    """A table (.csv) with a row for each object in each frame.

    The columns are frame, time (seconds; empty where it is not known), and those of `Masks.table`.
    An object that is not there has a row with an area of 0.

    Args:
        path: a file .csv.
        frames: of the video.
    """

    def __init__(self, path: str | os.PathLike[str], frames: Frames) -> None:
        self._rows = RowFile(path)
        self._frames = frames

    def write(self, frame: int, masks: Masks) -> None:
        time = self._frames.time(frame)
        about = {"frame": frame, "time": None if time is None else float(time)}
        self._rows.add({**about, **row} for row in masks.table())

    def close(self) -> None:
        self._rows.close()

    def discard(self) -> None:
        self._rows.discard()
