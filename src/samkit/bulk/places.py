"""Files and folders, on this machine or in an object store."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from samkit.errors import ImageError, InputError, MissingDependencyError, SamkitError
from samkit.files import checked_path, open_file
from samkit.media import write_atomically

__all__ = ["RESULT_KEY", "Place", "arrow", "as_text"]

RESULT_KEY = b"samkit"
"""Under which a Parquet file of a run says what it is."""

# Where an address is the name of a bucket and of an object in it, whatever the machine.
_BUCKETS = ("s3", "gs", "gcs")


@cache
def arrow(module: str) -> Any:
    """A module of pyarrow.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module(f"pyarrow.{module}")
    except ImportError as error:
        raise MissingDependencyError(
            "bulk runs need the package pyarrow: pip install 'samkit[bulk]'"
        ) from error


def as_text(name: str) -> str:
    """A name as a table can hold it: of bytes that are no UTF-8 it has ``\\udcff`` and such."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder.

    Attributes:
        filesystem: a `pyarrow.fs.FileSystem`; None: of this machine.
        path: there; on this machine an absolute one.
    """

    filesystem: Any
    path: str

    @classmethod
    def of(cls, given: str | os.PathLike[str] | Place, what: str) -> Place:
        """The place that a path or an address of `pyarrow.fs` (``s3://bucket/name``) names.

        Args:
            given: by a caller.
            what: what it is the path of, for messages.

        Raises:
            InputError: it is no path, or pyarrow does not know such an address.
        """
        if isinstance(given, Place):
            return given
        checked_path(given, what)
        text = os.fspath(given)
        if "://" not in text:
            return cls(None, os.path.abspath(text))
        try:
            filesystem, path = _resolved(text)
        except (OSError, ValueError) as error:  # pyarrow's are of these
            raise InputError(
                f"expected the path or address of {what}, got {text}: {error}"
            ) from error
        if filesystem.type_name == "local":
            return cls(None, os.path.abspath(path))
        return cls(filesystem, path)

    def __str__(self) -> str:
        if self.filesystem is None:
            return as_text(self.path)
        return f"{self.filesystem.type_name}://{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return Path(self.path).name

    @property
    def suffix(self) -> str:
        """Of the name, in lower case."""
        return Path(self.path).suffix.lower()

    def __truediv__(self, name: str) -> Place:
        if self.filesystem is None:
            return Place(None, str(Path(self.path) / name))
        return Place(self.filesystem, str(PurePosixPath(self.path) / name))

    @property
    def parent(self) -> Place:
        """The folder that it is in."""
        pure = Path(self.path) if self.filesystem is None else PurePosixPath(self.path)
        return Place(self.filesystem, str(pure.parent))

    def named(self, text: str, what: str) -> Place:
        """The place that a text in this file names: relative to its folder, or an address.

        Raises:
            InputError: as `of`.
        """
        if "://" not in text:
            return self.parent / text
        bucket = f"{str(self).partition('://')[0]}://{self.path.partition('/')[0]}/"
        if self.filesystem is not None and text.startswith(bucket):
            return Place(self.filesystem, text.partition("://")[2])  # the same server
        return Place.of(text, what)

    def is_file(self) -> bool:
        """Whether there is such a file."""
        return self._kind() == "File"

    def is_folder(self) -> bool:
        """Whether there is such a folder, or something whose name begins so."""
        return self._kind() == "Directory"

    def open(self, error: type[SamkitError] = ImageError) -> IO[bytes]:
        """Open a file to read; it can seek.

        Args:
            error: raised where it is missing or cannot be read.
        """
        if self.filesystem is None:
            return open_file(Path(self.path), error)
        try:
            return cast("IO[bytes]", self.filesystem.open_input_file(self.path))
        except OSError as reason:
            raise error(f"cannot read {self}: {reason}") from reason

    def write(self, data: bytes) -> None:
        """Write a whole file: at once, by a rename or a single put.

        Raises:
            InputError: the place cannot be written.
        """
        if self.filesystem is None:
            with write_atomically(self.path) as temporary:
                temporary.write_bytes(data)
            return
        try:
            with self.filesystem.open_output_stream(self.path) as stream:
                stream.write(data)
        except OSError as error:
            raise InputError(f"cannot write {self}: {error}") from error

    def make_folder(self) -> None:
        """Make a folder, where a file system has folders.

        Raises:
            InputError: it cannot be made.
        """
        if self.is_file():
            raise InputError(f"cannot write {self}: expected a folder, got a file")
        try:
            if self.filesystem is None:
                os.makedirs(self.path, exist_ok=True)
            else:
                self.filesystem.create_dir(self.path, recursive=True)
        except OSError as error:
            raise InputError(f"cannot write {self}: {error.strerror or error}") from error

    def names(self) -> set[str]:
        """The files of a folder, without those of folders inside it; none, if it is not there.

        Raises:
            InputError: it cannot be read.
        """
        try:
            if self.filesystem is None:
                found = os.scandir(self.path) if os.path.isdir(self.path) else ()
                return {one.name for one in found if one.is_file()}
            infos = self._infos(recursive=False)
        except OSError as error:
            raise self._unreadable(error) from error
        return {info.base_name for info in infos if info.type.name == "File"}

    def walk(self) -> list[str]:
        """All files of a folder and of those inside it, relative to it with ``/``, sorted.

        What is hidden (its name, or that of a folder, begins with a dot) is left out.

        Raises:
            InputError: one of the folders cannot be read.
        """
        try:
            found = self._walk_here() if self.filesystem is None else self._walk_there()
        except OSError as error:
            raise self._unreadable(error) from error
        return sorted(name for name in found if not any(p[:1] == "." for p in name.split("/")))

    def _walk_here(self) -> list[str]:
        def fail(error: OSError) -> None:
            raise error

        found = []
        for folder, folders, files in os.walk(self.path, onerror=fail):
            folders[:] = [name for name in folders if not name.startswith(".")]
            base = os.path.relpath(folder, self.path).replace(os.sep, "/")
            found += files if base == "." else [f"{base}/{name}" for name in files]
        return found

    def _walk_there(self) -> list[str]:
        skip = len(f"{self.path.rstrip('/')}/") if self.path else 0
        return [
            info.path[skip:] for info in self._infos(recursive=True) if info.type.name == "File"
        ]

    def _infos(self, *, recursive: bool) -> list[Any]:
        selector = arrow("fs").FileSelector(self.path, allow_not_found=True, recursive=recursive)
        return cast("list[Any]", self.filesystem.get_file_info(selector))

    def _kind(self) -> str:
        if self.filesystem is None:
            if os.path.isdir(self.path):
                return "Directory"
            return "File" if os.path.isfile(self.path) else "NotFound"
        try:
            return str(self.filesystem.get_file_info(self.path).type.name)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> InputError:
        where = error.filename or self
        return InputError(f"cannot read {where}: {error.strerror or error}")


@cache
def _known(start: str) -> Any:
    """The file system of a bucket; to ask for one anew takes a connection each time."""
    return arrow("fs").FileSystem.from_uri(start)[0]


def _resolved(text: str) -> tuple[Any, str]:
    """The file system of an address, and the path there.

    Names of objects in buckets are taken as they are: they may hold spaces, and % and # mean
    nothing.
    """
    scheme, _, rest = text.partition("://")
    if scheme not in _BUCKETS:
        filesystem, path = arrow("fs").FileSystem.from_uri(text)
        return filesystem, path
    path, mark, query = rest.partition("?")
    bucket = path.partition("/")[0]
    user = bucket.rpartition("@")[0]
    name = path.removeprefix(f"{user}@") if user else path
    return _known(f"{scheme}://{bucket}{mark}{query}"), name.rstrip("/")
