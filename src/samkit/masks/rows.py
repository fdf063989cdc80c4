"""Rows to a file, as they come."""

import csv
import json
import os
from collections.abc import Iterable, Mapping
from typing import IO

from samkit.errors import InputError
from samkit.files import checked_path
from samkit.media.writing import PendingFile

__all__ = ["RowFile"]


class RowFile:
    """A table (.csv) whose columns are those of the first row, or lines of JSON (.jsonl).

    The file is in place after `close`, whole; without any call of `add` there is none.

    Args:
        path: a file with one of these suffixes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = checked_path(path, "a file of masks")
        self._is_table = self._path.suffix.lower() == ".csv"
        self._file: PendingFile | None = None
        self._text: IO[str]
        self._table: csv.DictWriter[str] | None = None

    def add(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add rows, perhaps none.

        Raises:
            InputError: the place cannot be written.
        """
        try:
            if self._file is None:
                self._file = PendingFile(self._path)
                self._text = self._file.temporary.open("w", encoding="utf-8", newline="\n")
            for row in rows:
                self._write(row)
        except OSError as error:
            raise self._cannot(error) from error

    def _write(self, row: Mapping[str, object]) -> None:
        if not self._is_table:
            self._text.write(json.dumps(row) + "\n")
            return
        if self._table is None:
            self._table = csv.DictWriter(self._text, list(row), lineterminator="\n")
            self._table.writeheader()
        self._table.writerow(row)

    def close(self) -> None:
        """Put the file in place.

        Raises:
            InputError: the place cannot be written.
        """
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
        """Remove what is not in place yet."""
        if self._file is None:
            return
        file, self._file = self._file, None
        self._text.close()
        file.discard()

    def _cannot(self, error: OSError) -> InputError:
        return InputError(f"cannot write {self._path}: {error.strerror or error}")
