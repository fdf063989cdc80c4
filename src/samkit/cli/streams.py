"""`-` as the name of a file: standard input and standard output."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from samkit.cli.usage import usage_error
from samkit.errors import InputError

__all__ = ["StandardStreams", "name_of", "standard_streams"]

_PREFIX = "samkit-standard-"


class StandardStreams:
    """Files that stand for standard input and output.

    Temporary files, because pages, videos and weights are not read in the order of their bytes,
    and because results are written whole or not at all.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._is_read = False
        self.result: Path | None = None

    def input(self, name: str, option: str) -> str:
        """The name of a file to read: for `-`, of one with what standard input gives."""
        if name != "-":
            return name
        if self._is_read:
            raise usage_error("standard input can be read only once", option)
        if sys.stdin is None or sys.stdin.isatty():
            raise usage_error("expected data on standard input, which is a terminal", option)
        self._is_read = True
        path = self._folder() / "input"
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        except OSError as error:
            raise InputError(f"cannot read standard input: {error.strerror or error}") from error
        return str(path)

    def output(self, name: str, suffix: str) -> str:
        """The name of a file to write: for `-`, of one that then goes to standard output."""
        if name != "-":
            return name
        if self.result is not None:
            raise usage_error("standard output is named twice", "-o")
        self.result = self._folder() / f"output{suffix}"
        return str(self.result)

    def _folder(self) -> Path:
        try:
            return Path(self._stack.enter_context(TemporaryDirectory(prefix=_PREFIX)))
        except OSError as error:
            raise InputError(f"no temporary folder: {error.strerror or error}") from error


@contextmanager
def standard_streams(*outputs: object) -> Iterator[StandardStreams]:
    """Let `-` be the name of a file.

    Args:
        outputs: names of what the command writes. If `-` is among them, what is printed goes to
            standard error, and the result to standard output at the end, if there is one.
    """
    with ExitStack() as stack:
        streams = StandardStreams(stack)
        if "-" not in map(str, outputs):
            yield streams
            return
        try:
            with redirect_stdout(sys.stderr):
                yield streams
        finally:
            if streams.result is not None and streams.result.exists():
                with streams.result.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.flush()


def name_of(path: Path) -> str:
    """What messages call a file: standard input and output by these words."""
    is_standard = path.parent.name.startswith(_PREFIX)
    return f"standard {path.stem}" if is_standard else str(path)
