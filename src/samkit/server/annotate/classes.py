"""Names of classes."""

from collections.abc import Iterable
from pathlib import Path

from samkit.errors import InputError, shown
from samkit.files import open_file
from samkit.media import write_atomically

__all__ = ["ClassNames", "read_lines", "write_lines"]


class ClassNames(list[str]):
    """Names in the order of their numbers, in a file that keeps them.

    Args:
        file: a line for each; it need not exist.
        given: names of this time; they come first.

    Raises:
        InputError: a name is not one line of text, or the file cannot be read.
    """

    def __init__(self, file: Path, given: Iterable[str]) -> None:
        given = list(given)
        if not all(isinstance(name, str) and name.isprintable() for name in given):
            raise InputError(f"classes: expected names of one line, got {shown(given)}")
        super().__init__(dict.fromkeys([*given, *read_lines(file)]))
        self._file = file

    def add(self, name: str) -> None:
        """Add a name, and write all of them, so that their numbers stay.

        Raises:
            InputError: the file cannot be written.
        """
        if name in self:
            return
        write_lines(self._file, [*self, name])
        self.append(name)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of text to a file, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    with write_atomically(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_lines(path: Path) -> list[str]:
    """The lines of a file; none if it is not there."""
    if not path.is_file():
        return []
    with open_file(path) as file:
        text = file.read().decode("utf-8", "replace").replace("\r\n", "\n")
    return [line for line in text.split("\n") if line]
