"""The masks of many images in one file."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from samkit.errors import InputError
from samkit.files import checked_path
from samkit.masks.categories import Categories
from samkit.masks.coco_stream import CocoStream
from samkit.masks.result import Masks
from samkit.media.writing import PendingFile

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
        return _LineWriter(path, categories, is_table=suffix == ".csv")
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
    """A line for each mask, with the name of its image; of a table after the names of columns."""

    def __init__(
        self, path: str | os.PathLike[str], categories: Sequence[str], *, is_table: bool
    ) -> None:
        self._path = path
        self._categories = tuple(categories)
        self._is_table = is_table
        self._file: PendingFile | None = None
        self._text: IO[str]
        self._table: csv.DictWriter[str] | None = None

    def write(self, image: str | os.PathLike[str], masks: Masks, category: Sequence[str]) -> None:
        names = Categories.checked(list(category), len(masks), self._categories).of_each
        rows = masks.table() if self._is_table else masks.to_coco()
        about = {"file_name": Path(image).as_posix()}
        try:
            if self._file is None:
                self._file = PendingFile(self._path)
                self._text = self._file.temporary.open("w", encoding="utf-8", newline="\n")
            for name, row in zip(names, rows, strict=True):
                self._add({**about, "category": name, **row})
        except OSError as error:
            raise self._cannot(error) from error

    def _add(self, row: dict[str, object]) -> None:
        if not self._is_table:
            self._text.write(json.dumps(row) + "\n")
            return
        if self._table is None:
            self._table = csv.DictWriter(self._text, list(row), lineterminator="\n")
            self._table.writeheader()
        self._table.writerow(row)

    def close(self) -> None:
        if self._file is None:
            return
        try:
            self._text.close()
        except OSError as error:
            self.discard()
            raise self._cannot(error) from error
        file, self._file = self._file, None
        file.keep()

    def discard(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        self._text.close()
        file.discard()

    def _cannot(self, error: OSError) -> InputError:
        return InputError(f"cannot write {self._path}: {error.strerror or error}")
