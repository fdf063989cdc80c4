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
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from samkit.bulk.places import RESULT_KEY, Place, arrow, as_text
from samkit.errors import ImageError, InputError

__all__ = ["VIDEO_SUFFIXES", "Item", "list_items"]

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
"""Suffixes (lower case) that count as videos when a folder is listed."""

_PATHS = ("path", "image_path", "file_name")
_IMAGES = ("image", "jpg", "png", "bytes")
_TEXTS = ("string", "large_string", "string_view")
_BYTES = ("binary", "large_binary", "binary_view", "fixed_size_binary")
_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")


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
        expected = ", ".join(sorted(kinds | {".tar", ".parquet"}))
        raise InputError(f"expected files {expected} in {source}, got none")
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
        found = _without_loops(glob.glob(place.path, recursive=True))
        files = [
            one for one in found if Path(one).suffix.lower() in suffixes and os.path.isfile(one)
        ]
        base = os.path.commonpath([os.path.dirname(one) for one in files]) if files else ""
        names = [os.path.relpath(one, base).replace(os.sep, "/") for one in files]
        return list(zip(names, (Place(None, one) for one in files), strict=True))
    if place.is_file():
        if place.suffix in _COMPRESSED:
            raise InputError(f"{place}: expected images or a tar that is not compressed")
        return [(place.name, place)]
    if not place.is_folder():
        raise InputError(f"no such file or folder: {place}")
    return [(name, place / name) for name in place.walk() if Path(name).suffix.lower() in suffixes]


def _without_loops(paths: Iterable[str]) -> list[str]:
    """Paths, sorted; of those that links to folders give one file, that of the fewest folders."""
    real = cache(os.path.realpath)
    found: dict[tuple[str, str], str] = {}
    for path in sorted(paths, key=lambda path: (path.count(os.sep), path)):
        folder, name = os.path.split(path)
        found.setdefault((real(folder), name), path)
    return sorted(found.values())


def _of_each(
    list_: Callable[[str, Place], Iterator[Item]], files: Iterable[tuple[str, Place]]
) -> list[Item]:
    """The images of several files, in their order; several are read at once."""
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda file: list(list_(*file)), files)
        return [item for items in found for item in items]


def _of_tar(name: str, place: Place, suffixes: frozenset[str]) -> Iterator[Item]:
    try:
        # Of a compressed one no image could be read alone.
        with place.open(InputError) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isfile() and Path(member.name).suffix.lower() in suffixes:
                    part = (member.offset_data, member.size)
                    yield Item(f"{name}/{member.name}", place, part)
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # which tarfile takes for the end
                raise InputError(f"cannot read {place}: it is damaged at byte {tar.offset}")
    except tarfile.ReadError as error:
        raise InputError(
            f"cannot read {place}: expected a whole tar that is not compressed ({error})"
        ) from error
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"cannot read {place}: {error}") from error


def _of_parquet(name: str, place: Place) -> Iterator[Item]:
    import pyarrow

    try:
        with closing(place.open(InputError)) as file, arrow("parquet").ParquetFile(file) as table:
            if RESULT_KEY in (table.metadata.metadata or {}):
                raise InputError(f"{place} is a result of a bulk run, and no source of one")
            column, wanted = _columns(place, table.schema_arrow)
            for group in range(table.num_row_groups):
                rows = table.read_row_group(group, columns=wanted).to_pylist() if wanted else ()
                for row in range(table.metadata.row_group(group).num_rows):
                    known = rows[row] if wanted else {}
                    for one in wanted:
                        if known[one] in (None, ""):
                            raise InputError(
                                f"{place}: row {row} of row group {group} has no {one}"
                            )
                    if column in _PATHS:
                        text = known[column]
                        image_id = str(known.get("image_id", text))
                        yield Item(image_id, place.named(text, "an image"))
                    else:
                        image_id = str(known.get("image_id", f"{name}/{group}/{row}"))
                        yield Item(image_id, place, (group, row, column))
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"cannot read {place}: {error}") from error


def _columns(place: Place, schema: Any) -> tuple[str, list[str]]:
    """The column of images of a table, and the columns of their names and paths."""
    types = arrow("types")
    column = next((name for name in (*_PATHS, *_IMAGES) if name in schema.names), None)
    if column is None:
        raise InputError(
            f"{place}: expected a column {', '.join((*_PATHS, *_IMAGES))}, "
            f"got {', '.join(sorted(set(schema.names)))}"
        )
    wanted = [name for name in ("image_id", column) if name in schema.names and name not in _IMAGES]
    for name in {*wanted, column}:
        if schema.names.count(name) > 1:
            raise InputError(f"{place}: expected one column {name}, got several")
        kind = schema.field(name).type
        if types.is_struct(kind) and name in _IMAGES and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        if types.is_dictionary(kind):
            kind = kind.value_type
        is_text = any(getattr(types, f"is_{one}")(kind) for one in _TEXTS)
        is_bytes = any(getattr(types, f"is_{one}")(kind) for one in _BYTES)
        if name in _IMAGES and not is_bytes:
            expected = "image files (binary, or a struct with binary bytes)"
        elif name in _PATHS and not is_text:
            expected = "texts"
        elif name == "image_id" and not (is_text or types.is_integer(kind)):
            expected = "texts or whole numbers"
        else:
            continue
        raise InputError(f"{place}: column {name}: expected {expected}, got {kind}")
    return column, wanted


def _unique(items: list[Item], source: object) -> list[Item]:
    if not items:
        raise InputError(f"expected at least one image or video in {source}, got none")
    seen: set[str] = set()
    for number, item in enumerate(items):
        name = as_text(item.image_id)
        if name in seen:
            raise InputError(f"expected images of different names, got {name} twice")
        seen.add(name)
        if name != item.image_id:
            items[number] = replace(item, image_id=name)
    return items
