"""The masks of many images in one file."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from samkit.errors import InputError, shown
from samkit.files import checked_path, read_json
from samkit.masks import labelstudio
from samkit.masks.categories import Categories
from samkit.masks.coco_stream import CocoStream
from samkit.masks.result import Masks
from samkit.masks.rows import RowFile
from samkit.media.writing import StreamedFile

__all__ = [
    "DATASET_FORMATS",
    "AnnotatedMasks",
    "DatasetWriter",
    "open_dataset_writer",
    "read_labelstudio",
]

DATASET_FORMATS = {
    ".json": ("coco", "labelstudio"),
    ".jsonl": ("jsonl",),
    ".csv": ("csv",),
}
"""Suffix -> formats of files that hold the masks of many images, the default first."""


class AnnotatedMasks(NamedTuple):
    """An image that was annotated.

    Attributes:
        image: its name or address.
        masks: of its objects.
        category: of each mask.
    """

    image: str
    masks: Masks
    category: list[str]


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


def open_dataset_writer(
    path: str | os.PathLike[str], categories: Sequence[str], *, format: str | None = None
) -> DatasetWriter:
    """A COCO data set (.json), tasks of Label Studio (.json), or the lines of ``jsonl`` or rows of
    ``csv`` of `Masks.save`.

    Args:
        path: a file with one of these suffixes.
        categories: all names that there are, in the order of their numbers.
        format: coco, labelstudio, jsonl or csv; by default by the suffix, of .json coco.

    Raises:
        InputError: another suffix, or a format that does not go with it.
    """
    suffix = checked_path(path, "a file of masks").suffix.lower()
    if suffix not in DATASET_FORMATS:
        expected = ", ".join(DATASET_FORMATS)
        raise InputError(
            f"cannot save {path}: the masks of several images go into files {expected}"
        )
    formats = DATASET_FORMATS[suffix]
    if format is not None and format not in formats:
        raise InputError(
            f"cannot save {path}: expected one of the formats {', '.join(formats)}, "
            f"got {shown(format)}"
        )
    if suffix != ".json":
        return _LineWriter(path, categories)
    return (
        _TaskWriter(path, categories) if format == "labelstudio" else _CocoWriter(path, categories)
    )


def read_labelstudio(path: str | os.PathLike[str]) -> Iterator[AnnotatedMasks]:
    """The masks of all tasks that Label Studio exported as JSON, or that samkit wrote for it.

    Of a task, the regions of the newest annotation that was not cancelled are read, or else those
    of the newest prediction: what brushes painted, polygons and rectangles. A task without any
    is left out, as it does not say the size of its image.

    Raises:
        InputError: missing, damaged, or not such a file.
    """
    path = checked_path(path, "a file of Label Studio")
    data = read_json(path)
    try:
        tasks = labelstudio.checked_tasks(data)
        for i, task in enumerate(tasks):
            found = labelstudio.read_task(task, f"task {i}")
            if found is not None:
                masks, fields, category = found
                yield AnnotatedMasks(
                    labelstudio.image_of(task), Masks._with(masks, fields), category
                )
    except InputError as error:
        raise InputError(f"cannot load {path}: {error}") from error


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


class _TaskWriter:
    """A list of tasks; images are called as they were given."""

    def __init__(self, path: str | os.PathLike[str], categories: Sequence[str]) -> None:
        self._file = StreamedFile(path, _JsonList)
        self._categories = tuple(categories)

    def write(self, image: str | os.PathLike[str], masks: Masks, category: Sequence[str]) -> None:
        known = Categories.checked(list(category), len(masks), self._categories)
        name = image if isinstance(image, str) else Path(image).as_posix()
        task = labelstudio.as_task(masks._storage, masks._fields, name, known)
        with self._file.writing() as tasks:
            tasks.add(task)

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        self._file.discard()


class _JsonList:
    """A list in a file, one value after the other."""

    def __init__(self, path: Path) -> None:
        self._text = path.open("w", encoding="utf-8")
        self._before = "[\n"

    def add(self, value: object) -> None:
        self._text.write(self._before + json.dumps(value))
        self._before = ",\n"

    def close(self) -> None:
        with self._text:
            self._text.write("\n]\n")


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
