"""Rows to a file, as they come."""

import csv
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from samkit.media.writing import StreamedFile

__all__ = ["RowFile"]


class RowFile:
    """A table (.csv) whose columns are those of the first row, or lines of JSON (.jsonl).

    The file is in place after `close`, whole; without any call of `add` there is none.

    Args:
        path: a file with one of these suffixes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = StreamedFile(path, _open_text)
        self._is_table = Path(path).suffix.lower() == ".csv"
        self._table: csv.DictWriter[str] | None = None

    def add(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add rows, perhaps none.

        Raises:
            InputError: the place cannot be written.
        """
        with self._file.writing() as text:
            for row in rows:
                self._write(text, row)

    def _write(self, text: IO[str], row: Mapping[str, object]) -> None:
        if not self._is_table:
            text.write(json.dumps(row) + "\n")
            return
        if self._table is None:
            self._table = csv.DictWriter(text, list(row), lineterminator="\n")
            self._table.writeheader()
        self._table.writerow(row)

    def close(self) -> None:
        """Put the file in place.

        Raises:
            InputError: the place cannot be written.
        """
        self._file.close()

    def discard(self) -> None:
        """Remove what is not in place yet."""
        self._file.discard()


def _open_text(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")
