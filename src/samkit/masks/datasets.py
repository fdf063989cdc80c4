"""The masks of many images in one file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from samkit.errors import InputError
from samkit.files import checked_path
from samkit.masks.categories import Categories
from samkit.masks.coco_stream import CocoStream
from samkit.masks.result import Masks
from samkit.masks.rows import RowFile

__all__ = ["DATASET_SUFFIXES", "DatasetWriter", "open_dataset_writer"]

DATASET_SUFFIXES = (".json", ".jsonl", ".csv")
"""Of files that hold the masks of many images."""


class DatasetWriter(Protocol):
    """Writes the masks of images, one image after the other."""

    def write(self, image: str | os.PathLike[str], masks: Masks, category: Sequence[str]) -> None:
        """Add the masks of an image, which may be none, with the category of each.

        Raises:
            InputError: a category is not known, or the place cannot be written.
        """
        ...

    def close(self) -> None:
        """Finish, and put the file in place. Without any image there is no file.

        Raises:
            InputError: the place cannot be written.
        """
        ...

    def discard(self) -> None:
        """Remove what is not in place yet."""
        ...


def open_dataset_writer(path: str | os.PathLike[str], categories: Sequence[str]) -> DatasetWriter:
    """A COCO data set (.json), or the lines of ``jsonl`` or rows of ``csv`` of `Masks.save`.

    Args:
        path: a file with one of these suffixes.
        categories: all names that there are, in the order of their numbers.

    Raises:
        InputError: another suffix.
    """
    suffix = checked_path(path, "a file of masks").suffix.lower()
    if suffix == ".json":
        return _CocoWriter(path, categories)
    if suffix in DATASET_SUFFIXES:
        return _LineWriter(path, categories)
    expected = ", ".join(DATASET_SUFFIXES)
    raise InputError(f"cannot save {path}: the masks of several images go into files {expected}")


class _CocoWriter:
    """A COCO data set; file names are as the images were given."""

    def __init__(self, path: str | os.PathLike[str], categories: Sequence[str]) -> None:
        self._file = CocoStream(path)
        self._categories = tuple(categories)
        self._images = 0

    def write(self, image: str | os.PathLike[str], masks: Masks, category: Sequence[str]) -> None:
        known = Categories.checked(list(category), len(masks), self._categories)
        self._images += 1
        height, width = masks.image_size
        name = Path(image).as_posix()
        about = {"id": self._images, "width": width, "height": height, "file_name": name}
        ids = [number + 1 for number in known.numbers]
        self._file.add(about, masks.to_coco(self._images, ids))

    def close(self) -> None:
        self._file.close(categories=Categories.checked((), 0, self._categories).as_coco)

    def discard(self) -> None:
        self._file.discard()


class _LineWriter:
    """A row of a table or a line for each mask, with the name of its image."""

    def __init__(self, path: str | os.PathLike[str], categories: Sequence[str]) -> None:
        self._rows = RowFile(path)
        self._is_table = Path(path).suffix.lower() == ".csv"
        self._categories = tuple(categories)

    def write(self, image: str | os.PathLike[str], masks: Masks, category: Sequence[str]) -> None:
        names = Categories.checked(list(category), len(masks), self._categories).of_each
        rows = masks.table() if self._is_table else masks.to_coco()
        about = {"file_name": Path(image).as_posix()}
        self._rows.add(
            {**about, "category": name, **row} for name, row in zip(names, rows, strict=True)
        )

    def close(self) -> None:
        self._rows.close()

    def discard(self) -> None:
        self._rows.discard()
