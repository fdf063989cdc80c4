"""Writing files whole or not at all: at once, bit by bit, and whether it would work."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from samkit.errors import InputError
from samkit.files import checked_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "PendingFile",
    "StreamedFile",
    "check_writable",
    "temporary_folder",
    "write_atomically",
]

_PREFIX = ".samkit-"
_tidied: set[Path] = set()


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and put it at ``path`` once all went well.

    The temporary file lies in a hidden folder beside ``path``, and has its suffix, so that writers
    that look at the suffix choose the same format. It replaces ``path`` in one step when the block
    ends without an error; otherwise it is removed and ``path`` stays as it was. Folders of ``path``
    that are missing are created. A symbolic link is followed: the file that it points to is
    replaced.

    A process that is killed leaves its hidden folder; the next process that writes beside it
    removes it, as nobody holds its lock (not on Windows, which has no such locks).

    Raises:
        InputError: ``path`` is a folder or another thing that is not a plain file, its folder
            cannot be created or written to, or the block raised an OSError (no space left).
    """
    checked_path(path, "a file to write")
    if "://" in os.fspath(path):
        raise InputError(f"cannot write {os.fspath(path)!r}: expected the path of a file")
    # Not resolved by Path.resolve, which would raise RuntimeError for a loop of links.
    target = Path(os.path.realpath(path))
    try:
        there = target.exists()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    if target.is_symlink():
        raise InputError(f"cannot write {path}: it is a link that leads to itself")
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
    try:
        # A folder, as some libraries write a temporary file of their own beside the one asked for.
        with temporary_folder(target.parent) as folder:
            temporary = folder / f"file{target.suffix}"
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


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder in another one, locked and there until the block ends.

    Others cannot look into it. What killed processes have left there is removed first.
    """
    _remove_leftovers(parent)
    while True:
        folder = parent / f"{_PREFIX}{uuid.uuid4().hex}"
        folder.mkdir(0o700)
        lock = _lock(folder)
        try:
            if folder.exists():  # not taken for a leftover before it was locked
                yield folder
                return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if lock is not None:
                os.close(lock)


def _remove_leftovers(parent: Path) -> None:
    """Remove temporary folders of dead processes, once for each parent and process."""
    if parent in _tidied:
        return
    _tidied.add(parent)
    for folder in parent.glob(f"{_PREFIX}{'[0-9a-f]' * 32}"):
        lock = _lock(folder, wait=False)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path, *, wait: bool = True) -> int | None:
    """A descriptor that holds the lock of a folder until it is closed or the process ends.

    None if another process holds it and this one does not wait, or where there are no such locks.
    """
    if fcntl is None:
        return None
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


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


class Closable(Protocol):
    """What `StreamedFile` writes through."""

    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class StreamedFile(Generic[T]):
    """A file that is written bit by bit: in place after `close`, whole, or not at all.

    Without any use of `writing` there is none, nor after one of them has failed.

    Args:
        path: of the file.
        open_: temporary path -> what writes to it; called at the first `writing`.

    Attributes:
        is_broken: whether a `writing` has failed.
    """

    def __init__(self, path: str | os.PathLike[str], open_: Callable[[Path], T]) -> None:
        self._path, self._open = checked_path(path, "a file to write"), open_
        self._file: PendingFile | None = None
        self._writer: T | None = None
        self.is_broken = False

    @contextmanager
    def writing(self) -> Iterator[T]:
        """Give what writes to the file.

        Raises:
            InputError: the place cannot be written, or the block raised an OSError.
        """
        try:
            if self._writer is None:
                self._file = self._file or PendingFile(self._path)
                self._writer = self._open(self._file.temporary)
            yield self._writer
        except OSError as error:
            self.is_broken = True
            raise self._cannot(error) from error

    def close(self) -> None:
        """Finish the file and put it in place.

        Raises:
            InputError: it cannot be finished.
        """
        if self._file is None or self.is_broken:
            self.discard()
            return
        assert self._writer is not None
        try:
            self._writer.close()
        except OSError as error:
            self.discard()
            raise self._cannot(error) from error
        file, self._file, self._writer = self._file, None, None
        file.keep()

    def discard(self) -> None:
        """Remove what was written; a file that was there before stays."""
        if self._file is None:
            return
        file, writer = self._file, self._writer
        self._file = self._writer = None
        with suppress(OSError):  # closing writes what is left, and may have no room
            if writer is not None:
                writer.close()
        file.discard()

    def _cannot(self, error: OSError) -> InputError:
        return InputError(f"cannot write {self._path}: {error.strerror or error}")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the InputError of `write_atomically` for this path, if any; change nothing."""
    text = os.path.abspath(checked_path(path, "a file to write"))
    missing = [folder for folder in Path(text).parents if not os.path.exists(folder)]
    try:
        PendingFile(path).discard()
    finally:
        for folder in missing:  # the innermost first
            with suppress(OSError, ValueError):
                folder.rmdir()
