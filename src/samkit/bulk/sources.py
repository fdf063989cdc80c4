"""Where the images and videos of a bulk run come from."""

from __future__ import annotations

import glob
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from samkit.bulk.places import RESULT_KEY, Place, arrow
from samkit.errors import ImageError, InputError

__all__ = ["VIDEO_SUFFIXES", "Item", "list_items"]

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
"""Suffixes (lower case) that count as videos when a folder is listed."""

_PATHS = ("path", "image_path", "file_name")
_IMAGES = ("image", "jpg", "png", "bytes")


_READERS = 16  # of files at once: in an object store each request takes a while


@dataclass(frozen=True, slots=True)
class Item:
    """An image or a video of the source.

    Attributes:
        image_id: what the source calls it, wherever the source lies.
        place: its file, or the file that holds it.
        part: where in that file: (offset, size) of a tar, (row group, row, column) of Parquet.
        prompts: entries of a table of prompts about it.
    """

    image_id: str
    place: Place
    part: tuple[Any, ...] = ()
    prompts: tuple[dict[str, Any], ...] = ()

    def read(self) -> bytes | Path:
        """What `samkit.read_image` takes.

        Raises:
            ImageError: it cannot be read.
        """
        if len(self.part) == 3:
            return self._cell()
        if not self.part and self.place.filesystem is None:
            return Path(self.place.path)
        with self.place.open() as file:
            if not self.part:
                return file.read()
            offset, size = self.part
            file.seek(offset)
            return file.read(size)

    @contextmanager
    def local_file(self) -> Iterator[Path]:
        """Its file on this machine: its own, or a copy until the block ends.

        Raises:
            ImageError: it cannot be read, or the copy cannot be written.
        """
        found = self.read() if self.part else None
        if found is None and self.place.filesystem is None:
            yield Path(self.place.path)
            return
        with tempfile.TemporaryDirectory(prefix="samkit-") as folder:
            copy = Path(folder) / Path(self.image_id).name
            try:
                if isinstance(found, bytes):
                    copy.write_bytes(found)
                else:
                    with self.place.open() as file, copy.open("wb") as target:
                        shutil.copyfileobj(file, target)
            except OSError as error:
                raise ImageError(f"cannot copy {self.place}: {error.strerror or error}") from error
            yield copy

    def _cell(self) -> bytes:
        group, row, column = self.part
        value = _kept_column(self.place, group, column)[row].as_py()
        value = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(value, bytes):
            raise ImageError(f"{self.image_id}: expected the bytes of an image, got none")
        return value


# The column of images that was read last: those of a shard are mostly of one row group.
_last: tuple[tuple[str, int, str], Any] | None = None


def _kept_column(place: Place, group: int, column: str) -> Any:
    """A column of a row group of a Parquet file; all of it is read for one value anyway."""
    global _last
    key = str(place), group, column
    if _last is None or _last[0] != key:
        _last = None  # not two at once
        with place.open() as file, arrow("parquet").ParquetFile(file) as table:
            _last = key, table.read_row_group(group, columns=[column])[column]
    return _last[1]


def list_items(source: str | os.PathLike[str] | Place, suffixes: Iterable[str]) -> list[Item]:
    """All images or videos of a source, always in one order.

    A source is a folder or a prefix of an object store with all that is in it, a pattern of this
    machine (``photos/**/*.jpg``), a Parquet file, a tar (WebDataset), or one image or video. A
    folder or pattern may also name several Parquet files or several tars. Of Parquet the column
    ``path``, ``image_path`` or ``file_name`` holds paths, relative to the file, or addresses;
    ``image``, ``jpg``, ``png`` or ``bytes`` whole image files, alone or as ``bytes`` of a struct.
    ``image_id`` names them, if it is there.

    Args:
        source: as described.
        suffixes: of what is looked for, as `IMAGE_SUFFIXES` or `VIDEO_SUFFIXES`.

    Raises:
        InputError: nothing is there, a folder cannot be read, or a file is damaged or without
            such a column.
    """
    kinds = frozenset(suffixes)
    named = _files(source, kinds | {".tar", ".parquet"})
    for wanted in (kinds, {".tar"}, {".parquet"}):
        files = [(name, place) for name, place in named if place.suffix in wanted]
        if files:
            break
    else:  # a single file may have any suffix
        files = named
    if not files:
        raise InputError(f"no image, video, tar or Parquet file in {source}")
    if files[0][1].suffix == ".tar":
        items = _of_each(partial(_of_tar, suffixes=kinds), files)
    elif files[0][1].suffix == ".parquet":
        items = _of_each(_of_parquet, files)
    else:
        items = [Item(name, place) for name, place in files]
    return _unique(items, source)


def _files(
    source: str | os.PathLike[str] | Place, suffixes: frozenset[str]
) -> list[tuple[str, Place]]:
    """Files with their names below the folder that holds all."""
    place = Place.of(source, "images")
    if place.filesystem is None and glob.has_magic(place.path) and not os.path.exists(place.path):
        found = sorted(glob.glob(place.path, recursive=True))
        files = [
            one for one in found if Path(one).suffix.lower() in suffixes and os.path.isfile(one)
        ]
        base = os.path.commonpath([os.path.dirname(one) for one in files]) if files else ""
        names = [os.path.relpath(one, base).replace(os.sep, "/") for one in files]
        return list(zip(names, (Place(None, one) for one in files), strict=True))
    if place.is_file():
        return [(place.name, place)]
    if not place.is_folder():
        raise InputError(f"no such file or folder: {place}")
    return [(name, place / name) for name in place.walk() if Path(name).suffix.lower() in suffixes]


def _of_each(
    list_: Callable[[Place], Iterator[Item]], files: Iterable[tuple[str, Place]]
) -> list[Item]:
    """The images of several files, in their order; several are read at once."""
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda place: list(list_(place)), (place for _, place in files))
        return [item for items in found for item in items]


def _of_tar(place: Place, suffixes: frozenset[str]) -> Iterator[Item]:
    try:
        with place.open(InputError) as file, tarfile.open(fileobj=file) as tar:
            for member in tar:
                if member.isfile() and Path(member.name).suffix.lower() in suffixes:
                    part = (member.offset_data, member.size)
                    yield Item(f"{place.name}/{member.name}", place, part)
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"cannot read {place}: {error}") from error


def _of_parquet(place: Place) -> Iterator[Item]:
    import pyarrow

    try:
        with closing(place.open(InputError)) as file, arrow("parquet").ParquetFile(file) as table:
            if RESULT_KEY in (table.metadata.metadata or {}):
                raise InputError(f"{place} is a result of a bulk run, and no source of one")
            names = set(table.schema_arrow.names)
            column = next((name for name in (*_PATHS, *_IMAGES) if name in names), None)
            if column is None:
                raise InputError(
                    f"{place}: expected a column {', '.join((*_PATHS, *_IMAGES))}, "
                    f"got {', '.join(sorted(names))}"
                )
            wanted = {"image_id"} & names | {column} & set(_PATHS)
            for group in range(table.num_row_groups):
                rows = table.read_row_group(group, columns=sorted(wanted)).to_pylist()
                for row in range(table.metadata.row_group(group).num_rows):
                    known = rows[row] if wanted else {}
                    if column not in _PATHS:
                        name = known.get("image_id", f"{place.name}/{group}/{row}")
                        yield Item(str(name), place, (group, row, column))
                        continue
                    if known[column] is None:
                        raise InputError(f"{place}: row {row} of row group {group} has no {column}")
                    text = str(known[column])
                    name = str(known.get("image_id", text))
                    yield Item(name, place.named(text, "an image"))
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"cannot read {place}: {error}") from error


def _unique(items: list[Item], source: object) -> list[Item]:
    if not items:
        raise InputError(f"expected at least one image or video in {source}, got none")
    seen: set[str] = set()
    for item in items:
        if item.image_id in seen:
            raise InputError(f"expected images of different names, got {item.image_id} twice")
        seen.add(item.image_id)
    return items
