"""classes.txt beside YOLO's labels: the names of their numbers, one a line from 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from samkit.cli.parsing import names_file
from samkit.cli.usage import usage_error
from samkit.errors import InputError
from samkit.files import open_file

__all__ = ["YoloClasses"]

_NAME = "classes.txt"


class YoloClasses:
    """The file of the classes of a run.

    Names that are there stay what they are, so that labels of earlier runs do, and new ones follow.

    Attributes:
        names: all of them, in the order of their numbers; where no labels are written, those given.

    Args:
        targets: of each image, the files that are written and their formats.
        output: the folder or file of the run; None: the current folder.
        names: of this run.

    Raises:
        typer.BadParameter: labels would take its place, or a name is not of one line.
        InputError: a file that is there cannot be read.
    """

    def __init__(
        self, targets: Iterable[Mapping[Path, str]], output: Path | None, names: Sequence[str]
    ) -> None:
        labels = [path for files in targets for path, kind in files.items() if kind == "yolo"]
        self.names, self._is_complete = list(names), not labels
        folder = output or Path()
        self._file = (folder.parent if names_file(folder) else folder) / _NAME
        if not labels:
            return
        for path in labels:
            if path.name == _NAME:
                raise usage_error(f"{path} names the classes: call the labels otherwise", "-o")
        for name in names:
            if not name.isprintable():
                raise usage_error(f"YOLO: expected categories of one line, got {name!r}")
        there = _lines(self._file) if self._file.is_file() else []
        self._is_complete = set(names) <= set(there)
        self.names = [*there, *(name for name in names if name not in there)]

    def write(self) -> None:
        """Put it in place, where it is wanted and not there yet.

        Raises:
            InputError: it cannot be written.
        """
        from samkit.media import write_atomically

        if self._is_complete:
            return
        with write_atomically(self._file) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in self.names), encoding="utf-8")
        self._is_complete = True


def _lines(path: Path) -> list[str]:
    try:
        with open_file(path) as file:
            return file.read().decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
