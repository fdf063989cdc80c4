"""Writing files whole or not at all: at once, bit by bit, and whether it would work."""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from samkit.errors import InputError

__all__ = ["PendingFile", "check_writable", "write_atomically"]


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and put it at ``path`` once all went well.

    The temporary file lies in the folder of ``path`` (created when missing) and has its suffix, so
    that writers that look at the suffix choose the same format. It replaces ``path`` in one step
    when the block ends without an error; otherwise it is removed and ``path`` stays as it was. A
    symbolic link is followed: the file that it points to is replaced.

    Raises:
        InputError: ``path`` is a folder or another thing that is not a plain file, its folder
            cannot be created or written to, or the block raised an OSError (no space left).
    """
    if "\0" in os.fspath(path) or "://" in os.fspath(path):
        raise InputError(f"cannot write {os.fspath(path)!r}: expected the path of a file")
    # Not resolved by Path.resolve, which would raise RuntimeError for a loop of links.
    target = Path(os.path.realpath(path))
    try:
        there = target.exists()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    if target.is_dir():
        raise InputError(f"cannot write {path}: expected a file, but it is a folder")
    if there and not target.is_file():
        raise InputError(f"cannot write {path}: it is there and is not a plain file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: cannot create its folder ({error.strerror})"
        ) from None
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: no permission to write in {target.parent}")
    temporary = target.with_name(f".{uuid.uuid4().hex}{target.suffix}")
    try:
        # Some writers let only the owner read their files; the user's settings decide here.
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()
        yield temporary
        if not temporary.exists():
            raise InputError(f"cannot write {path}: nothing was written")
        temporary.chmod(mode)
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


class PendingFile:
    """`write_atomically` for writers that live longer than a block.

    Attributes:
        temporary: where to write.

    Raises:
        InputError: as `write_atomically`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._place = ExitStack()
        self.temporary = self._place.enter_context(write_atomically(path))

    def keep(self) -> None:
        """Put the file in place, or raise InputError."""
        self._place.close()

    def discard(self) -> None:
        """Remove what was written; a file that was there before stays."""
        self._place.__exit__(_Discarded, _Discarded(), None)


class _Discarded(Exception):
    """Ends the block of `write_atomically` without a file."""


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the InputError of `write_atomically` for this path, if any; change nothing."""
    text = os.path.abspath(os.fspath(path))
    missing = [folder for folder in Path(text).parents if not os.path.exists(folder)]
    try:
        PendingFile(path).discard()
    finally:
        for folder in missing:  # the innermost first
            with suppress(OSError, ValueError):
                folder.rmdir()
