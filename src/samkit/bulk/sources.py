"""Where the images of a bulk run come from."""

from __future__ import annotations

import glob
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samkit.bulk.tables import parquet
from samkit.errors import ImageError, InputError
from samkit.files import checked_path, open_file
from samkit.media import IMAGE_SUFFIXES, list_images

__all__ = ["Item", "list_items"]

_PATHS = ("path", "image_path", "file_name")
_IMAGES = ("image", "jpg", "png", "bytes")


@dataclass(frozen=True)
class Item:
    """An image of the source.

    Attributes:
        image_id: what the source calls it, whatever folder the source lies in.
        path: its file, or the file that holds it.
        part: where in that file: (offset, size) of a tar, (row group, row, column) of Parquet.
    """

    image_id: str
    path: str
    part: tuple[Any, ...] = ()

    def read(self) -> bytes | Path:
        """What `samkit.read_image` takes.

        Raises:
            ImageError: it cannot be read.
        """
        path = Path(self.path)
        if len(self.part) == 2:
            offset, size = self.part
            with open_file(path, ImageError) as file:
                file.seek(offset)
                return file.read(size)
        if len(self.part) == 3:
            group, row, column = self.part
            with parquet().ParquetFile(path) as table:
                value = table.read_row_group(group, columns=[column])[column][row].as_py()
            value = value.get("bytes") if isinstance(value, dict) else value
            if not isinstance(value, bytes):
                raise ImageError(f"{self.image_id}: expected the bytes of an image, got none")
            return value
        return path


def list_items(source: str | os.PathLike[str]) -> list[Item]:
    """All images of a folder, pattern, Parquet file or tar (WebDataset), always in one order.

    A pattern may also name several Parquet files or several tars. Of Parquet the column ``path``,
    ``image_path`` or ``file_name`` holds paths, relative to the file, or ``image``, ``jpg``,
    ``png`` or ``bytes`` whole image files, alone or as ``bytes`` of a struct; ``image_id`` names
    them, if it is there.

    Raises:
        InputError: nothing is there, or a file is damaged or without such a column.
    """
    text = str(checked_path(source, "images"))
    files = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else [text]
    suffixes = {Path(file).suffix.lower() for file in files}
    if suffixes == {".parquet"}:
        return _unique([item for file in files for item in _of_parquet(Path(file))])
    if suffixes == {".tar"}:
        return _unique([item for file in files for item in _of_tar(Path(file))])
    images = list_images([text])
    base = os.path.commonpath([image.parent for image in images])
    return [Item(image.relative_to(base).as_posix(), str(image)) for image in images]


def _of_tar(path: Path) -> Iterator[Item]:
    try:
        with open_file(path) as file, tarfile.open(fileobj=file) as tar:
            for member in tar:
                if member.isfile() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    part = (member.offset_data, member.size)
                    yield Item(f"{path.name}/{member.name}", str(path), part)
    except tarfile.TarError as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _of_parquet(path: Path) -> Iterator[Item]:
    import pyarrow

    open_file(path).close()
    try:
        with parquet().ParquetFile(path) as table:
            names = set(table.schema_arrow.names)
            column = next((name for name in (*_PATHS, *_IMAGES) if name in names), None)
            if column is None:
                raise InputError(
                    f"{path}: expected a column {', '.join((*_PATHS, *_IMAGES))}, "
                    f"got {', '.join(sorted(names))}"
                )
            wanted = {"image_id"} & names | {column} & set(_PATHS)
            for group in range(table.num_row_groups):
                rows = table.read_row_group(group, columns=sorted(wanted)).to_pylist()
                count = table.metadata.row_group(group).num_rows
                for row in range(count):
                    known = rows[row] if wanted else {}
                    if column in _PATHS:
                        file = path.parent / str(known[column])
                        part: tuple[Any, ...] = ()
                    else:
                        file, part = path, (group, row, column)
                    name = known.get("image_id", known.get(column, f"{path.name}/{group}/{row}"))
                    yield Item(str(name), str(file), part)
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _unique(items: list[Item]) -> list[Item]:
    if not items:
        raise InputError("expected at least one image in the source, got none")
    seen: set[str] = set()
    for item in items:
        if item.image_id in seen:
            raise InputError(f"expected images of different names, got {item.image_id} twice")
        seen.add(item.image_id)
    return items
