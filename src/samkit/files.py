"""Files and JSON texts that somebody else made."""

import json
import os
import re
import stat
from pathlib import Path
from typing import IO, Any

from samkit.errors import InputError, SamkitError, shown
from samkit.limits import limits

__all__ = ["checked_path", "inside", "is_file_name", "open_file", "parse_json", "read_json"]

# Without blocking, as opening a pipe would wait for somebody to write; Windows has only the last.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def checked_path(path: object, what: str, error: type[SamkitError] = InputError) -> Path:
    """A path given by a caller.

    Args:
        path: a text, or anything with `__fspath__`.
        what: what it is the path of, for messages.
        error: raised where it is of another type, empty, or cannot be the name of a file.
    """
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise error(
            f"expected the path of {what} as text, got {type(path).__name__}: {shown(path)}"
        )
    if not text:
        raise error(f"expected the path of {what}, got an empty text")
    if "\0" in text:
        raise error(f"expected the path of {what}, got one with a null character: {text!r:.200}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise error(
            f"expected the path of {what}, got one with a lone surrogate: {text!r:.200}"
        ) from None
    return Path(text)


def is_file_name(text: str) -> bool:
    """Whether a text is the name of a file in a folder, on any system, and leads nowhere else."""
    is_plain = text not in ("", ".", "..") and not set(text) & set("/\\:\0")
    return is_plain and not any("\ud800" <= character <= "\udfff" for character in text)


def inside(folder: Path, name: object, what: str, error: type[SamkitError] = InputError) -> Path:
    """The path of a file that another file names relative to a folder; it may be in one inside it.

    Only the name is looked at: links that the owner of the folder put there may lead elsewhere.

    Args:
        folder: in which it has to be.
        name: what the other file says.
        what: the beginning of the message.
        error: raised where it is no text, or leads out of the folder on any system.
    """
    parts = re.split(r"[/\\]", name) if isinstance(name, str) else [""]
    if ".." in parts or not parts[0] or not parts[-1] or Path(str(name)).drive:
        raise error(f"{what}: expected the name of a file in {folder}, got {name!r:.200}")
    return folder / checked_path(name, "a file", error)


def open_file(path: Path, error: type[SamkitError] = InputError) -> IO[bytes]:
    """Open a regular file to read; pipes and devices, which may block or never end, are refused.

    Args:
        path: of the file; links are followed.
        error: raised where it is missing, of another kind, or cannot be read.
    """
    what = f"cannot read {path}"
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            kind = os.fstat(descriptor).st_mode
            if stat.S_ISREG(kind):
                os.read(
                    descriptor, 1
                )  # which some files of the system, such as /proc/*/mem, refuse
                os.lseek(descriptor, 0, os.SEEK_SET)
                return os.fdopen(os.dup(descriptor), "rb")
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise error(f"{what}: no such file") from None
    except OSError as reason:
        raise error(f"{what}: {reason.strerror or reason}") from reason
    except ValueError as reason:  # null characters and lone surrogates
        raise error(f"cannot read {str(path)!r}: {reason}") from reason
    found = "a folder" if stat.S_ISDIR(kind) else "a pipe or device"
    raise error(f"{what}: expected a file, got {found}")


def read_json(path: Path, error: type[SamkitError] = InputError, *, most: int | None = None) -> Any:
    """The value in a JSON file of at most so many bytes; see `parse_json`."""
    with open_file(path, error) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise error(f"{path}: expected at most {most} bytes, got {size} (samkit.limits)")
        try:
            data = file.read()
        except OSError as reason:
            raise error(f"cannot read {path}: {reason.strerror or reason}") from reason
    return parse_json(data, str(path), error)


def parse_json(
    text: str | bytes | bytearray, what: str, error: type[SamkitError] = InputError
) -> Any:
    """The value of a JSON text in UTF-8 (with or without byte order mark).

    Args:
        text: the text.
        what: where it comes from, for messages.
        error: raised where it is damaged, or nests deeper than `samkit.limits` allows.
    """
    most = limits().nesting
    too_deep = f"{what}: expected lists and objects in at most {most} levels (samkit.limits)"
    try:
        if not isinstance(text, str):
            text = text.decode("utf-8-sig")
        value = json.loads(text)
    except RecursionError:
        raise error(too_deep) from None
    except ValueError as reason:  # also of numbers with thousands of digits
        raise error(f"{what} is no JSON: {reason}") from reason
    level = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return value
    raise error(too_deep)
